"""Show a cell as text, the same way in the preview, the profile and the paged rows."""

from typing import Any

import pyarrow as pa


def cell_text(scalar: Any) -> str | None:
    """Return the text of an Arrow scalar, None where it is missing; numbers in their shortest exact form."""
    if not scalar.is_valid:
        return None
    if pa.types.is_boolean(scalar.type):
        return "true" if scalar.as_py() else "false"
    if pa.types.is_timestamp(scalar.type):
        return str(scalar.as_py().isoformat()).replace("+00:00", "Z")
    return str(scalar.as_py())


def rows_of(table: Any, most_chars: int) -> list[list[str | None]]:
    """Return the rows of an Arrow table or batch as text; longer cells end in an ellipsis."""
    columns = [[_cut(cell_text(scalar), most_chars) for scalar in column] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _cut(text: str | None, most: int) -> str | None:
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"
