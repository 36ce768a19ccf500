"""Lay out the evidence of a rollout: how strongly the counts speak for "worse" and for "good enough"."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onecode_console.domain.charts import Frame, Point, thin, ticks
from onecode_console.domain.texts import N_

WIDTH, HEIGHT = 920, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 906, 22, 296
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


def evidence_chart(samples: Sequence[Sample], rollback: float, promote: float, floor: float) -> EvidenceChart | None:
    """Return the layout, or None while there is nothing to draw.

    Args:
        samples: In order of time.
        rollback: Log odds at which the rollout goes back; promote, floor: at which it goes on; 0 = not used.
    """
    if not samples:
        return None
    top = max([rollback, promote, floor, 1.0, *(max(one.worse, one.better, one.floor) for one in samples)])
    # The highest limit and a little above it; a process may run far beyond, which says no more.
    high = min(top, max(rollback, promote, floor, 1.0) * 1.6) * _AIR
    frame = Frame(_LEFT, _RIGHT, _TOP, _BOTTOM, 0, max(1, samples[-1].requests), _FLOOR, high)
    lines = [
        _line(frame, N_("Worse than in use"), "worse", [(one.requests, one.worse) for one in samples]),
        _line(frame, N_("Good enough by comparison"), "better", [(one.requests, one.better) for one in samples]),
    ]
    if floor:
        lines.append(
            _line(frame, N_("Good enough by itself"), "floor", [(one.requests, one.floor) for one in samples])
        )
    return EvidenceChart(
        frame,
        lines,
        _thresholds(frame, rollback, promote, floor),
        _bands(frame, samples),
        [(frame.x(value), int(value)) for value in ticks(0, frame.high_x, 6) if value == int(value)],
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


def _thresholds(frame: Frame, rollback: float, promote: float, floor: float) -> list[Threshold]:
    limits = []
    if rollback:
        limits.append(Threshold(N_("Roll back at %(odds)s"), "worse", frame.y(rollback), odds(rollback)))
    if promote:
        limits.append(Threshold(N_("Promote at %(odds)s"), "better", frame.y(promote), odds(promote)))
    if floor and not math.isclose(floor, promote):
        limits.append(Threshold(N_("Promote by itself at %(odds)s"), "floor", frame.y(floor), odds(floor)))
    return limits


def _bands(frame: Frame, samples: Sequence[Sample]) -> list[Band]:
    bands = []
    start, step = 0, samples[0].step
    for one in [*samples, Sample(samples[-1].requests, 0, 0, 0, -1)]:
        if one.step != step:
            left = frame.x(start)
            bands.append(Band(left, round(frame.x(one.requests) - left, 1), step))
            start, step = one.requests, one.step
    return bands
