"""Bring a database to the schema of this release, and refuse one from a later release.

Each service keeps ``migrations/env.py`` (three lines that call :func:`run`) and ``migrations/versions/``.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text

from onecode_common.database import Database
from onecode_common.errors import PreconditionError


def upgrade(database: Database, package: str) -> None:
    """Run the migrations of ``package`` (for example ``onecode_rollout``) that are still missing.

    All of them run in one transaction, so that a kill leaves the old schema or the new.

    Raises:
        PreconditionError: The database was written by a later release.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(str(files(package))) / "migrations"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with database.transaction() as connection:
        current = _current(connection)
        if current is not None and current not in known:
            message = (
                f"the database of {package} was written by a later release (schema {current}): install that release"
            )
            raise PreconditionError(message, code="database.newer", params={"revision": current})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            message = f"the schema of {package} cannot be brought up to date: {error}"
            raise PreconditionError(message, code="database.schema") from error


def run(context: Any) -> None:
    """Run inside ``migrations/env.py``: use the connection that :func:`upgrade` opened."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=None, render_as_batch=True)
    context.run_migrations()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)
