"""Bring a database to the schema of this release, at the start, with one program at it at a time.

Each service keeps ``migrations/env.py`` (three lines that call :func:`run`) and ``migrations/versions/``. Revisions
are four digits and only ever add; so the code of an earlier release works on a later schema too, and an upgrade
can be taken back without touching data. A migration that old code could not live with says so by a line
``min_reader = "0007"``: the oldest revision whose code may still open this schema. The database remembers it, and
older code stops with that sentence.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text

from onecode_common.database import Database
from onecode_common.errors import PreconditionError

_LOCK = 0x0C_0D_E1
"""Number of the advisory lock under which PostgreSQL's migrations run; SQLite's write lock does the same there."""
_LOCK_WAIT = "60s"
_FIRST = "0001"


class _Script(NamedTuple):
    """A migration: its revision, and the oldest code that can live with what it made ("" = as before)."""

    revision: str
    min_reader: str


def upgrade(database: Database, package: str, target: str = "head") -> str:
    """Run the migrations of ``package`` (for example ``onecode_rollout``) that are still missing.

    All of them run in one transaction, so that a kill leaves the old schema or the new; of several programs that
    start at once one migrates, the others wait and find nothing to do.

    Args:
        database: The service's own.
        package: Holds the folder ``migrations``.
        target: Revision to stop at; a restore makes the schema of its copy.

    Returns:
        The revision that the database has now; it is later than this release's where a later release was here and
        left a schema that this one can live with.

    Raises:
        PreconditionError: A later release changed the schema in a way that this one cannot live with.
    """
    return _upgrade(database, Path(str(files(package))) / "migrations", package, target)


def migrate(url: str, package: str) -> str:
    """Open the database, run :func:`upgrade` and close it again; raises as that does."""
    database = Database(url)
    try:
        return upgrade(database, package)
    finally:
        database.close()


def newest(package: str) -> str:
    """Return the last revision that this release's ``package`` knows."""
    return max(one.name[:4] for one in (files(package) / "migrations" / "versions").iterdir() if one.name[:4].isdigit())


def run(context: Any) -> None:
    """Run inside ``migrations/env.py``: use the connection that :func:`upgrade` opened."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=None, render_as_batch=True)
    context.run_migrations()


def _upgrade(database: Database, folder: Path, package: str, target: str) -> str:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    directory = ScriptDirectory.from_config(config)
    scripts = [_Script(one.revision, str(getattr(one.module, "min_reader", ""))) for one in directory.walk_revisions()][
        ::-1
    ]
    with database.transaction() as connection:
        _take_turn(connection)
        current = _current(connection)
        if current is not None and current not in {script.revision for script in scripts}:
            _require_readable(connection, package, current, scripts[-1].revision)
            return current
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, target)
        except CommandError as error:
            message = f"the schema of {package} cannot be brought up to date: {error}"
            raise PreconditionError(message, code="database.schema") from error
        now = _current(connection) or ""
        _note_reader(connection, oldest_reader(scripts, now))
        return now


def oldest_reader(scripts: Sequence[tuple[str, str]], now: str) -> str:
    """Return the oldest revision whose code can live with the schema ``now``.

    Args:
        scripts: (revision, min_reader) of every migration, in order.
        now: Revision of the schema.
    """
    return max([_FIRST, *(reader for revision, reader in scripts if revision <= now)])


def _take_turn(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        # The transaction began with SQLite's write lock.
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _require_readable(connection: Connection, package: str, current: str, own: str) -> None:
    reader = None
    if inspect(connection).has_table("schema_reader"):
        reader = connection.execute(text("SELECT min_reader FROM schema_reader")).scalar()
    if reader is None or str(reader) > own:
        needed = f"code of schema {reader} or later" if reader else "that release"
        message = (
            f"the database of {package} was written by a later release (schema {current}): it needs {needed},"
            f" this is {own}"
        )
        raise PreconditionError(
            message, code="database.newer", hint="install that release", params={"revision": current, "own": own}
        )


def _note_reader(connection: Connection, reader: str) -> None:
    connection.execute(text("CREATE TABLE IF NOT EXISTS schema_reader (min_reader VARCHAR(32) NOT NULL)"))
    known = connection.execute(text("SELECT min_reader FROM schema_reader")).scalar()
    if known is None:
        connection.execute(text("INSERT INTO schema_reader (min_reader) VALUES (:reader)"), {"reader": reader})
    elif str(known) < reader:
        connection.execute(text("UPDATE schema_reader SET min_reader = :reader"), {"reader": reader})


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)
