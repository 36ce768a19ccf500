"""Read CSV strictly, as RFC 4180 has it, with the line number of every row.

Readers disagree on the same bytes, so there is only this one: quotes are double quotes, doubled inside; a row is never
shifted to fit; what is not clear is an error that names its line.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from onecode_common.errors import ExhaustedError, InvalidError, OnecodeError
from onecode_ingestion.adapters.reading.source import LINE_CHARS, line_too_long
from onecode_ingestion.domain.limits import Limits

_PEEK = 1 << 20
_PEEKS = 64
_BATCH_ROWS = 50_000
_BATCH_CHARS = 16 << 20


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows.

    Attributes:
        rows: Cells as text.
        lines: Line numbers on which the rows begin, from 1.
    """

    rows: list[list[str]]
    lines: list[int]


class CsvRows:
    """The rows of one text.

    Args:
        text: Opened with ``newline=""``.
        delimiter: One character.
        limits: On cells.
        most_chars: Stop after about so many characters; see :attr:`cut`.
    """

    def __init__(self, text: TextIO, delimiter: str, limits: Limits, most_chars: int | None = None) -> None:
        csv.field_size_limit(limits.cell_chars)
        self._text = text
        self._delimiter = delimiter
        self._limits = limits
        self._most_chars = most_chars
        self._chars = 0
        self._number = 0
        self._pending: list[str] = []
        self.blank_lines = 0
        self.cut = False

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number, cells) of every row that is not blank.

        Raises:
            InvalidError: A quote is misplaced or never closed, or there is a NUL.
            ExhaustedError: A cell or a line is too long.
        """
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        begins = 1
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise self._explained(str(error), begins) from error
            if row is None:
                return
            if row:
                yield begins, row
            else:
                self.blank_lines += 1
            self._pending.clear()
            begins = self._number + 1
            if self._most_chars is not None and self._chars >= self._most_chars:
                self.cut = bool(self._text.read(1))
                return

    def batches(self, rows: Iterator[tuple[int, list[str]]]) -> Iterator[RowBatch]:
        """Yield the rows in portions that fit into memory."""
        some: list[list[str]] = []
        lines: list[int] = []
        begun = self._chars
        for number, row in rows:
            some.append(row)
            lines.append(number)
            if len(some) >= _BATCH_ROWS or self._chars - begun >= _BATCH_CHARS:
                yield RowBatch(some, lines)
                some, lines, begun = [], [], self._chars
        if some:
            yield RowBatch(some, lines)

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(LINE_CHARS + 1):
            self._number += 1
            self._chars += len(line)
            if len(line) > LINE_CHARS:
                raise line_too_long(self._number)
            if "\0" in line:
                raise self._nul(line)
            self._pending.append(line)
            yield line

    def _nul(self, line: str) -> InvalidError:
        column = line[: line.index("\0")].count(self._delimiter) + 1
        message = f"line {self._number} holds a NUL byte in its cell {column}"
        hint = "the file is damaged or not text: export it again"
        params = {"row": self._number, "column": column}
        return InvalidError(message, code="data.nul_byte", hint=hint, params=params)

    def _explained(self, text: str, begins: int) -> OnecodeError:
        opened = _open_quote(self._pending, self._delimiter)
        if "field larger" in text:
            if opened is not None and not self._more_quotes():
                return _unclosed(begins + opened)
            message = f"line {self._number} holds a cell of more than {self._limits.cell_chars} characters"
            params = {"row": self._number, "limit": self._limits.cell_chars}
            return ExhaustedError(message, code="data.cell_too_large", params=params)
        if "unexpected end" in text and opened is not None:
            return _unclosed(begins + opened)
        if self._number > begins:
            # A quote that was forgotten swallows lines until the next one, which then seems misplaced.
            return _unclosed(begins + _last_opened(self._pending, self._delimiter))
        message = f"line {self._number} has a quote in the wrong place: {text}"
        hint = 'a quote inside a quoted cell is written twice: ""'
        return InvalidError(message, code="data.bad_quote", hint=hint, params={"row": self._number})

    def _more_quotes(self) -> bool:
        return any('"' in self._text.read(_PEEK) for _ in range(_PEEKS))


def _open_quote(lines: list[str], delimiter: str) -> int | None:
    """Return the index of the line on which a quote was opened that is still open at the end, or None."""
    opened, is_open = _walk(lines, delimiter)
    return opened if is_open else None


def _last_opened(lines: list[str], delimiter: str) -> int:
    return _walk(lines, delimiter)[0]


def _walk(lines: list[str], delimiter: str) -> tuple[int, bool]:
    at_start, inside, closed, opened = True, False, False, 0
    for index, line in enumerate(lines):
        for one in line:
            if inside:
                inside = one != '"'
                closed = not inside
            elif one == '"' and (closed or at_start):
                # Right after a closing quote it is the second half of a doubled one.
                opened = opened if closed else index
                inside, closed = True, False
            else:
                closed = False
            at_start = not inside and (one == delimiter or one in "\r\n")
    return opened, inside


def _unclosed(line: int) -> InvalidError:
    message = f"the quote that opens a cell on line {line} is never closed"
    return InvalidError(message, code="data.unclosed_quote", hint="close or remove the quote", params={"row": line})
