"""Say what every reader of a table hands on: batches of typed columns and what was noticed on the way."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onecode_common.errors import ExhaustedError
from onecode_ingestion.adapters.reading.arrays import ARROW_TYPES, Values
from onecode_ingestion.domain.columns import Column, ColumnType, Schema
from onecode_ingestion.domain.findings import ERROR, FIRST_ROWS, WARNING, Finding, Occurrences
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import MISSING, ReadOptions, unknown_column


class Table(Protocol):
    """A table that was understood and can now be read once."""

    @property
    def options(self) -> ReadOptions:
        """How it is read; nothing is left open."""
        ...

    @property
    def types(self) -> dict[str, ColumnType]:
        """The columns in order."""
        ...

    def batches(self, tally: "BadCells") -> Iterator[Any]:
        """Yield record batches of those columns; misfits are missing there and counted in the tally."""
        ...

    def findings(self) -> list[Finding]:
        """Return what was noticed beside misfits; complete after :meth:`batches`."""
        ...

    @property
    def dropped(self) -> int:
        """Rows left out, counted after :meth:`batches`."""
        ...

    def share_read(self) -> float:
        """Return how much of the file was read, 0 to 1; less than 1 in a cut preview."""
        ...


@dataclass(slots=True)
class BadCells:
    """Counts misfits by column."""

    bad: dict[str, Occurrences] = field(default_factory=dict)
    non_finite: dict[str, Occurrences] = field(default_factory=dict)

    def add(self, name: str, values: Values, lines: NDArray[np.int64], written: Any) -> None:
        """Count the misfits of a column in a batch; ``written`` are its cells as they came."""
        for kind, mask in ((self.bad, values.bad), (self.non_finite, values.non_finite)):
            if mask.any():
                where = np.flatnonzero(mask)
                first = [int(line) for line in lines[where[:FIRST_ROWS]]]
                example = str(written[int(where[0])].as_py())[:40]
                kind.setdefault(name, Occurrences()).add_many(len(where), first, example)

    def findings(self, types: dict[str, ColumnType], options: ReadOptions) -> list[Finding]:
        """Return a finding for each column with misfits; an error unless they may become missing."""
        severity = WARNING if options.bad_cells == MISSING else ERROR
        found = []
        for code, kind, what in (
            ("data.bad_cells", self.bad, "are no {type}"),
            ("data.non_finite", self.non_finite, "are infinite or too large"),
        ):
            for name, seen in kind.items():
                text = what.format(type=types[name].value)
                detail = f"{seen.count} cells of column {name!r} {text}, first {seen.example!r} on line {seen.rows[0]}"
                params = {"value": seen.example, "type": types[name].value}
                found.append(Finding(code, severity, seen.count, detail, name, tuple(seen.rows), params))
        return found


def arrow_schema(types: dict[str, ColumnType]) -> Any:
    """Return the columns as Arrow names them."""
    return pa.schema([(name, ARROW_TYPES[type_]) for name, type_ in types.items()])


def typed(inferred: dict[str, ColumnType], options: ReadOptions) -> dict[str, ColumnType]:
    """Return the types of the columns: what was said, else what was inferred.

    Raises:
        InvalidError: A type is said of a column that is not there.
    """
    said = dict(options.columns)
    for name in said:
        if name not in inferred:
            raise unknown_column("column", name, tuple(inferred))
    return {name: said.get(name, type_) for name, type_ in inferred.items()}


def resolved(options: ReadOptions, types: dict[str, ColumnType]) -> ReadOptions:
    """Return the options with types, rules and the time column filled in.

    Raises:
        InvalidError: A role is given to a column that is not there.
    """
    for role in ("target", "time_column", "id_column"):
        name = getattr(options, role)
        if name and name not in types:
            raise unknown_column(role, name, tuple(types))
    times = [name for name, type_ in types.items() if type_ is ColumnType.TIMESTAMP]
    return ReadOptions(
        format=options.format,
        encoding=options.encoding,
        delimiter=options.delimiter,
        header=options.header,
        decimal_comma=options.decimal_comma,
        columns=tuple(types.items()),
        target=options.target,
        time_column=options.time_column or (times[0] if len(times) == 1 else ""),
        id_column=options.id_column,
        ragged_rows=options.ragged_rows or "refuse",
        bad_cells=options.bad_cells or "refuse",
    )


def schema_of(types: dict[str, ColumnType], nullable: set[str], options: ReadOptions) -> Schema:
    """Return the schema of what was read."""
    columns = tuple(Column(name, type_, name in nullable) for name, type_ in types.items())
    return Schema(columns, options.target, options.time_column, options.id_column)


def check_columns(count: int, limits: Limits) -> None:
    """Return if there are not too many columns.

    Raises:
        ExhaustedError: There are.
    """
    if count > limits.columns:
        message = f"the table has {count} columns, at most {limits.columns} are taken"
        params = {"value": count, "limit": limits.columns}
        raise ExhaustedError(message, code="data.too_many_columns", params=params)


def check_rows(count: int, limits: Limits) -> None:
    """Return if there are not too many rows.

    Raises:
        ExhaustedError: There are.
    """
    if count > limits.rows:
        message = f"the table has at least {count} rows, at most {limits.rows} are taken"
        params = {"value": count, "limit": limits.rows}
        raise ExhaustedError(message, code="data.too_many_rows", params=params)
