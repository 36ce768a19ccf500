"""Understand a CSV text and read it: one pass to decide what the columns are, one to take their values."""

import io
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa

from onecode_common.errors import InvalidError
from onecode_ingestion.adapters.reading.arrays import count_cells, to_values
from onecode_ingestion.adapters.reading.csv_rows import CsvRows, RowBatch
from onecode_ingestion.adapters.reading.source import Source, check_inside, find_encoding
from onecode_ingestion.adapters.reading.table import (
    BadCells,
    arrow_schema,
    check_columns,
    check_rows,
    resolved,
    typed,
)
from onecode_ingestion.domain.cells import Tally, infer_type
from onecode_ingestion.domain.columns import ColumnType
from onecode_ingestion.domain.dialect import guess_decimal_comma, guess_delimiter, guess_header, sample_rows
from onecode_ingestion.domain.encodings import UTF8
from onecode_ingestion.domain.findings import ERROR, INFO, WARNING, Finding, Occurrences
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.names import clean_names, numbered_names
from onecode_ingestion.domain.options import DROP, ReadOptions

_SAMPLE_CHARS = 1 << 18
_SAMPLE_LINES = 400
_UNLIMITED = 1 << 62


class CsvTable:
    """The table in a CSV file; see :class:`onecode_ingestion.adapters.reading.table.Table`.

    Args:
        source: The file.
        options: As the caller said; the rest is inferred from the content.
        limits: On columns and cells.
        most_chars: For a preview: look at about so many characters only.

    Raises:
        InvalidError: It cannot be read; the code says why.
        ExhaustedError: It is too large somewhere.
    """

    def __init__(self, source: Source, options: ReadOptions, limits: Limits, most_chars: int | None = None) -> None:
        check_inside(source)
        self._source = source
        self._limits = limits
        self._most_chars = most_chars
        self._asked = options
        self.encoding = find_encoding(source, options.encoding, most_chars or _UNLIMITED)
        options = self._with_dialect(options.filled(format="csv", encoding=self.encoding))
        self._delimiter, self._comma = options.delimiter, bool(options.decimal_comma)
        self._has_header = bool(options.header)
        self._ragged = Occurrences()
        self._blank = 0
        self._share = 1.0
        self._names, self._name_findings, tallies = self._survey()
        inferred = {name: infer_type(tally) for name, tally in zip(self._names, tallies, strict=True)}
        self.types: dict[str, ColumnType] = typed(inferred, options)
        self.options = resolved(options, self.types)

    @property
    def dropped(self) -> int:
        """Rows left out because they were ragged."""
        return self._ragged.count

    def share_read(self) -> float:
        """Return how much of the file was read, 0 to 1."""
        return self._share

    def batches(self, tally: BadCells) -> Iterator[Any]:
        """Yield record batches of typed columns."""
        schema = arrow_schema(self.types)
        with self._open() as text:
            for batch in self._even_batches(text, Occurrences()):
                lines = np.asarray(batch.lines, np.int64)
                arrays = []
                for (name, type_), column in zip(self.types.items(), zip(*batch.rows, strict=True), strict=True):
                    written = pa.array(column, pa.string())
                    values = to_values(written, type_, decimal_comma=self._comma)
                    tally.add(name, values, lines, written)
                    arrays.append(values.array)
                yield pa.record_batch(arrays, schema=schema)

    def findings(self) -> list[Finding]:
        """Return what was noticed about encoding, names and the shape of rows."""
        found = list(self._name_findings)
        if self._ragged.count:
            severity = WARNING if self._asked.ragged_rows == DROP else ERROR
            line, values, width = self._ragged.rows[0], self._ragged.example, len(self._names)
            detail = f"line {line} has {values} values, the header has {width} columns ({self._ragged.count} such rows)"
            params = {"row": str(line), "values": values, "columns": str(width)}
            rows = tuple(self._ragged.rows)
            found.insert(0, Finding("data.ragged", severity, self._ragged.count, detail, "", rows, params))
        if self.encoding != UTF8 and not self._asked.encoding:
            detail = f"the text is not UTF-8: it was read as {self.encoding.upper()}, check the preview"
            found.append(Finding("data.encoding", WARNING, 1, detail, params={"encoding": self.encoding}))
        if self._blank:
            found.append(Finding("data.blank_lines", INFO, self._blank, f"{self._blank} blank lines were skipped"))
        return found

    def _open(self) -> io.TextIOWrapper:
        return self._source.text(self.encoding)

    def _with_dialect(self, options: ReadOptions) -> ReadOptions:
        with self._open() as text:
            lines = list(islice(text.read(_SAMPLE_CHARS).splitlines(keepends=True), _SAMPLE_LINES))
        options = options.filled(delimiter=guess_delimiter(lines))
        rows = sample_rows(lines, options.delimiter)
        return options.filled(
            header=guess_header(rows), decimal_comma=guess_decimal_comma(rows, options.delimiter)
        ).checked()

    def _survey(self) -> tuple[tuple[str, ...], list[Finding], list[Tally]]:
        with self._open() as text:
            first = next(iter(CsvRows(text, self._delimiter, self._limits)), None)
        if first is None:
            raise _empty("it has no rows")
        check_columns(len(first[1]), self._limits)
        names, findings = (
            clean_names(first[1]) if self._has_header else (numbered_names(len(first[1])), list[Finding]())
        )
        self._names = names
        tallies = [Tally() for _ in names]
        rows = 0
        with self._open() as text:
            for batch in self._even_batches(text, self._ragged):
                rows += len(batch.rows)
                check_rows(rows, self._limits)
                for tally, column in zip(tallies, zip(*batch.rows, strict=True), strict=True):
                    count_cells(pa.array(column, pa.string()), tally, decimal_comma=self._comma)
        if not rows and not self._ragged.count:
            raise _empty("it has a header and no rows")
        return names, findings, tallies

    def _even_batches(self, text: io.TextIOWrapper, ragged: Occurrences) -> Iterator[RowBatch]:
        reader = CsvRows(text, self._delimiter, self._limits, self._most_chars)
        rows = iter(reader)
        first = next(rows, None)
        if not self._has_header and first is not None:
            rows = chain([first], rows)
        yield from reader.batches(self._even(rows, ragged))
        self._blank = reader.blank_lines
        self._share = self._source.share_read() if reader.cut else 1.0

    def _even(self, rows: Iterator[tuple[int, list[str]]], ragged: Occurrences) -> Iterator[tuple[int, list[str]]]:
        width = len(self._names)
        for line, row in rows:
            if len(row) == width:
                yield line, row
            else:
                ragged.add(line, str(len(row)))


def _empty(why: str) -> InvalidError:
    return InvalidError(f"the file holds no data: {why}", code="data.empty", hint="choose a file with rows")
