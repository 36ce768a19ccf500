"""Keep what was noticed while reading, and decide which of it forbids a commit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onecode_common.errors import InvalidError

INFO, WARNING, ERROR = "info", "warning", "error"
FIRST_ROWS = 5
"""How many line numbers a finding names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing before committing or training.

    Attributes:
        code: Stable dotted name.
        severity: ``info``, ``warning`` or ``error``; an error refuses a commit until an option settles it.
        column: Which column, or empty.
        count: How often.
        rows: Line numbers of the file where it begins, counted from 1, the first few.
        detail: One sentence.
        params: Values for a catalogue of texts.
    """

    code: str
    severity: str
    count: int
    detail: str
    column: str = ""
    rows: tuple[int, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "code": self.code,
            "severity": self.severity,
            "count": self.count,
            "detail": self.detail,
            "column": self.column,
            "rows": list(self.rows),
            "params": dict(self.params),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Finding":
        """Return what :meth:`to_document` wrote."""
        return cls(**{**document, "rows": tuple(document["rows"])})


_HINTS = {
    "data.ragged": "correct the file, or choose ragged_rows = drop",
    "data.bad_cells": "correct the file, choose bad_cells = missing, or make the column text",
    "data.non_finite": "correct the file, choose bad_cells = missing, or make the column text",
}


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Return if nothing forbids a commit.

    Raises:
        InvalidError: The first finding of severity ``error``; its code is the error's.
    """
    for finding in findings:
        if finding.severity == ERROR:
            raise InvalidError(
                finding.detail,
                code=finding.code,
                hint=_HINTS.get(finding.code, "correct the file"),
                params={
                    **finding.params,
                    "column": finding.column,
                    "count": finding.count,
                    "rows": ", ".join(str(row) for row in finding.rows),
                },
            )


class Occurrences:
    """Counts one kind of finding while rows go by, and remembers where it began."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: list[int] = []
        self.example = ""

    def add(self, row: int, example: str = "") -> None:
        """Count one at a line number."""
        self.add_many(1, [row], example)

    def add_many(self, count: int, rows: Iterable[int], example: str = "") -> None:
        """Count several; ``rows`` may be just the first few of them."""
        if not self.count:
            self.example = example
        self.count += count
        for row in rows:
            if len(self.rows) >= FIRST_ROWS:
                return
            self.rows.append(row)
