"""Say how the bytes of an upload are to be read; what is left open is inferred."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onecode_common.errors import InvalidError
from onecode_ingestion.domain.columns import ColumnType

FORMATS = ("csv", "parquet")
ENCODINGS = ("utf-8", "gb18030", "utf-16")
REFUSE, DROP, MISSING = "refuse", "drop", "missing"
_RAGGED = ("", REFUSE, DROP)
_BAD_CELLS = ("", REFUSE, MISSING)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read; empty text and None mean: not said.

    Attributes:
        format: ``csv`` (also compressed with gzip) or ``parquet``.
        encoding: One of :data:`ENCODINGS`; a byte-order mark is always understood.
        delimiter: One character.
        header: Whether the first row holds names.
        decimal_comma: Whether ``1,5`` is one and a half.
        columns: Types by column name, against inference.
        target: Column to be predicted.
        time_column: Column that orders the rows in time.
        id_column: Column that names what a row is about.
        ragged_rows: ``refuse`` or ``drop`` rows whose number of cells differs from the header's.
        bad_cells: ``refuse`` cells that do not fit their column's type, or count them as ``missing``.
    """

    format: str = ""
    encoding: str = ""
    delimiter: str = ""
    header: bool | None = None
    decimal_comma: bool | None = None
    columns: tuple[tuple[str, ColumnType], ...] = ()
    target: str = ""
    time_column: str = ""
    id_column: str = ""
    ragged_rows: str = ""
    bad_cells: str = ""

    def checked(self) -> "ReadOptions":
        """Return the options if they can be meant.

        Raises:
            InvalidError: A value is none of the allowed, or a column is typed twice.
        """
        for name, allowed in _ALLOWED:
            value = getattr(self, name)
            if value not in allowed:
                known = ", ".join(one for one in allowed if one)
                raise _refused(name, value, f"use one of {known}")
        bad_delimiter = self.delimiter.isalnum() or self.delimiter in ('"', "\n", "\r", "\0", ".")
        if self.delimiter and (len(self.delimiter) != 1 or bad_delimiter):
            raise _refused("delimiter", self.delimiter, "use one character such as , ; | or a tab")
        names = [name for name, _ in self.columns]
        twice = next((name for name in names if names.count(name) > 1), None) if names else None
        if twice is not None:
            raise _refused("columns", twice, "say the type of a column once")
        return self

    def filled(self, **values: Any) -> "ReadOptions":
        """Return the options with these values where nothing was said."""
        return replace(self, **{name: value for name, value in values.items() if getattr(self, name) in ("", None)})

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form; of resolved options it is part of the version's id."""
        return {
            "format": self.format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header": self.header,
            "decimal_comma": self.decimal_comma,
            "columns": [[name, type_.value] for name, type_ in sorted(self.columns)],
            "target": self.target,
            "time_column": self.time_column,
            "id_column": self.id_column,
            "ragged_rows": self.ragged_rows,
            "bad_cells": self.bad_cells,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ReadOptions":
        """Return what :meth:`to_document` wrote."""
        columns = tuple((name, ColumnType(type_)) for name, type_ in document["columns"])
        return cls(**{**document, "columns": columns})


_ALLOWED = (
    ("format", ("", *FORMATS)),
    ("encoding", ("", *ENCODINGS)),
    ("ragged_rows", _RAGGED),
    ("bad_cells", _BAD_CELLS),
)


def _refused(field: str, value: str, hint: str) -> InvalidError:
    shown = value[:80]
    message = f"read option {field} cannot be {shown!r}: {hint}"
    return InvalidError(message, code="options.invalid", hint=hint, params={"field": field, "value": shown})


def unknown_column(role: str, name: str, known: tuple[str, ...]) -> InvalidError:
    """Return the error for an option that names a column which is not there."""
    some = ", ".join(known[:20])
    message = f"{role} {name[:80]!r} is not a column: the columns are {some}"
    return InvalidError(message, code="options.column_unknown", params={"role": role, "value": name[:80]})
