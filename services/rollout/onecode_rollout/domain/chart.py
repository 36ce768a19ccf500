"""Draw how the evidence grew, in few enough points for a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.evidence import Cell
from onecode_rollout.domain.rollout import Rollout, StepStart
from onecode_rollout.domain.verdict import walk

MAX_POINTS = 500


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """Totals and log odds after one interval."""

    at: float
    n_c: int
    k_c: int
    n_b: int
    k_b: int
    worse: float
    better: float
    floor: float
    step: int


def points(rollout: Rollout, intervals: Sequence[Interval]) -> list[EvidencePoint]:
    """Return at most :data:`MAX_POINTS` points; the first and the last are always among them."""
    cells = [[Cell(*cell[1:]) for cell in one.cells] for one in intervals]
    length = rollout.plan.preset.interval_s
    found = [
        EvidencePoint(
            one.start + length,
            point.n_c,
            point.k_c,
            point.n_b,
            point.k_b,
            point.worse,
            point.better,
            point.floor,
            _step_at(rollout.steps, one.start),
        )
        for one, point in zip(intervals, walk(cells, rollout.plan.preset.params), strict=True)
    ]
    if len(found) <= MAX_POINTS:
        return found
    last = len(found) - 1
    return [found[round(index * last / (MAX_POINTS - 1))] for index in range(MAX_POINTS)]


def _step_at(steps: Sequence[StepStart], at: float) -> int:
    return next((one.step for one in reversed(steps) if one.at <= at), 0)
