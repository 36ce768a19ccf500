"""Describe a version: every column, and the table as a whole, from the Parquet files that were just written.

One column is in memory at a time. The document has the names of ``onecode.ingestion.v1.Profile``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from onecode_ingestion.adapters.reading.parts import WrittenPart
from onecode_ingestion.adapters.reading.text_form import cell_text
from onecode_ingestion.domain.columns import ColumnType
from onecode_ingestion.domain.findings import INFO, WARNING, Finding
from onecode_ingestion.domain.statistics import describe

_TOP = 20
_CLASSES = 50
_EXAMPLES = 5
_SHOWN_CHARS = 100
_MICROSECOND = 1e-6

Codes = NDArray[np.uint64]


def profile(parts: Sequence[WrittenPart], types: dict[str, ColumnType], target: str) -> dict[str, Any]:
    """Return the profile document of all rows in the files."""
    rows = sum(part.rows for part in parts)
    table = _Hashes(rows)
    columns, balance = [], []
    for name, type_ in types.items():
        array = _column(parts, name)
        columns.append(_describe_column(name, type_, array))
        table.add(array, type_)
        if name == target:
            balance = _most_frequent(array, _CLASSES)
    constant = [one["name"] for one in columns if one["distinct"] <= 1 and rows > 1]
    return {
        "rows": rows,
        "duplicate_rows": table.duplicates(),
        "constant_columns": constant,
        "class_balance": balance,
        "columns": columns,
    }


def profile_findings(document: dict[str, Any], target: str) -> list[Finding]:
    """Return what the profile shows that one should know before training."""
    found = []
    rows, twice = document["rows"], document["duplicate_rows"]
    if twice:
        found.append(Finding("data.duplicates", INFO, twice, f"{twice} of {rows} rows occur before, cell for cell"))
    for column in document["columns"]:
        name = column["name"]
        if rows and column["missing"] == rows:
            found.append(Finding("data.empty_column", WARNING, rows, f"column {name!r} has no value at all", name))
        elif name in document["constant_columns"] and name != target:
            shown = column["examples"][0] if column["examples"] else ""
            detail = f"column {name!r} has only the value {shown!r}"
            found.append(Finding("data.constant_column", WARNING, rows, detail, name, params={"value": shown}))
    return found


def _column(parts: Sequence[WrittenPart], name: str) -> Any:
    # By index, for a dot in a name would be read as a path into a nested column.
    chunks: list[Any] = []
    for part in parts:
        with pq.ParquetFile(part.path) as file:
            place = file.schema_arrow.get_field_index(name)
            for group in range(file.num_row_groups):
                chunks.extend(_one_column(file, group, place).chunks)
            kind = file.schema_arrow.field(place).type
    return pa.chunked_array(chunks, kind).combine_chunks()


def _one_column(file: Any, group: int, place: int) -> Any:
    return file.reader.read_row_group(group, column_indices=[place], use_threads=False).column(0)


def _describe_column(name: str, type_: ColumnType, array: Any) -> dict[str, Any]:
    known = array.drop_null()
    distinct = int(pc.count_distinct(known).as_py())
    described: dict[str, Any] = {
        "name": name,
        "type": type_.value,
        "missing": int(array.null_count),
        "distinct": distinct,
        "examples": [_shown(one) for one in known[:1000].unique()[:_EXAMPLES]],
    }
    if type_ in (ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.TIMESTAMP):
        described |= describe(_numbers(known, type_))
    if type_ in (ColumnType.TEXT, ColumnType.BOOLEAN) or distinct <= _TOP:
        described["top_values"] = _most_frequent(known, _TOP)
    return described


def _numbers(known: Any, type_: ColumnType) -> NDArray[np.float64]:
    if type_ is ColumnType.TIMESTAMP:
        seconds = np.asarray(known.cast(pa.int64()).to_numpy(zero_copy_only=False), np.float64)
        return seconds * _MICROSECOND
    return np.asarray(known.to_numpy(zero_copy_only=False), np.float64)


def _most_frequent(array: Any, most: int) -> list[dict[str, Any]]:
    counted = pc.value_counts(array.drop_null())
    values, counts = counted.field("values"), counted.field("counts")
    order = pc.sort_indices(
        pa.table({"values": values, "counts": counts}), sort_keys=[("counts", "descending"), ("values", "ascending")]
    )[:most]
    return [{"value": _shown(values[place.as_py()]), "count": counts[place.as_py()].as_py()} for place in order]


def _shown(scalar: Any) -> str:
    return (cell_text(scalar) or "")[:_SHOWN_CHARS]


class _Hashes:
    """128 bits for each row, built up column by column: equal rows are equal, others differ but by a miracle."""

    _SEEDS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
    _MISSING = np.uint64(0xFFFF_FFFF_FFFF_FFFE)

    def __init__(self, rows: int) -> None:
        self._halves = [np.full(rows, seed, np.uint64) for seed in self._SEEDS]

    def add(self, array: Any, type_: ColumnType) -> None:
        """Mix the next column in."""
        codes = self._codes(array, type_)
        for place, seed in enumerate(self._SEEDS):
            self._halves[place] = _mixed(self._halves[place] ^ _mixed(codes + np.uint64(seed)))

    def duplicates(self) -> int:
        """Return how many rows are equal to an earlier one."""
        if not len(self._halves[0]):
            return 0
        both = np.empty(len(self._halves[0]), dtype=[("a", np.uint64), ("b", np.uint64)])
        both["a"], both["b"] = self._halves
        both.sort(order=("a", "b"))
        return int(np.count_nonzero(both[1:] == both[:-1]))

    def _codes(self, array: Any, type_: ColumnType) -> Codes:
        if type_ is ColumnType.FLOAT:
            values = np.asarray(pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False), np.float64) + 0.0
            codes = values.view(np.uint64).copy()
        elif type_ is ColumnType.TEXT:
            indices = array.dictionary_encode().indices
            codes = np.asarray(pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)).astype(np.uint64)
        else:
            whole = array.cast(pa.int64())
            codes = np.asarray(pc.fill_null(whole, 0).to_numpy(zero_copy_only=False), np.int64).view(np.uint64).copy()
        missing = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)
        codes[missing] = self._MISSING
        return codes


def _mixed(bits: Codes) -> Codes:
    """Return the finaliser of SplitMix64: every input bit moves every output bit."""
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))
