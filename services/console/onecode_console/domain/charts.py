"""Turn numbers into positions: scales, ticks, thinning. Drawing is the templates' affair."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# A narrower step has no power of ten below it that a float can hold; nobody could tell such values apart.
_NARROWEST = 1e-300


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing area with its scales.

    Attributes:
        left: First pixel of the plot; right, top, bottom likewise.
        low_x: Value at the left edge; the others likewise.
    """

    left: float
    right: float
    top: float
    bottom: float
    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        """Return the pixel of a value, kept inside the plot."""
        return _place(value, self.low_x, self.high_x, self.left, self.right)

    def y(self, value: float) -> float:
        """Return the pixel of a value, kept inside the plot."""
        return _place(value, self.low_y, self.high_y, self.bottom, self.top)

    def path(self, points: Sequence[Point]) -> str:
        """Return the points for an SVG polyline; a value that is not finite is left out."""
        finite = [(x, y) for x, y in points if math.isfinite(x) and not math.isnan(y)]
        return " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in finite)


def _place(value: float, low: float, high: float, first: float, last: float) -> float:
    part = (value - low) / (high - low) if high > low else 0.5
    return round(first + min(1.0, max(0.0, part)) * (last - first), 1)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round values inside [low, high], about so many."""
    if not high > low or not math.isfinite(high - low):
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max(1, about)
    if rough < _NARROWEST:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """Return the values of one scale as text, all with the digits that tell neighbours apart."""
    if len(values) < 2:  # noqa: PLR2004 - a step needs two
        return [f"{value:.6g}" for value in values]
    step = abs(values[1] - values[0])
    # One digit more than the step's own place where the step is 25 or 2.5 of it.
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if not math.isclose(step * 10**digits, round(step * 10**digits), rel_tol=1e-6):
        digits += 1
    return [f"{value:,.{digits}f}" for value in values]


def widened(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Return a range that holds the finite values with some air around; (0, 1) for none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    air = (high - low) * margin or abs(high) * margin or 1.0
    return low - air, high + air


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most so many points that keep the look of the line (largest triangle, three buckets)."""
    if len(points) <= most or most < 3:  # noqa: PLR2004 - first, last and one between
        return list(points)
    size = (len(points) - 2) / (most - 2)
    kept = [points[0]]
    for bucket in range(most - 2):
        start, end = int(bucket * size) + 1, int((bucket + 1) * size) + 1
        after = points[end : min(len(points), int((bucket + 2) * size) + 1)] or [points[-1]]
        middle = (sum(x for x, _ in after) / len(after), sum(y for _, y in after) / len(after))
        kept.append(max(points[start:end], key=lambda point: _triangle(kept[-1], point, middle)))
    return [*kept, points[-1]]


def _triangle(first: Point, second: Point, third: Point) -> float:
    return abs((first[0] - third[0]) * (second[1] - first[1]) - (first[0] - second[0]) * (third[1] - first[1]))


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in pixels, with what it stands for."""

    x: float
    y: float
    width: float
    height: float
    low: float
    high: float
    count: int


def histogram(bins: Sequence[tuple[float, float, int]], width: float, height: float) -> list[Bar]:
    """Return the bars of (low, high, count) bins; one that holds anything is at least a pixel high."""
    most = max((count for _, _, count in bins), default=0)
    each = width / len(bins) if bins else width
    bars = []
    for index, (low, high, count) in enumerate(bins):
        tall = max(1.0, count / most * height) if count else 0.0
        left = round(index * each, 2)
        bars.append(Bar(left, round(height - tall, 2), round(max(each - 1, 0.5), 2), round(tall, 2), low, high, count))
    return bars
