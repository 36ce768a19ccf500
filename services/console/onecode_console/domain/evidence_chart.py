"""Lay out the evidence of a rollout: how strongly the counts speak for "worse" and for "good enough"."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onecode_console.domain.charts import Frame, Point, thin, ticks
from onecode_console.domain.texts import N_

SIZES = ((920, 340), (360, 280))
"""Width and height of the drawing on wide and on narrow screens; the page shows one of them."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 24, 44
"""Room for the scales around the plot, in pixels."""

_LABEL = 15
_SURE = math.log(2)
"""Below two to one the pace says nothing yet."""
_MOST_POINTS = 600
_MOST_ROWS = 200
_FLOOR = -3.0
"""Log odds below this are drawn at the edge: strong evidence for the contrary needs no scale."""

_AIR = 1.12


@dataclass(frozen=True, slots=True)
class Sample:
    """The processes after one more interval.

    Attributes:
        requests: Of the candidate, so far.
        worse: Log odds that it is worse; better, floor: that it is good enough, by two ways of proof.
        step: Index of the rollout's step.
    """

    requests: int
    worse: float
    better: float
    floor: float
    step: int


@dataclass(frozen=True, slots=True)
class Line:
    """One process: its name, its class for colour and dash, its points."""

    label: str
    css: str
    path: str
    odds: str
    end: Point


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit: where it is drawn, and what happens when a line reaches it."""

    label: str
    css: str
    y: float
    text_y: float
    odds: str


@dataclass(frozen=True, slots=True)
class Band:
    """The part of the chart that belongs to one step."""

    x: float
    width: float
    step: int


@dataclass(frozen=True, slots=True)
class EvidenceChart:
    """Everything that the template draws."""

    frame: Frame
    lines: Sequence[Line]
    thresholds: Sequence[Threshold]
    bands: Sequence[Band]
    x_ticks: Sequence[tuple[float, int]]
    y_ticks: Sequence[tuple[float, str]]
    rows: Sequence[Sample]
    cut_rows: int


def odds(log_odds: float) -> str:
    """Return log odds as people say them: ``20 : 1``, ``1 : 4``."""
    if math.isnan(log_odds):
        return "-"
    if abs(log_odds) > 13.8:  # noqa: PLR2004 - a million to one
        return "> 1,000,000 : 1" if log_odds > 0 else "1 : > 1,000,000"
    ratio = math.exp(abs(log_odds))
    shown = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}".removesuffix(".0")  # noqa: PLR2004 - two digits
    return f"{shown} : 1" if log_odds >= 0 else f"1 : {shown}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Log odds at which the rollout goes back (rollback) or on (promote, floor); 0 = not used."""

    rollback: float
    promote: float
    floor: float


def remaining(samples: Sequence[Sample], limits: Limits) -> int:
    """Return about how many more candidate requests the proof needs if it grows as so far; 0 = cannot be said.

    Both processes grow in proportion to the requests while the rates stay what they are.
    """
    if not samples:
        return 0
    last = samples[-1]
    ways = ((last.better, limits.promote), (last.floor, limits.floor))
    needs = [
        last.requests * (limit - now) / now for now, limit in ways if limit and _SURE <= now < limit and last.requests
    ]
    if not needs:
        return 0
    rough: int = 10 ** max(0, len(str(int(min(needs)))) - 2)
    return max(1, round(min(needs) / rough)) * rough


def evidence_charts(samples: Sequence[Sample], limits: Limits) -> list[tuple[tuple[int, int], EvidenceChart]]:
    """Return the layout for each screen size with that size; nothing while there is nothing to draw."""
    return [(size, evidence_chart(samples, limits, size)) for size in SIZES] if samples else []


def evidence_chart(samples: Sequence[Sample], limits: Limits, size: tuple[int, int]) -> EvidenceChart:
    """Return the layout of at least one sample, in order of time."""
    limit = max(limits.rollback, limits.promote, limits.floor, 1.0)
    top = max(limit, *(max(one.worse, one.better, one.floor) for one in samples))
    # The highest limit and a little above it; a process may run far beyond, which says no more.
    high = min(top, limit * 1.6) * _AIR
    width, height = size
    frame = Frame(_LEFT, width - _RIGHT, _TOP, height - _BOTTOM, 0, max(1, samples[-1].requests), _FLOOR, high)
    lines = [
        _line(frame, N_("Worse than in use"), "worse", [(one.requests, one.worse) for one in samples]),
        _line(frame, N_("Good enough by comparison"), "better", [(one.requests, one.better) for one in samples]),
    ]
    if limits.floor:
        lines.append(_line(frame, N_("Good enough by itself"), "floor", [(one.requests, one.floor) for one in samples]))
    return EvidenceChart(
        frame,
        lines,
        _thresholds(frame, limits),
        _bands(frame, samples),
        [(frame.x(value), int(value)) for value in ticks(0, frame.high_x, width // 150 + 1) if value == int(value)],
        [(frame.y(value), odds(value)) for value in _y_values(high)],
        samples[-_MOST_ROWS:],
        max(0, len(samples) - _MOST_ROWS),
    )


def _y_values(high: float) -> list[float]:
    return [sign * math.log(ratio) for ratio in (1, 10, 100, 1000) for sign in (1, -1) if _shown(sign, ratio, high)]


def _shown(sign: int, ratio: int, high: float) -> bool:
    return _FLOOR <= sign * math.log(ratio) <= high and not (ratio == 1 and sign < 0)


def _line(frame: Frame, label: str, css: str, points: list[Point]) -> Line:
    drawn = thin(points, _MOST_POINTS)
    x, y = points[-1]
    return Line(label, css, frame.path(drawn), odds(y), (frame.x(x), frame.y(y)))


def _thresholds(frame: Frame, limits: Limits) -> list[Threshold]:
    wanted = [
        (N_("Roll back at %(odds)s"), "worse", limits.rollback),
        (N_("Promote at %(odds)s"), "better", limits.promote),
    ]
    if not math.isclose(limits.floor, limits.promote):
        wanted.append((N_("Promote by itself at %(odds)s"), "floor", limits.floor))
    drawn: list[Threshold] = []
    for label, css, value in sorted(wanted, key=lambda each: -each[2]):
        if value:
            y = frame.y(value)
            # A name stands above its line, or below where the name of the line before would be covered.
            taken = any(abs(y - 5 - before.text_y) < _LABEL for before in drawn)
            drawn.append(Threshold(label, css, y, y + _LABEL - 2 if taken else y - 5, odds(value)))
    return drawn


def _bands(frame: Frame, samples: Sequence[Sample]) -> list[Band]:
    bands = []
    start, step = 0, samples[0].step
    for one in [*samples, Sample(samples[-1].requests, 0, 0, 0, -1)]:
        if one.step != step:
            left = frame.x(start)
            bands.append(Band(left, round(frame.x(one.requests) - left, 1), step))
            start, step = one.requests, one.step
    return bands
