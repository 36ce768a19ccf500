"""Guess how a table is written down (delimiter, header, decimal sign) from its first lines.

The preview shows each guess, and a person may correct it.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence

from onecode_ingestion.domain import cells

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 200
_NUMBER = re.compile(cells.NUMBER)
_COMMA = re.compile(cells.NUMBER_COMMA)
_TIME = re.compile(cells.TIMESTAMP)
_PLAIN = re.compile(r"^[+-]?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?$")
_WITH_COMMA = re.compile(r"^[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?$")


def sample_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the first rows split at the delimiter; a quote that stays open ends the sample."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error:
        return rows
    return rows


def guess_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that parts the lines most evenly into cells that look whole; a comma in doubt."""
    scores = [(_score(sample_rows(lines, one), one), -place, one) for place, one in enumerate(DELIMITERS)]
    best = max(scores)
    return best[2] if best[0] > (0.0, 0) else ","


def _score(rows: Sequence[Sequence[str]], delimiter: str) -> tuple[float, int]:
    if not rows:
        return 0.0, 0
    width, common = Counter(len(row) for row in rows).most_common(1)[0]
    if width < 2:  # noqa: PLR2004 - it parts nothing
        return 0.0, 0
    every = [cell for row in rows for cell in row]
    whole = sum(_looks_whole(cell.strip(), delimiter) for cell in every)
    return round(common / len(rows) * whole / len(every), 3), width


def _looks_whole(cell: str, delimiter: str) -> bool:
    if _NUMBER.match(cell) or _TIME.match(cell) or (delimiter != "," and _COMMA.match(cell)):
        return True
    return not any(other in cell for other in DELIMITERS if other != delimiter)


def guess_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds names: no cell of it is a number or a time, and not all are empty."""
    if not rows:
        return True
    first = [cell.strip() for cell in rows[0]]
    if any(_NUMBER.match(cell) or _COMMA.match(cell) or _TIME.match(cell) for cell in first):
        return False
    return any(first)


def guess_decimal_comma(rows: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Return whether numbers are written ``1,5``: more cells look so than like ``1.5``."""
    if delimiter == ",":
        return False
    every = [cell.strip() for row in rows for cell in row]
    return sum(bool(_WITH_COMMA.match(cell)) for cell in every) > sum(bool(_PLAIN.match(cell)) for cell in every)
