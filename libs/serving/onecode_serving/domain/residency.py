"""Say which models leave the memory when there are more than fit: those that nobody asked for longest."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resident:
    """One version in memory.

    Attributes:
        digest: Which.
        size: Bytes of its file, which its session's memory grows with.
        used: When it ran last; any clock.
        pinned: It must stay: it takes part in a rollout, works now, or could not be loaded again.
        unwanted: Its model was unloaded by request.
    """

    digest: str
    size: int
    used: float
    pinned: bool
    unwanted: bool = False


def leaving(residents: Iterable[Resident], budget: int) -> list[str]:
    """Return the digests that leave: what is unwanted, and the longest unused until the rest fits.

    Args:
        residents: All versions in memory.
        budget: Bytes; 0 for no bound.
    """
    residents = list(residents)
    movable = [one for one in residents if not one.pinned]
    gone = [one.digest for one in movable if one.unwanted]
    if budget <= 0:
        return gone
    kept = sum(one.size for one in residents if one.digest not in gone)
    for one in sorted(movable, key=lambda one: one.used):
        if kept <= budget:
            break
        if not one.unwanted:
            gone.append(one.digest)
            kept -= one.size
    return gone
