"""Print answers as tables for people and as documents for programs; data to stdout, talk to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

API_VERSION = "onecode/v1"
_NARROW_CELL = 60


class Format(StrEnum):
    """How to print an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Output:
    """Prints in one format.

    Args:
        form: Table, JSON or YAML. Documents carry ``apiVersion`` and ``kind`` and only ever grow.
    """

    def __init__(self, form: Format) -> None:
        self.form = form

    def document(self, document: Mapping[str, Any], kind: str = "") -> None:
        """Print one document; as a table it is two columns, name and value."""
        if self.form is Format.TABLE:
            table = _table("", ("", ""))
            for name, value in document.items():
                table.add_row(name, _cell(value))
            _print(table)
            return
        self._dump({"apiVersion": API_VERSION, **({"kind": kind} if kind else {}), **document})

    def rows(self, kind: str, name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print a list; a table shows the named columns, dots reach into nested documents."""
        if self.form is not Format.TABLE:
            self._dump({"apiVersion": API_VERSION, "kind": kind, name: list(rows)})
            return
        table = _table("", [column.replace("_", " ").replace(".", " ") for column in columns])
        for row in rows:
            table.add_row(*(_cell(_reach(row, column)) for column in columns))
        _print(table)
        if not rows:
            say(f"no {name}")

    def _dump(self, document: Mapping[str, Any]) -> None:
        if self.form is Format.JSON:
            text = json.dumps(document, ensure_ascii=False, indent=2)
        else:
            import yaml  # noqa: PLC0415 - a table or JSON must not pay for it

            text = yaml.safe_dump(_plain(document), allow_unicode=True, sort_keys=False).rstrip()
        sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Tell a person something, beside the data."""
    sys.stderr.write(f"{text}\n")


def is_terminal() -> bool:
    """Return whether somebody watches, so that bars may move."""
    return sys.stderr.isatty()


def _table(title: str, columns: Sequence[str]) -> Any:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title or None, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(renderable: Any) -> None:
    from rich.console import Console  # noqa: PLC0415

    # A pipe has no width of its own: nothing is cut there.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=400)
    console.print(renderable, markup=False)


def _reach(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value[:8]) + (" …" if len(value) > 8 else "")  # noqa: PLR2004
    text = str(value)
    return f"{text[:16]}…" if text.startswith("sha256:") else text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
