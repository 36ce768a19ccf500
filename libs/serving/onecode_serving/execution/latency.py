"""Sort durations into the buckets of a histogram, a whole run's at once."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from onecode_serving.counters import LATENCY_EDGES_US

_MICRO = 1e6
_EDGES_S = tuple(edge / _MICRO for edge in LATENCY_EDGES_US)
_MANY = 12
_TABLED_US = 20_000
# Whole microseconds: an edge belongs to the bucket above it.
_PLACES = bytes(bisect_left(LATENCY_EDGES_US, us + 0.5) for us in range(_TABLED_US))
"""The bucket of each whole microsecond: a look-up is a quarter of a search."""


def place_of(seconds: float) -> int:
    """Return the bucket of a duration."""
    us = int(seconds * _MICRO)
    return _PLACES[us] if 0 <= us < _TABLED_US else bisect_left(LATENCY_EDGES_US, us + 0.5)


def spread(began: Sequence[float], ended: float, histogram: list[int]) -> list[tuple[int, int]]:
    """Count the durations from each of these moments until one, and return (bucket, how many) of them.

    A few are counted one by one. Of many, one search for each bucket that occurs: those of a run lie close together.

    Args:
        began: Seconds, growing.
        ended: Of the same clock.
        histogram: Where they are counted.
    """
    found: list[tuple[int, int]] = []
    at, count = 0, len(began)
    if count < _MANY:
        for one in began:
            us = int((ended - one) * _MICRO)
            # The table is asked here, not in a function: this runs for every request.
            place = _PLACES[us] if 0 <= us < _TABLED_US else place_of(ended - one)
            histogram[place] += 1
            found.append((place, 1))
        return found
    while at < count:
        place = place_of(ended - began[at])
        # All that began before the lower edge's moment took as long as the first, or are in its bucket at least.
        end = max(at + 1, bisect_right(began, ended - _EDGES_S[place - 1], at)) if place else count
        histogram[place] += end - at
        found.append((place, end - at))
        at = end
    return found
