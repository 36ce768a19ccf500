"""Keep a service's records, on SQLite or PostgreSQL; the URL is the only difference.

On SQLite there is exactly one connection for each file. It alone writes and alone checkpoints, which keeps
the WAL-reset bug of SQLite before 3.51.3 out of reach; a lock lets threads take turns.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from onecode_common.errors import ConflictError, ExhaustedError, UnavailableError

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
)
_POSTGRES_SETTINGS = (
    "-c synchronous_commit=on -c statement_timeout=5000 -c lock_timeout=2000"
    " -c idle_in_transaction_session_timeout=10000"
)


class Database:
    """One service's own database.

    Args:
        url: ``sqlite:///path`` or ``postgresql+psycopg://…``.

    Raises:
        UnavailableError: It cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._lock = threading.RLock()
        self._depth = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection; commit at the end, roll back on any error.

        Transactions do not nest: a use case opens one and passes the connection on.

        Raises:
            ConflictError: A unique value is taken, or another writer was faster.
            ExhaustedError: The disk is full.
            UnavailableError: The database does not answer.
        """
        try:
            if self.is_sqlite:
                with self._lock, self.engine.begin() as connection:
                    yield connection
            else:
                with self.engine.begin() as connection:
                    yield connection
        except IntegrityError as error:
            message = "the record exists already or refers to something that does not"
            raise ConflictError(message, code="record.conflict") from error
        except OperationalError as error:
            raise _operational(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                message = "the database closed the connection: try again"
                raise UnavailableError(message, code="database.unavailable") from error
            raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    return create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_pre_ping=True,
        pool_timeout=10,
        connect_args={"options": _POSTGRES_SETTINGS, "connect_timeout": 5},
    )


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own late BEGIN would make a read transaction upgrade, which fails at once when busy.
    connection.isolation_level = None
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _operational(error: OperationalError) -> ExhaustedError | UnavailableError:
    text = str(error.orig).lower()
    if "full" in text or "no space" in text:
        message = "the disk of the database is full: free some space"
        return ExhaustedError(message, code="disk.full")
    return UnavailableError(f"the database does not answer: {text[:200]}", code="database.unavailable")
