"""Sessions and used codes survive a restart; the oldest session of a person ends when there are too many."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import ConflictError
from onecode_common.migrations import upgrade
from onecode_console.adapters.records import RecordedSessions
from onecode_console.domain.sessions import PER_PERSON, Session

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def opened(path: str) -> tuple[Database, RecordedSessions]:
    database = Database(f"sqlite:///{path}")
    upgrade(database, "onecode_console")
    return database, RecordedSessions(database, SystemClock(), "default")


def session(number: int, now: datetime = NOW) -> Session:
    return Session(f"{number:064}", "admin", now + timedelta(seconds=number), now + timedelta(seconds=number))


def test_a_code_stays_used_after_a_restart_and_its_session_stays(tmp_path: Path) -> None:
    database, store = opened(tmp_path / "c.db")
    store.begin("a" * 64, session(1))
    database.close()
    database, store = opened(tmp_path / "c.db")
    with pytest.raises(ConflictError):
        store.begin("a" * 64, session(2))
    assert store.find(session(1).key) == session(1)
    assert store.find(session(2).key) is None, "the refused sign-in left a session"
    database.close()


def test_the_oldest_of_too_many_sessions_ends(tmp_path: Path) -> None:
    database, store = opened(tmp_path / "c.db")
    for number in range(PER_PERSON + 3):
        store.begin(f"{number:064}", session(number))
    alive = [number for number in range(PER_PERSON + 3) if store.find(session(number).key)]
    assert alive == list(range(3, PER_PERSON + 3))
    database.close()


def test_sessions_that_are_over_are_swept_at_the_next_sign_in(tmp_path: Path) -> None:
    database, store = opened(tmp_path / "c.db")
    store.begin("a" * 64, session(1))
    store.begin("b" * 64, session(2, NOW + timedelta(minutes=31)))
    assert store.find(session(1).key) is None
    database.close()
