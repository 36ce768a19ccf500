"""Hold candidates against the budget by what was measured on their files."""

from collections.abc import Sequence
from dataclasses import dataclass

from onecode_training.domain.recipe import Budget


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate with what its file costs.

    Attributes:
        score: Of the run's metric, higher is better.
        error: Standard error of the score.
        p95_us: CPU time of a call with one row, microseconds.
    """

    number: int
    family: str
    score: float
    error: float
    bytes: int
    p95_us: float


def overruns(budget: Budget, bytes_: int, p95_us: float) -> list[str]:
    """Return one sentence part for each limit that is exceeded."""
    found = []
    if budget.max_bytes is not None and bytes_ > budget.max_bytes:
        found.append(f"{bytes_} bytes, {bytes_ - budget.max_bytes} over {budget.max_bytes}")
    if budget.max_p95_us is not None and p95_us > budget.max_p95_us:
        found.append(f"{p95_us:.1f} µs, {p95_us - budget.max_p95_us:.1f} over {budget.max_p95_us:g}")
    return found


def fits(budget: Budget, measured: Measured) -> bool:
    """Return whether the file is within all limits."""
    return not overruns(budget, measured.bytes, measured.p95_us)


def nearest_miss(budget: Budget, measured: Sequence[Measured], metric: str) -> str:
    """Return the sentence that names the candidate which came nearest to the budget, and the best one."""
    nearest = min(measured, key=lambda each: _excess(budget, each))
    text = f"nearest is {_named(nearest, metric)} with {' and '.join(overruns(budget, nearest.bytes, nearest.p95_us))}"
    best = max(measured, key=lambda each: each.score)
    if best.number == nearest.number:
        return text
    return f"{text}; best is {_named(best, metric)} with {' and '.join(overruns(budget, best.bytes, best.p95_us))}"


def _named(each: Measured, metric: str) -> str:
    return f"trial {each.number} ({each.family}, {metric} {each.score:.4f})"


def _excess(budget: Budget, each: Measured) -> float:
    return max(
        each.bytes / budget.max_bytes if budget.max_bytes else 0.0,
        each.p95_us / budget.max_p95_us if budget.max_p95_us else 0.0,
    )
