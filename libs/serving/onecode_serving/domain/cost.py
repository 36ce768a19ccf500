"""Price a run before it happens: what to batch, what may run on the event loop, what cannot be in time."""

from collections.abc import Sequence
from dataclasses import dataclass

POOL_ABOVE_S = 200e-6
"""A run of one row above this goes to a thread: the hand-over of 12-40 us is then small."""

INLINE_BELOW_S = 140e-6
"""It comes back below this: two thresholds, so that a price between them does not swing."""

TURN_S = 2e-3
"""Most work on the event loop before it looks at its sockets again."""

TURN_ALONE_S = 6e-3
"""The same while one model alone is asked: fewer looks at sockets leave more time for runs."""

_GAIN = 0.95
_WEIGHT = 0.02
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a run: ``fixed_s + rows * row_s``."""

    fixed_s: float
    row_s: float

    def of(self, rows: int) -> float:
        """Return the seconds that a run of this many rows takes."""
        return self.fixed_s + rows * self.row_s


def sizes(most: int) -> tuple[int, ...]:
    """Return the batch sizes to try."""
    return tuple(size for size in _SIZES if size <= most)


def fitted(samples: Sequence[tuple[int, float]]) -> Cost:
    """Return the line through (rows, seconds) by least squares, with no negative part.

    Raises:
        ValueError: There is no sample.
    """
    if not samples:
        message = "no run was measured"
        raise ValueError(message)
    mean_rows = sum(rows for rows, _ in samples) / len(samples)
    mean_s = sum(seconds for _, seconds in samples) / len(samples)
    spread = sum((rows - mean_rows) ** 2 for rows, _ in samples)
    slope = sum((rows - mean_rows) * (seconds - mean_s) for rows, seconds in samples) / spread if spread else mean_s
    slope = min(max(0.0, slope), mean_s / mean_rows)
    return Cost(max(0.0, mean_s - slope * mean_rows), slope)


def batch_limit(samples: Sequence[tuple[int, float]]) -> int:
    """Return the size after which time per row stops falling by at least 5 %; samples by growing size.

    One size that does not pay may be a pause of the machine: two in a row end the search.
    """
    best = samples[0]
    missed = 0
    for rows, seconds in samples[1:]:
        if seconds / rows <= _GAIN * best[1] / best[0]:
            best, missed = (rows, seconds), 0
        else:
            missed += 1
        if missed > 1:
            break
    return best[0]


def inline_limit(cost: Cost, limit: int) -> int:
    """Return the most rows of one run on the event loop, at least one."""
    if cost.row_s <= 0:
        return limit
    return max(1, min(limit, int((TURN_S - cost.fixed_s) / cost.row_s)))


def moved(cost: Cost, rows: int, seconds: float) -> Cost:
    """Return the price after one more run: a slow average, so that one pause of the machine moves it by 2 %."""
    expected = cost.of(rows)
    if expected <= 0:
        return fitted([(rows, seconds)])
    factor = 1 + _WEIGHT * (min(seconds / expected, 2.0) - 1)
    return Cost(cost.fixed_s * factor, cost.row_s * factor)


def pooled(cost: Cost, *, now_pooled: bool) -> bool:
    """Return whether runs belong into a thread."""
    one = cost.of(1)
    return one > (INLINE_BELOW_S if now_pooled else POOL_ABOVE_S)
