"""Copy a SQLite file as it is at one instant, whether or not somebody writes to it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from onecode_common.errors import InvalidError, UnavailableError

_MAGIC = b"SQLite format 3\0"


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def copy_sqlite(source: Path, target: Path) -> None:
    """Write a consistent copy as one file, without a log beside it.

    The source is opened read-only: such a connection never checkpoints, so the writer stays the only one that does
    (see ``onecode_common.database``).

    Raises:
        UnavailableError: The writer kept it locked.
        InvalidError: It is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True, timeout=30)) as reader,
            closing(sqlite3.connect(target)) as copy,
        ):
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            verdict = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        message = f"{source} cannot be copied now: {error}"
        raise UnavailableError(message, code="backup.sqlite") from error
    except sqlite3.DatabaseError as error:
        raise InvalidError(f"{source} is damaged: {error}", code="backup.sqlite_damaged") from error
    if verdict != "ok":
        raise InvalidError(f"{source} is damaged: {verdict}", code="backup.sqlite_damaged")


def first_column(path: Path, query: str) -> set[str]:
    """Return the first column of a query on a copy; nothing where the service has made no tables yet."""
    with closing(sqlite3.connect(path)) as connection:
        begun = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        return {str(row[0]) for row in connection.execute(query)} if begun else set()


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
