"""Name what one serving process serves: a set of models, each with its arms.

Two sets are the same when they hold the same versions; how requests are divided among them may change while it runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onecode_common.assignment import BUCKETS
from onecode_common.canonical import Json, canonical, sha256_hex
from onecode_common.errors import InvalidError
from onecode_common.ids import digest as digest_of_hex
from onecode_delivery.policy import SHADOW, ArmRange

_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as this gateway serves it; the fields are those of the policy's entry.

    A version that is compared and answers nobody is the last arm, without a range, of the role ``shadow``.
    """

    name: str
    rollout: str
    revision: int
    unit: str
    salt: str
    probation_s: float
    arms: tuple[ArmRange, ...]

    @property
    def digests(self) -> frozenset[str]:
        """All versions that must be loaded for it."""
        return frozenset(arm.digest for arm in self.arms)

    @property
    def answering(self) -> frozenset[str]:
        """All versions that callers get answers of."""
        return frozenset(arm.digest for arm in self.arms if arm.role != SHADOW)

    @property
    def parts(self) -> frozenset[str]:
        """What the entry is made of: a version that begins to answer after it was a shadow is another part."""
        return frozenset(_part(arm) for arm in self.arms)

    @property
    def subject(self) -> ArmRange:
        """The arm that a change to this entry is about: the candidate, or the stable one where there is none."""
        return next((arm for arm in self.arms if arm.role in ("candidate", SHADOW)), self.stable)

    @property
    def stable(self) -> ArmRange:
        """The arm of everybody who is not under test; without one, the widest."""
        wide = max(self.arms, key=lambda arm: arm.end - arm.start)
        return next((arm for arm in self.arms if arm.role == "stable"), wide)

    def without(self, bad: Iterable[str]) -> "Entry | None":
        """Return the entry with everything answered by a version that is not bad; None if all are."""
        if not self.digests & set(bad):
            return self
        good = [arm for arm in (self.stable, *self.arms) if arm.digest not in bad and arm.role != SHADOW]
        return replace(self, arms=(replace(good[0], start=0, end=BUCKETS, role="stable"),)) if good else None


@dataclass(frozen=True, slots=True)
class ModelSet:
    """What one serving process serves, by name of the model."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "ModelSet":
        """Return the set of these entries, in the order of their names."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.name)))

    @property
    def id(self) -> str:
        """Name of the set: depends on which versions it holds and which of them answer, and on nothing else."""
        held: Json = {entry.name: sorted(entry.parts) for entry in self.entries}
        return sha256_hex(canonical(held))[:_ID_DIGITS]

    @property
    def digests(self) -> frozenset[str]:
        """All versions of all models."""
        return frozenset().union(*(entry.digests for entry in self.entries))

    @property
    def answering(self) -> frozenset[str]:
        """All versions that callers get answers of."""
        return frozenset().union(*(entry.answering for entry in self.entries))

    def entry(self, name: str) -> Entry | None:
        """Return a model's entry."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def without(self, bad: Iterable[str]) -> "ModelSet":
        """Return the set without bad versions; a model that has no other is left out."""
        kept = (entry.without(bad) for entry in self.entries)
        return ModelSet.of(entry for entry in kept if entry is not None)


EMPTY = ModelSet(())
"""What a gateway serves that was told nothing."""


def to_document(models: ModelSet) -> list[Json]:
    """Return the set as JSON."""
    return [
        {
            "name": entry.name,
            "rollout": entry.rollout,
            "revision": entry.revision,
            "unit": entry.unit,
            "salt": entry.salt,
            "probation_s": str(entry.probation_s),
            "arms": [
                {"from": arm.start, "to": arm.end, "release": arm.release, "digest": arm.digest, "role": arm.role}
                for arm in entry.arms
            ],
        }
        for entry in models.entries
    ]


def from_document(document: Iterable[Mapping[str, Any]]) -> ModelSet:
    """Return the set of a JSON document.

    Raises:
        InvalidError: It is not one that :func:`to_document` wrote.
    """
    try:
        return ModelSet.of(_entry(entry) for entry in document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"the model set cannot be read: {error!r}"
        raise InvalidError(message, code="state.corrupt") from error


def _part(arm: ArmRange) -> str:
    return f"{SHADOW} {arm.digest}" if arm.role == SHADOW else arm.digest


def _entry(entry: Mapping[str, Any]) -> Entry:
    arms = tuple(
        ArmRange(int(arm["from"]), int(arm["to"]), int(arm["release"]), digest_of_hex(arm["digest"]), str(arm["role"]))
        for arm in entry["arms"]
    )
    return Entry(
        name=str(entry["name"]),
        rollout=str(entry["rollout"]),
        revision=int(entry["revision"]),
        unit=str(entry["unit"]),
        salt=str(entry["salt"]),
        probation_s=float(entry["probation_s"]),
        arms=arms,
    )
