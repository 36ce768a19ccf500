"""Copy a service's PostgreSQL database as one snapshot, and fill an empty one from the copy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from onecode_common.database import Database
from onecode_common.errors import PreconditionError, UnavailableError
from onecode_common.migrations import newest, upgrade
from onecode_standalone.backup.manifest import Dump, Rows

_VERSION_TABLE = "alembic_version"
_OWN = frozenset({_VERSION_TABLE, "schema_reader", "restored"})
"""Tables that the migrations fill."""

AddFile = Callable[[Path], str]
"""Takes a file, stores its content and returns its SHA-256."""


def dump_postgres(
    service: str, url: str, scratch: Path, add: AddFile, named: LiteralString | None
) -> tuple[Dump, set[str]]:
    """Copy all rows as they were at one instant.

    Args:
        service: Whose database it is.
        url: ``postgresql+psycopg://…``.
        scratch: Folder for one table's rows at a time.
        add: Stores them.
        named: Query for the digests of objects that the rows name.

    Returns:
        The dump, and the digests that the snapshot names.

    Raises:
        UnavailableError: The database does not answer.
        PreconditionError: It has no schema yet.
    """
    with _connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        columns = _columns(cursor)
        if _VERSION_TABLE not in columns:
            message = f"the database of {service} has no schema: start the service once, or correct its URL"
            raise PreconditionError(message, code="backup.empty_database", params={"service": service})
        cursor.execute("SELECT version_num FROM alembic_version")
        (revision,) = cursor.fetchone() or ("",)
        tables = []
        for table in _in_order(cursor, sorted(set(columns) - _OWN)):
            path = _copy_out(cursor, table, columns[table], scratch)
            tables.append(Rows(table, tuple(columns[table]), add(path)))
            path.unlink()
        digests = {str(value) for (value,) in cursor.execute(named)} if named is not None else set()
        return Dump(service, str(revision), tuple(tables), tuple(_sequences(cursor))), digests


def require_empty(service: str, url: str) -> None:
    """Refuse a database that holds tables.

    Raises:
        PreconditionError: It is not empty.
        UnavailableError: It does not answer.
    """
    with _connected(url) as connection, connection.cursor() as cursor:
        found = sorted(_columns(cursor))
    if found:
        message = f"the database of {service} is not empty: it has a table {found[0]!r}"
        hint = "restore into a new database: CREATE DATABASE ...; nothing was written"
        raise PreconditionError(message, code="restore.database_used", hint=hint, params={"service": service})


def require_known(dump: Dump, release: str) -> None:
    """Refuse the copy of a schema that only a later release can make.

    Args:
        dump: Of one service.
        release: That made the backup.

    Raises:
        PreconditionError: This release does not know the schema.
    """
    own = newest(f"onecode_{dump.service}")
    if dump.revision > own:
        message = f"the backup holds records of {dump.service} in schema {dump.revision}, this release knows {own}"
        hint = f"restore it with release {release} or later; nothing was written"
        raise PreconditionError(message, code="restore.schema", hint=hint, params={"service": dump.service})


def make_schema(dump: Dump, url: str) -> None:
    """Make the tables as the copy knew them; later migrations run when the service starts."""
    database = Database(url)
    try:
        upgrade(database, f"onecode_{dump.service}", dump.revision)
    finally:
        database.close()


def fill(url: str, table: Rows, pieces: Iterator[bytes]) -> None:
    """Put the rows of one table in place of those that the migrations made."""
    with _connected(url) as connection, connection.cursor() as cursor:
        name = sql.Identifier(table.table)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(sql.SQL("DELETE FROM {}").format(name))
        fields = sql.SQL(", ").join(sql.Identifier(one) for one in table.columns)
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, fields)) as copy:
            for piece in pieces:
                copy.write(piece)


def set_sequences(url: str, dump: Dump) -> None:
    """Let automatic numbers go on where they were."""
    with _connected(url) as connection, connection.cursor() as cursor:
        for name, value in dump.sequences:
            cursor.execute("SELECT setval(%s::regclass, %s, false)", (f'"{name}"', value))


@contextmanager
def _connected(url: str) -> "Iterator[psycopg.Connection[Any]]":
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(plain, connect_timeout=10, options="-c statement_timeout=0") as connection:
            yield connection
    except psycopg.OperationalError as error:
        message = f"the database does not answer: {str(error).splitlines()[0][:200]}"
        raise UnavailableError(message, code="database.unavailable") from error


def _columns(cursor: "psycopg.Cursor[Any]") -> dict[str, list[str]]:
    """Return the columns of each table, in their order."""
    cursor.execute(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
        " ORDER BY c.table_name, c.ordinal_position"
    )
    found: dict[str, list[str]] = {}
    for table, column in cursor.fetchall():
        found.setdefault(str(table), []).append(str(column))
    return found


def _in_order(cursor: "psycopg.Cursor[Any]", tables: Sequence[str]) -> list[str]:
    """Return the tables so that each comes after those that it refers to."""
    cursor.execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid <> confrelid"
    )
    needs: dict[str, set[str]] = {table: set() for table in tables}
    for table, other in cursor.fetchall():
        needs.setdefault(str(table).strip('"'), set()).add(str(other).strip('"'))
    ordered: list[str] = []
    while len(ordered) < len(tables):
        free = [table for table in tables if table not in ordered and needs[table] <= set(ordered)]
        # Tables that refer to each other in a circle: any order, checked at the end of the transaction.
        ordered += free or [table for table in tables if table not in ordered]
    return ordered


def _copy_out(cursor: "psycopg.Cursor[Any]", table: str, columns: Sequence[str], scratch: Path) -> Path:
    path = scratch / "rows"
    fields = sql.SQL(", ").join(sql.Identifier(one) for one in columns)
    statement = sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(table), fields)
    with path.open("wb") as file, cursor.copy(statement) as copy:
        for piece in copy:
            file.write(piece)
    return path


def _sequences(cursor: "psycopg.Cursor[Any]") -> Iterator[tuple[str, int]]:
    """Yield (name, next value) of each sequence.

    A sequence is outside of the snapshot: it may be ahead of the rows, never behind, and a gap harms nobody.
    """
    cursor.execute(
        "SELECT sequencename, COALESCE(last_value + increment_by, start_value) FROM pg_sequences"
        " WHERE schemaname = current_schema() ORDER BY sequencename"
    )
    for name, value in cursor.fetchall():
        yield str(name), int(value)
