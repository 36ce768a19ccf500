"""Give each unit the same version every time, in the cloud and on any gateway.

A rollout splits its units by a hash and by nothing else, so that programs which never met agree, a ramp only
ever *adds* units to the candidate, and an auditor can replay who saw what.
"""

import hashlib

BUCKETS = 10_000
"""Steps of 0.01 %."""

SHARDS = 16
"""Parts of the stream of reports; the broker's permissions name them."""


def bucket(salt: str, unit: str) -> int:
    """Return the unit's bucket, ``0 <= bucket < BUCKETS``.

    The separator cannot occur in a salt, so ("ab", "c") and ("a", "bc") differ. Units are taken as given: no
    trimming, case folding or Unicode normalisation.
    """
    return _number(salt, unit) % BUCKETS


def shard(source: str) -> int:
    """Return the part of the stream of reports that a gateway, or the cloud, writes to."""
    return _number("shard", source) % SHARDS


def _number(salt: str, unit: str) -> int:
    first = hashlib.sha256(f"{salt}\x00{unit}".encode("utf-8", "surrogatepass")).digest()[:8]
    return int.from_bytes(first, "big")
