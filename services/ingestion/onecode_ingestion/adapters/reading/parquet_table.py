"""Read a Parquet file of foreign origin, a small batch at a time, and believe nothing that its footer says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onecode_common.errors import ExhaustedError, InvalidError
from onecode_ingestion.adapters.reading.arrays import ARROW_TYPES, Values, check_finite, to_values
from onecode_ingestion.adapters.reading.table import (
    BadCells,
    arrow_schema,
    check_columns,
    check_rows,
    resolved,
    typed,
)
from onecode_ingestion.domain.columns import ColumnType
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.names import clean_names
from onecode_ingestion.domain.options import ReadOptions

_BATCH_CELLS = 1_000_000
_MAX_BATCH_ROWS = 50_000
_FOOTER_STRING = 1 << 20
_FOOTER_ITEMS = 1_000_000


class ParquetTable:
    """The table in a Parquet file; see :class:`onecode_ingestion.adapters.reading.table.Table`.

    Raises:
        InvalidError: It is damaged, or a column is of a type that is no cell of a table.
        ExhaustedError: It is too large somewhere.
    """

    def __init__(self, path: Path, options: ReadOptions, limits: Limits, most_rows: int | None = None) -> None:
        self._limits = limits
        self._file = _open(path)
        metadata = self._file.metadata
        self._rows = metadata.num_rows if most_rows is None else min(most_rows, metadata.num_rows)
        self._total = metadata.num_rows
        if metadata.num_rows <= 0:
            raise InvalidError("the file holds no data: it has no rows", code="data.empty", hint="choose another file")
        check_columns(metadata.num_columns, limits)
        check_rows(metadata.num_rows, limits)
        fields = list(self._file.schema_arrow)
        names, self._name_findings = clean_names([field.name for field in fields])
        inferred = {name: _column_type(field) for name, field in zip(names, fields, strict=True)}
        self.types: dict[str, ColumnType] = typed(inferred, options)
        blank = ReadOptions(format="parquet", columns=options.columns, target=options.target)
        self.options = resolved(
            blank.filled(
                time_column=options.time_column,
                id_column=options.id_column,
                ragged_rows=options.ragged_rows,
                bad_cells=options.bad_cells,
            ),
            self.types,
        )
        self.dropped = 0

    def share_read(self) -> float:
        """Return how many of the rows are read, 0 to 1."""
        return float(self._rows / self._total)

    def findings(self) -> list[Finding]:
        """Return what was noticed about names."""
        return list(self._name_findings)

    def batches(self, tally: BadCells) -> Iterator[Any]:
        """Yield record batches of typed columns."""
        schema = arrow_schema(self.types)
        size = max(1, min(_MAX_BATCH_ROWS, _BATCH_CELLS // max(1, len(self.types))))
        begun = decoded = 0
        for batch in self._foreign_batches(size):
            decoded += batch.nbytes
            if decoded > self._limits.decoded_bytes:
                raise too_large_decoded(self._limits.decoded_bytes)
            part = batch.slice(0, self._rows - begun)
            lines = np.arange(begun + 1, begun + len(part) + 1)
            arrays = []
            for (name, type_), column in zip(self.types.items(), part.columns, strict=True):
                values, written = self._values(name, column, type_)
                tally.add(name, values, lines, written)
                arrays.append(values.array)
            begun += len(part)
            yield pa.record_batch(arrays, schema=schema)
            if begun >= self._rows:
                return
        if begun != self._rows:
            raise _corrupt(f"it announces {self._rows} rows and holds {begun}")

    def _foreign_batches(self, size: int) -> Iterator[Any]:
        batches = self._file.iter_batches(batch_size=size, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                if isinstance(error, MemoryError):
                    raise
                raise _corrupt(str(error)) from error
            if batch is None:
                return
            yield batch

    def _values(self, name: str, column: Any, type_: ColumnType) -> tuple[Values, Any]:
        nothing = np.zeros(len(column), np.bool_)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            longest = pc.max(pc.utf8_length(column)).as_py() or 0
            if longest > self._limits.cell_chars:
                message = f"column {name!r} holds a cell of {longest} characters, at most {self._limits.cell_chars} go"
                raise ExhaustedError(message, code="data.cell_too_large", params={"column": name, "value": longest})
            text = pc.fill_null(column.cast(pa.string()), "")
            return to_values(text, type_, decimal_comma=False), text
        try:
            array = column.cast(_native(column.type))
        except pa.ArrowInvalid as error:
            message = f"column {name!r} does not fit into 64 bits: {str(error)[:120]}"
            raise InvalidError(message, code="data.bad_cells", params={"column": name}) from error
        if type_ is ColumnType.FLOAT and not pa.types.is_boolean(array.type) and not _is_moment(array.type):
            return check_finite(array.cast(pa.float64(), safe=False)), array
        if array.type == ARROW_TYPES[type_]:
            return Values(array, nothing, nothing), array
        text = pc.fill_null(array.cast(pa.string()), "")
        return to_values(text, type_, decimal_comma=False), text


def too_large_decoded(limit: int) -> ExhaustedError:
    """Return the error for a file whose values need more memory than one file may."""
    message = f"the values of the file need more than {limit} bytes of memory"
    hint = "upload fewer rows at once"
    return ExhaustedError(message, code="data.too_large_decoded", hint=hint, params={"limit": limit})


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(
            path,
            memory_map=False,
            pre_buffer=False,
            thrift_string_size_limit=_FOOTER_STRING,
            thrift_container_size_limit=_FOOTER_ITEMS,
            page_checksum_verification=True,
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        raise _corrupt(str(error)) from error


def _column_type(field: Any) -> ColumnType:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    for is_kind, type_ in (
        (pa.types.is_boolean, ColumnType.BOOLEAN),
        (pa.types.is_integer, ColumnType.INTEGER),
        (pa.types.is_floating, ColumnType.FLOAT),
        (pa.types.is_decimal, ColumnType.FLOAT),
        (_is_moment, ColumnType.TIMESTAMP),
        (pa.types.is_string, ColumnType.TEXT),
        (pa.types.is_large_string, ColumnType.TEXT),
    ):
        if is_kind(kind):
            return type_
    message = f"column {field.name[:80]!r} is of type {str(field.type)[:80]}, which is no cell of a table"
    hint = "write it as numbers, booleans, timestamps or text"
    params = {"column": field.name[:80], "value": str(field.type)[:80]}
    raise InvalidError(message, code="data.column_type_not_accepted", hint=hint, params=params)


def _native(kind: Any) -> Any:
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    return ARROW_TYPES[ColumnType.TIMESTAMP] if _is_moment(kind) else kind


def _is_moment(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _corrupt(why: str) -> InvalidError:
    text = " ".join(why.split())[:160]
    message = f"the Parquet file is damaged: {text}"
    return InvalidError(message, code="data.corrupt", hint="export and upload it again", params={"found": text})
