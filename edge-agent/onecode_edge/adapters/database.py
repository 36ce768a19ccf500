"""Keep the gateway's own records in one SQLite file, flushed with every commit, written through one connection."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from onecode_common.errors import ExhaustedError, UnavailableError
from onecode_common.files import write_file

_log = logging.getLogger(__name__)
_FORMAT = 1
_BLOCK = 10_000
_CHECKPOINT_BYTES = 4 << 20

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, rollout TEXT NOT NULL, revision INTEGER NOT NULL,
    digest TEXT NOT NULL, target TEXT NOT NULL, origin TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL,
    generation INTEGER NOT NULL, probation_s REAL NOT NULL, attempts INTEGER NOT NULL, starts INTEGER NOT NULL,
    serving_s REAL NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, transition_id INTEGER NOT NULL, state TEXT NOT NULL,
    cause TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE bad (digest TEXT PRIMARY KEY, cause TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE proven (digest TEXT NOT NULL, runtime TEXT NOT NULL, PRIMARY KEY (digest, runtime));
CREATE TABLE outcomes (
    model TEXT NOT NULL, revision INTEGER NOT NULL, digest TEXT NOT NULL, state TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (model, revision, digest));
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body BLOB NOT NULL, attempts INTEGER NOT NULL,
    sent_at REAL NOT NULL, first_sent_at REAL NOT NULL);
CREATE TABLE counters (
    model TEXT NOT NULL, rollout TEXT NOT NULL, revision INTEGER NOT NULL, digest TEXT NOT NULL, role TEXT NOT NULL,
    start INTEGER NOT NULL, seconds INTEGER NOT NULL, instance TEXT NOT NULL, requests INTEGER NOT NULL,
    errors INTEGER NOT NULL, non_finite INTEGER NOT NULL, unassigned INTEGER NOT NULL, latency TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (model, rollout, revision, digest, role, start, seconds, instance));
CREATE INDEX counters_sequence ON counters (sequence);
"""


class Database:
    """The file ``state.db``.

    A damaged file is set aside and a new one is begun: what is served is decided by links and seals, and numbers of
    reports go on above all that were ever used, from a file beside the identity.

    Args:
        path: Of the database.
        sequence_file: Holds the highest number that may have been used.
    """

    def __init__(self, path: Path, sequence_file: Path) -> None:
        self._path = path
        self._sequence_file = sequence_file
        self._lock = threading.RLock()
        self._depth = 0
        self._reserved = 0
        self.renewed = ""
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            self.renewed = f"the records were damaged and have been begun anew: {error}"
            _log.error("state.corrupt: %s", self.renewed)
            self._set_aside()
            self._connection = self._open()
        self._reserve_numbers()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; what is done inside is kept altogether, on disk, or not at all. May be nested.

        Raises:
            ExhaustedError: The disk is full.
            UnavailableError: The file cannot be written.
        """
        with self._lock:
            if self._depth:
                yield self._connection
                return
            self._depth += 1
            with ExitStack() as stack:
                stack.callback(self._leave)
                undoing = stack.enter_context(ExitStack())
                undoing.callback(self._undo)
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
                    self._connection.execute("COMMIT")
                except sqlite3.Error as error:
                    raise _storage_error(error) from error
                undoing.pop_all()

    def _leave(self) -> None:
        self._depth -= 1

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def reserve(self, sequence: int) -> None:
        """Make sure that a number up to this one is never used again, even if the database is lost."""
        if sequence > self._reserved - _BLOCK // 2:
            self._reserved = sequence + _BLOCK
            write_file(self._sequence_file, f"{self._reserved}\n".encode(), mode=0o600)

    def checkpoint(self) -> None:
        """Fold the log into the file when it has grown long; only this connection ever does."""
        log = self._path.with_name(f"{self._path.name}-wal")
        if log.exists() and log.stat().st_size > _CHECKPOINT_BYTES:
            with self._lock, suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        with ExitStack() as closing:
            closing.callback(connection.close)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._path.chmod(0o600)
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            _require_ok(verdict)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_FORMAT};COMMIT;")
            connection.execute("SELECT count(*) FROM outbox, transitions, counters").fetchone()
            _extend(connection)
            closing.pop_all()
        return connection

    def _set_aside(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            path = self._path.with_name(f"{self._path.name}{suffix}")
            if path.is_file() or path.is_symlink():
                path.replace(path.with_name(f"damaged-{int(time.time())}-{path.name}"))

    def _reserve_numbers(self) -> None:
        try:
            self._reserved = int(self._sequence_file.read_text())
        except (OSError, ValueError):
            self._reserved = 0
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name='outbox'").fetchone()
        used = int(row[0]) if row else 0
        if row is None:
            # A new file, or the first report ever: above everything that another file may have used.
            used = self._reserved
            self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (used,))
        self.reserve(used)


def _extend(connection: sqlite3.Connection) -> None:
    """Add what older agents did not keep and do not miss: what shadows found, as JSON."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(counters)")}
    if "shadow" not in columns:
        connection.execute("ALTER TABLE counters ADD COLUMN shadow TEXT NOT NULL DEFAULT ''")


def _require_ok(verdict: str) -> None:
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _storage_error(error: sqlite3.Error) -> ExhaustedError | UnavailableError:
    if "full" in str(error):
        return ExhaustedError("no space left for the gateway's records: free some", code="disk.full")
    return UnavailableError(f"the gateway's records cannot be written: {error}", code="disk.unwritable")
