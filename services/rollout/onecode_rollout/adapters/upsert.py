"""Insert a row or replace the one with its key, in one statement on both databases."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any],
    *,
    only_if: ColumnElement[bool] | None = None,
) -> bool:
    """Write the row; with ``only_if`` an existing one is replaced only where that holds of it.

    Returns:
        Whether a row was written.
    """
    keys = [column.name for column in table.primary_key]
    statement = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table).values(dict(values))
    changes = {name: statement.excluded[name] for name in values if name not in keys}
    done = connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes, where=only_if))
    return done.rowcount > 0
