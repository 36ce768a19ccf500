"""Name the columns of a data set and their types."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ColumnType(StrEnum):
    """What the cells of a column are. Missing cells are allowed in each."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a version.

    Attributes:
        name: Unique in its schema.
        type: Of every cell.
        nullable: At least one cell is missing.
    """

    name: str
    type: ColumnType
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a version, and the roles of some of them (empty: nobody has that role)."""

    columns: tuple[Column, ...]
    target: str = ""
    time_column: str = ""
    id_column: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form; it is part of the version's id, so it may only grow by what is left out when unset."""
        return {
            "columns": [{"name": one.name, "type": one.type.value, "nullable": one.nullable} for one in self.columns],
            "target": self.target,
            "time_column": self.time_column,
            "id_column": self.id_column,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schema":
        """Return what :meth:`to_document` wrote."""
        columns = (Column(one["name"], ColumnType(one["type"]), one["nullable"]) for one in document["columns"])
        return cls(tuple(columns), document["target"], document["time_column"], document["id_column"])
