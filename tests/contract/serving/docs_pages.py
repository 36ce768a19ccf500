"""The how-to pages of serving, cut into what can be run or compared."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("predict", "secure-serving", "stream-and-sequences", "shared-memory", "migrate-serving", "trace-predictions")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(page: str) -> str:
    """Return a page."""
    return (HOW_TO / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    """Return the fenced blocks of a kind: ``python``, ``sh``, ``json``, or empty for what is only shown."""
    return [body for found, body in _FENCE.findall(text_of(page)) if found == kind]


def settings(page: str) -> dict[str, str]:
    """Return the settings that a page gives, under the names of the inference server, without their prefix."""
    given = "\n".join(blocks(page, ""))
    return dict(re.findall(r"^ONECODE_(?:INFERENCE|EDGE)_(\w+)=(\S*)", given, re.MULTILINE))


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first cell begins with ``heading``, without its head."""
    lines = text_of(page).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {heading}")) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found
