"""Say what counters prove: roll back, promote, or nothing yet.

The walk goes through the intervals in order and the first proof ends it. Missing, impossible or too little
data never promotes and never rolls back.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onecode_rollout.domain.evidence import (
    BETTER_RATIOS,
    Cell,
    below_evidence,
    contribution,
    log_mean_exp,
    worse_ratios,
)

NEVER = 1 << 62
"""As ``min_observe``: this walk may not promote."""


@dataclass(frozen=True, slots=True)
class Params:
    """What is tolerated, and how sure one must be.

    Attributes:
        alpha: P(ever rolling back a candidate no worse than ``r0``).
        r0: Ratio of error rates that is tolerated.
        r1: Ratio that promotion must refute.
        beta: P(ever promoting a candidate at ``r1`` or worse).
        floor: Also promote when the candidate's rate is proven below this; None: off. It halves ``beta``.
        min_observe: Intervals before which nothing is promoted.
        no_data_after: Trailing intervals without evidence that mean "no data"; 0: never.
        limit: Intervals after which the walk is inconclusive; 0: never.
        share: Planned share of the candidate for sticky units; None takes the observed one.
        worse_offset: Log odds for "worse" that a person has overridden; as much again is needed on top.
    """

    alpha: float = 0.05
    r0: float = 1.1
    r1: float = 1.5
    beta: float = 0.01
    floor: float | None = None
    min_observe: int = 10
    no_data_after: int = 30
    limit: int = 240
    share: float | None = None
    worse_offset: float = 0.0

    @property
    def rollback_at(self) -> float:
        """Log odds for "worse" that roll back."""
        return math.log(1 / self.alpha) + self.worse_offset

    @property
    def promote_at(self) -> float:
        """Log odds for "good enough" that promote; two processes share ``beta`` when a floor is set."""
        return math.log((1 if self.floor is None else 2) / self.beta)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was proven first.

    Attributes:
        kind: rollback, promote, invalid, no_data, inconclusive or continue.
        at: 1-based index of the interval that ended the walk; None when none did.
        log_e_worse: Log odds for "worse" there.
        log_e_better: Log odds for "good enough" there.
        log_e_floor: Log odds for "below the floor" there; 0 without a floor.
    """

    kind: str
    at: int | None
    log_e_worse: float = 0.0
    log_e_better: float = 0.0
    log_e_floor: float = 0.0


class Point(NamedTuple):
    """The evidence after one more interval, with the totals of the counted and uncounted cells."""

    worse: float
    better: float
    floor: float
    n_c: int
    k_c: int
    n_b: int
    k_b: int
    counted: bool


def walk(intervals: Sequence[Sequence[Cell]], params: Params) -> Iterator[Point]:
    """Yield the evidence after each interval; an interval holds one cell a stratum, and none is ever pooled."""
    ratios = worse_ratios(params.r0)
    worse, better = [0.0] * len(ratios), [0.0] * len(BETTER_RATIOS)
    n_c = k_c = n_b = k_b = 0
    for cells in intervals:
        for cell in cells:
            for index, term in enumerate(contribution(cell, params.r0, ratios, params.share)):
                worse[index] += term
            for index, term in enumerate(contribution(cell, params.r1, BETTER_RATIOS, params.share)):
                better[index] += term
            n_c, k_c, n_b, k_b = n_c + cell.n_c, k_c + cell.k_c, n_b + cell.n_b, k_b + cell.k_b
        floor = 0.0 if params.floor is None else below_evidence(n_c, k_c, params.floor)
        counted = any(cell.counts for cell in cells)
        yield Point(log_mean_exp(worse), log_mean_exp(better), floor, n_c, k_c, n_b, k_b, counted)


def judge(intervals: Sequence[Sequence[Cell]], params: Params) -> Verdict:
    """Return the first proof in the intervals, each with one cell a stratum."""
    impossible = next((index for index, cells in enumerate(intervals) if not all(c.possible for c in cells)), None)
    if impossible is not None:
        before = judge(intervals[:impossible], params)
        return before if before.kind in {"rollback", "promote"} else Verdict("invalid", impossible + 1)
    last = Point(0.0, 0.0, 0.0, 0, 0, 0, 0, counted=False)
    silent = 0
    for at, point in enumerate(walk(intervals, params), start=1):
        last = point
        silent = 0 if point.counted else silent + 1
        if point.worse >= params.rollback_at:
            return Verdict("rollback", at, point.worse, point.better, point.floor)
        proven = point.better >= params.promote_at or (params.floor is not None and point.floor >= params.promote_at)
        if at >= params.min_observe and proven:
            return Verdict("promote", at, point.worse, point.better, point.floor)
    kind = "continue"
    if params.no_data_after and silent >= params.no_data_after:
        kind = "no_data"
    elif params.limit and len(intervals) >= params.limit:
        kind = "inconclusive"
    return Verdict(kind, None, last.worse, last.better, last.floor)


def verdict(stable: Sequence[tuple[int, int]], canary: Sequence[tuple[int, int]], params: Params) -> Verdict:
    """Return what two equally long sequences of ``(n, k)``, one pair an interval, prove.

    Unequal lengths are ``invalid`` at the first interval that one of them lacks.
    """
    both = min(len(stable), len(canary))
    intervals = [[Cell(*canary[index], *stable[index])] for index in range(both)]
    if len(stable) != len(canary):
        return Verdict("invalid", both + 1)
    return judge(intervals, params)


def peak_worse(intervals: Sequence[Sequence[Cell]], params: Params) -> float:
    """Return the highest evidence for "worse" along the way: what a person accepts who overrides it."""
    return max((point.worse for point in walk(intervals, params)), default=0.0)
