"""Know which units a policy gives to the candidate, by the rule that gateways apply themselves."""

import hashlib
from collections.abc import Sequence

BUCKETS = 10_000
"""Steps of 0.01 %."""

SHARDS = 16
"""Shards of the subjects that gateways report under."""


def bucket(salt: str, unit: str) -> int:
    """Return the unit's bucket, 0 <= bucket < :data:`BUCKETS`; units are taken as given."""
    return _hash(salt, unit) % BUCKETS


def shard(source: str) -> int:
    """Return the shard of a gateway's or the cloud's subjects."""
    return _hash("shard", source) % SHARDS


def exact_width(salt: str, members: Sequence[str], share: int) -> int:
    """Return the smallest ``w`` for which ``bucket < w`` holds for the wanted number of members.

    Args:
        salt: Of the rollout.
        members: All that may be chosen.
        share: Wanted share in basis points; at least one member is wanted.
    """
    if not members or share >= BUCKETS:
        return min(share, BUCKETS)
    wanted = max(1, -(-len(members) * share // BUCKETS))
    return sorted(bucket(salt, member) for member in members)[wanted - 1] + 1


def _hash(salt: str, unit: str) -> int:
    digest = hashlib.sha256(f"{salt}\x00{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
