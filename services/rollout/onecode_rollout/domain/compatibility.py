"""Say whether clients of the stable version can talk to the candidate without noticing."""

from collections.abc import Sequence
from dataclasses import dataclass

_FREE = -1


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input: the first axis is the batch, -1 is free."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """What the registry says of a model version."""

    model: str
    release: int
    digest: str
    inputs: tuple[Tensor, ...]


def differences(stable: Version, candidate: Version) -> list[str]:
    """Return how the inputs differ, in words; nothing means compatible."""
    old = {one.name: one for one in stable.inputs}
    new = {one.name: one for one in candidate.inputs}
    found = [f"input {name} is gone" for name in old.keys() - new.keys()]
    found += [f"input {name} is new" for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        if old[name].datatype != new[name].datatype:
            found.append(f"input {name} is {new[name].datatype}, was {old[name].datatype}")
        elif not _same_shape(old[name].shape, new[name].shape):
            found.append(f"input {name} has shape {list(new[name].shape)}, was {list(old[name].shape)}")
    return sorted(found)


def _same_shape(old: Sequence[int], new: Sequence[int]) -> bool:
    if len(old) != len(new):
        return False
    return all(_FREE in (a, b) or a == b for a, b in zip(old[1:], new[1:], strict=True))
