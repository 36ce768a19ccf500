"""Save the report as JSON for programs and as one HTML file with charts for people."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from onecode_common.files import write_file
from onecode_standalone.demo.claims import Chapter, all_hold, as_document

_WIDTH, _HEIGHT, _LEFT, _TOP = 680, 240, 56, 16
_STYLE = """
body{font:15px/1.55 system-ui,"PingFang SC","Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:60rem;
 padding:0 1rem;color:#1b1f27;background:#f7f8fa}
section{background:#fff;border:1px solid #d5dae2;border-radius:8px;padding:1rem 1.25rem;margin:1rem 0}
h1{font-size:1.7rem}h2{font-size:1.15rem;margin:.2rem 0 .8rem}
table{border-collapse:collapse;width:100%;table-layout:fixed}
td:first-child{width:1.4rem}td:nth-child(2){width:46%}
td,th{padding:.3rem .5rem;border-bottom:1px solid #d5dae2;text-align:left;vertical-align:top}
td.number{font-variant-numeric:tabular-nums}.ok{color:#1a7f37}.bad{color:#b3261e;font-weight:600}
.mute{color:#5a6372}svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#5a6372}
"""


def save(folder: Path, chapters: list[Chapter], links: Mapping[str, str], charts: Sequence[str]) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html`` and return their paths.

    Args:
        folder: Made when missing.
        chapters: The story.
        links: Where to look further, by title.
        charts: SVG elements made by :func:`evidence_chart`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = folder / "report.json"
    page = folder / "report.html"
    write_file(document, json.dumps(as_document(chapters, links), indent=2, ensure_ascii=False).encode())
    write_file(page, _page(chapters, links, charts).encode())
    return document, page


def evidence_chart(title: str, rollout: Mapping[str, object]) -> str:
    """Return an SVG of the log e-values over candidate requests, with the limits drawn.

    Args:
        title: What it shows.
        rollout: A rollout as the REST API gives it.
    """
    points = rollout.get("evidence")
    if not isinstance(points, list) or not points:
        return ""
    xs = [_number(point, "candidate_requests") for point in points]
    lines = {
        "worse (roll back)": ([_number(point, "log_e_worse") for point in points], "#b3261e"),
        "good enough (ratio)": ([_number(point, "log_e_better") for point in points], "#0b5cad"),
        "good enough (few errors)": ([_number(point, "log_e_floor") for point in points], "#1a7f37"),
    }
    limits = {
        "roll back": (_number(rollout, "threshold_rollback"), "#b3261e"),
        "promote": (_number(rollout, "threshold_floor") or _number(rollout, "threshold_promote"), "#1a7f37"),
    }
    top = max([limit for limit, _ in limits.values()] + [max(ys) for ys, _ in lines.values()]) * 1.15 or 1.0
    return _svg(title, xs, lines, limits, top)


def _svg(
    title: str,
    xs: Sequence[float],
    lines: Mapping[str, tuple[Sequence[float], str]],
    limits: Mapping[str, tuple[float, str]],
    top: float,
) -> str:
    right, floor = _WIDTH - 12, _HEIGHT - 34
    # Evidence against can fall without end; what is far below zero says nothing more.
    bottom = max(min(min(ys) for ys, _ in lines.values()), -top)
    widest = max([*xs, 1.0])

    def place(x: float, y: float) -> str:
        across = _LEFT + (right - _LEFT) * x / widest
        down = floor - (floor - _TOP) * (max(y, bottom) - bottom) / (top - bottom)
        return f"{across:.1f},{down:.1f}"

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 24}" role="img" aria-label="{html.escape(title)}">']
    for name, (limit, colour) in limits.items():
        start, end = place(0, limit), place(widest, limit)
        parts.append(f'<polyline points="{start} {end}" fill="none" stroke="{colour}" stroke-dasharray="6 4"/>')
        parts.append(f'<text x="{_LEFT + 4}" y="{float(start.split(",")[1]) - 4:.1f}">{name} at {limit:.2f}</text>')
    for index, (name, (ys, colour)) in enumerate(lines.items()):
        path = " ".join(place(x, y) for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{_LEFT + index * 200}" y="{_HEIGHT + 8}" width="12" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 18 + index * 200}" y="{_HEIGHT + 14}">{html.escape(name)}</text>')
    parts.append(f'<line x1="{_LEFT}" y1="{floor}" x2="{right}" y2="{floor}" stroke="#868e9b"/>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = _LEFT + (right - _LEFT) * share
        parts.append(f'<text x="{x:.0f}" y="{floor + 16}" text-anchor="{anchor}">{widest * share:,.0f}</text>')
    parts.append(f'<text x="{right}" y="{_HEIGHT - 4}" text-anchor="end">requests answered by the candidate</text>')
    parts.append(f'<text x="4" y="{_TOP + 8}">ln e</text></svg>')
    return f"<figure><figcaption><b>{html.escape(title)}</b></figcaption>{''.join(parts)}</figure>"


def _number(mapping: object, name: str) -> float:
    value = mapping.get(name, 0) if isinstance(mapping, Mapping) else 0
    return float(value) if isinstance(value, int | float | str) else 0.0


def _page(chapters: list[Chapter], links: Mapping[str, str], charts: Sequence[str]) -> str:
    good = all_hold(chapters)
    verdict = '<b class="ok">Every claim holds.</b>' if good else '<b class="bad">Not every claim holds.</b>'
    total = sum(chapter.seconds for chapter in chapters)
    sections = "".join(_section(number, chapter) for number, chapter in enumerate(chapters))
    anchors = "".join(f'<li><a href="{html.escape(url)}">{html.escape(name)}</a></li>' for name, url in links.items())
    drawn = "".join(f"<section>{chart}</section>" for chart in charts if chart)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>OneCode demo</title><style>{_STYLE}</style>'
        f'<h1>OneCode demo</h1><p>{verdict} <span class="mute">The story took {total:.0f} s.</span></p>'
        f"{sections}<h2>Evidence</h2>{drawn}<section><h2>Look further</h2><ul>{anchors}</ul></section></html>"
    )


def _section(number: int, chapter: Chapter) -> str:
    claims = "".join(
        f'<tr><td class="{"ok" if claim.holds else "bad"}">{"✓" if claim.holds else "✕"}</td>'
        f"<td>{html.escape(claim.text)}</td><td class='number'>{html.escape(claim.seen)}</td></tr>"
        for claim in chapter.claims
    )
    facts = "".join(
        f'<tr><td></td><td class="mute">{html.escape(name)}</td><td class="number">{html.escape(str(value))}</td></tr>'
        for name, value in chapter.facts.items()
    )
    head = f'{number}. {html.escape(chapter.title)} <span class="mute">{chapter.seconds:.1f} s</span>'
    return f"<section><h2>{head}</h2><table>{claims}{facts}</table></section>"
