"""Let one of several replicas act: a row names who may, and until when."""

from dataclasses import dataclass

LIFE_S = 15.0
"""A holder that says nothing for this long is replaced."""

RENEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may act until when, in Unix seconds of the holder's clock."""

    name: str
    holder: str
    until: float


def taken(lease: Lease | None, name: str, holder: str, now: float) -> Lease | None:
    """Return the lease as ``holder`` keeps or takes it, or None while it is somebody else's.

    Clocks of two replicas may differ; then for that long both act, or none. Both are harmless, because what they do
    is the same function of the same database.
    """
    if lease is not None and lease.holder != holder and now < lease.until:
        return None
    return Lease(name, holder, now + LIFE_S)


def given_back(lease: Lease | None, holder: str) -> Lease | None:
    """Return the lease as a holder that ends leaves it, or None where it is not this one's."""
    if lease is None or lease.holder != holder:
        return None
    return Lease(lease.name, "", 0.0)
