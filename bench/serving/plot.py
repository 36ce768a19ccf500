"""Draw a plain plot as SVG text, so that a page needs no library and no script to show it."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _BAR, _GAP, _LEFT, _TOP = 760, 22, 8, 210, 40
_CURVE = (760, 320, 70, 40)


def bars(title: str, values: Mapping[str, float]) -> str:
    """Return horizontal bars, the longest across the whole width."""
    top = max(values.values())
    height = _TOP + len(values) * (_BAR + _GAP) + _GAP
    parts = [_text(8, 22, title, "font-weight='bold'")]
    for number, (name, value) in enumerate(values.items()):
        y = _TOP + number * (_BAR + _GAP)
        width = (_WIDTH - _LEFT - 70) * value / top
        parts.append(_text(_LEFT - 8, y + 16, name, "text-anchor='end'"))
        parts.append(f"<rect x='{_LEFT}' y='{y}' width='{max(1.0, width):.1f}' height='{_BAR}' fill='#3b6ea5'/>")
        parts.append(_text(_LEFT + width + 6, y + 16, f"{value:.3g}"))
    return _svg(_WIDTH, height, parts)


def curve(title: str, points: Sequence[tuple[float, float]], across: str, up: str) -> str:
    """Return one line through points, with the axes' ends written beside them."""
    width, height, left, top = _CURVE
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = 0.0, max(ys) * 1.1 or 1.0
    span = (max(xs) - min(xs)) or 1.0
    inner, tall = width - left - 20, height - top - 40
    places = (
        f"{left + (x - min(xs)) / span * inner:.1f},{top + tall - (y - low) / (high - low) * tall:.1f}"
        for x, y in points
    )
    parts = [
        _text(8, 22, title, "font-weight='bold'"),
        f"<rect x='{left}' y='{top}' width='{inner}' height='{tall}' fill='none' stroke='#999'/>",
        f"<polyline points='{' '.join(places)}' fill='none' stroke='#3b6ea5' stroke-width='2'/>",
        _text(left - 6, top + 12, f"{high:.3g}", "text-anchor='end'"),
        _text(left - 6, top + tall, f"{low:.3g}", "text-anchor='end'"),
        _text(left, height - 20, f"{min(xs):.3g}"),
        _text(left + inner, height - 20, f"{max(xs):.3g} {across}", "text-anchor='end'"),
        _text(8, top + tall / 2, up),
    ]
    return _svg(width, height, parts)


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(words)}</text>"


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    box = f"viewBox='0 0 {width} {height}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {box} font-family='sans-serif' font-size='13'>"
    return "\n".join((head, f"<rect width='{width}' height='{height}' fill='white'/>", *parts, "</svg>\n"))
