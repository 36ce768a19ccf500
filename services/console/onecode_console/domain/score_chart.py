"""Lay out the scores of a training run: each trial a mark, the best so far a line, the trivial answer dashed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onecode_console.domain.charts import Frame, Point, labels, ticks, widened

SIZES = ((640, 280), (340, 260))
"""Width and height of the drawing on wide and on narrow screens; the page shows one of them."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 20, 40
"""Room for the scales around the plot, in pixels."""

_NEAR = 1.5
"""The trivial answer is drawn if it lies so many spreads of the scores below them; else it would flatten them."""

Sized = list[tuple[tuple[int, int], "ScoreChart"]]


@dataclass(frozen=True, slots=True)
class Mark:
    """One trial: where, which, and which shape its family has."""

    x: float
    y: float
    number: int
    family: str
    winner: bool
    value: float
    cost: float


@dataclass(frozen=True, slots=True)
class ScoreChart:
    """Everything that a template draws; ``limit_x`` is a budget's edge in pixels, if there is one."""

    frame: Frame
    marks: Sequence[Mark]
    best: str
    baseline_y: float | None
    limit_x: float | None
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Scored:
    """A finished trial: ``cost`` is what it would use of a budget."""

    number: int
    family: str
    score: float
    cost: float = 0.0


def score_charts(trials: Sequence[Scored], baseline: float | None, winner: int) -> Sized:
    """Return the layout of scores over trial numbers for each screen size; nothing while none has a score."""
    return [(size, _score_chart(trials, baseline, winner, size)) for size in SIZES] if trials else []


def cost_charts(trials: Sequence[Scored], limit: float, winner: int) -> Sized:
    """Return the layout of scores over costs, with the budget's edge; nothing while nothing was measured."""
    measured = [one for one in trials if one.cost > 0]
    return [(size, _cost_chart(measured, limit, winner, size)) for size in SIZES] if measured else []


def _frame(size: tuple[int, int], across: tuple[float, float], up: tuple[float, float]) -> Frame:
    width, height = size
    return Frame(_LEFT, width - _RIGHT, _TOP, height - _BOTTOM, *across, *up)


def _score_chart(trials: Sequence[Scored], baseline: float | None, winner: int, size: tuple[int, int]) -> ScoreChart:
    scores = [one.score for one in trials]
    near = baseline is not None and baseline >= min(scores) - _NEAR * (max(scores) - min(scores))
    low, high = widened([*scores, *([baseline] if near and baseline is not None else [])])
    last = max(one.number for one in trials)
    frame = _frame(size, (0.5, last + 0.5), (low, high))
    best: list[Point] = []
    for one in sorted(trials, key=lambda each: each.number):
        if best and one.score <= best[-1][1]:
            continue
        if best:
            best.append((one.number, best[-1][1]))
        best.append((one.number, one.score))
    best.append((last + 0.5, best[-1][1]))
    return ScoreChart(
        frame,
        [_mark(frame, one, one.number, winner) for one in trials],
        frame.path(best),
        frame.y(baseline) if near and baseline is not None else None,
        None,
        [(frame.x(value), str(int(value))) for value in ticks(1, last, 8) if value == int(value)],
        _named(ticks(low, high, 5), frame.y),
    )


def _cost_chart(measured: Sequence[Scored], limit: float, winner: int, size: tuple[int, int]) -> ScoreChart:
    low, high = widened([one.score for one in measured])
    most = max([*(one.cost for one in measured), limit]) * 1.1
    frame = _frame(size, (0, most), (low, high))
    return ScoreChart(
        frame,
        [_mark(frame, one, one.cost, winner) for one in measured],
        "",
        None,
        frame.x(limit) if limit else None,
        _named(ticks(0, most, 5), frame.x),
        _named(ticks(low, high, 5), frame.y),
    )


def _named(values: Sequence[float], place: Callable[[float], float]) -> list[tuple[float, str]]:
    return [(place(value), label) for value, label in zip(values, labels(values), strict=True)]


def _mark(frame: Frame, one: Scored, at: float, winner: int) -> Mark:
    won = one.number == winner
    return Mark(frame.x(at), frame.y(one.score), one.number, one.family, won, one.score, one.cost)
