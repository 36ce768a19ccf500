"""Weigh everything a rollout has told so far, in a form that can be written down and weighed again.

The input holds all that the result depends on; the same input gives the same result, to the last bit, now
and when somebody asks years later.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from onecode_rollout.domain.evidence import (
    ALLOCATION_LEVEL,
    BETTER_RATIOS,
    FLEET_GATES,
    FLEET_LEVEL,
    Cell,
    allocation_evidence,
    below_evidence,
    ratio_evidence,
    stop_evidence,
    wave_evidence,
)
from onecode_rollout.domain.verdict import NEVER, Params, judge

RULES = "onecode.rollout.rules/1"
"""Version of these rules; a record names the one that decided."""

GATE_RATIOS = (5.0, 3.0, 2.0)
"""Ratio that must be refuted to leave the first, second and any later step."""

GATE_RATES = (0.01, 0.005, 0.002)
"""Rate of the candidate that opens the same gates when there are no errors to compare."""

GATE_LEVEL = math.log(40)
"""Log odds that open a gate: level 5 %, halved because either of two processes may open it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Counters of one interval: ``(source, n_c, k_c, n_b, k_b)`` for each stratum, in order of source."""

    start: int
    cells: tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is weighed.

    Attributes:
        intervals: In order of start.
        params: Levels and ratios; ``min_observe`` is replaced by ``promotable``.
        promotable: The last step's observation is over, promotion may be proven.
        step: Which gate is asked.
        outcomes: Installations with an outcome.
        failures: Failed ones among them.
        windows: Units of the candidate, all units, planned share; for the check of the split.
    """

    intervals: tuple[Interval, ...]
    params: Params
    promotable: bool
    step: int
    outcomes: int
    failures: int
    windows: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What it proves; all evidence as natural log odds."""

    verdict: str
    at: int | None
    worse: float
    better: float
    floor: float
    gate_ratio: float
    gate_rate: float
    gate_open: bool
    stop: float
    stopped: bool
    wave: float
    allocation: float
    misallocated: bool


def answer(question: Question) -> Answer:
    """Weigh the question. Pure: see the module."""
    intervals = [[Cell(*cell[1:]) for cell in interval.cells] for interval in question.intervals]
    cells = [cell for interval in intervals for cell in interval]
    params = question.params
    last = len(intervals) if question.promotable else NEVER
    found = judge(intervals, Params(**{**asdict(params), "min_observe": last}))
    gate = min(question.step, len(GATE_RATIOS) - 1)
    n_c, k_c = sum(cell.n_c for cell in cells), sum(cell.k_c for cell in cells)
    ratio = ratio_evidence(cells, GATE_RATIOS[gate], BETTER_RATIOS, params.share) if cells else 0.0
    rate = below_evidence(n_c, k_c, GATE_RATES[gate])
    stop = stop_evidence(question.outcomes, question.failures)
    allocation = allocation_evidence(question.windows)
    return Answer(
        verdict=found.kind,
        at=found.at,
        worse=found.log_e_worse,
        better=found.log_e_better,
        floor=found.log_e_floor,
        gate_ratio=ratio,
        gate_rate=rate,
        gate_open=max(ratio, rate) >= GATE_LEVEL,
        stop=stop,
        stopped=stop >= FLEET_LEVEL,
        wave=wave_evidence(question.outcomes, question.failures, FLEET_GATES[gate]),
        allocation=allocation,
        misallocated=allocation >= ALLOCATION_LEVEL,
    )


def question_document(question: Question) -> dict[str, object]:
    """Return the question as JSON values."""
    return {
        "intervals": [[one.start, [list(cell) for cell in one.cells]] for one in question.intervals],
        "params": asdict(question.params),
        "promotable": question.promotable,
        "step": question.step,
        "outcomes": question.outcomes,
        "failures": question.failures,
        "windows": [list(window) for window in question.windows],
    }


def question_from(document: Mapping[str, object]) -> Question:
    """Return the question that :func:`question_document` wrote down."""
    values = dict(document)
    intervals = _rows(values["intervals"])
    params = values["params"]
    assert isinstance(params, Mapping)  # noqa: S101 - our own signed record
    return Question(
        intervals=tuple(
            Interval(_int(start), tuple((str(cell[0]), *map(_int, cell[1:])) for cell in _rows(cells)))  # type: ignore[misc]
            for start, cells in intervals
        ),
        params=Params(**dict(params)),
        promotable=bool(values["promotable"]),
        step=_int(values["step"]),
        outcomes=_int(values["outcomes"]),
        failures=_int(values["failures"]),
        windows=tuple((_int(c), _int(n), float(str(w))) for c, n, w in _rows(values["windows"])),
    )


def _rows(value: object) -> Sequence[Sequence[object]]:
    return value if isinstance(value, Sequence) else ()


def _int(value: object) -> int:
    return int(str(value))


def totals(intervals: Sequence[Interval]) -> Cell:
    """Return the sums over all cells, counted or not: for display, never for evidence."""
    sums = [0, 0, 0, 0]
    for interval in intervals:
        for cell in interval.cells:
            for index, count in enumerate(cell[1:]):
                sums[index] += int(count)
    return Cell(*sums)


def counted_starts(intervals: Sequence[Interval]) -> list[int]:
    """Return the starts of intervals in which some stratum saw both arms."""
    return [one.start for one in intervals if any(cell[1] >= 1 and cell[3] >= 1 for cell in one.cells)]
