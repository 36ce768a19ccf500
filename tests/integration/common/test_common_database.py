"""The database is opened the safe way, and its troubles are our errors."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text

from onecode_common.database import Database
from onecode_common.errors import ConflictError, ExhaustedError, PreconditionError, UnavailableError
from onecode_common.migrations import upgrade
from onecode_common.ops import OpsServer

METADATA = MetaData()
THINGS = Table("things", METADATA, Column("id", Integer, primary_key=True), Column("count", Integer))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with one.transaction() as connection:
        METADATA.create_all(connection)
    yield one
    one.close()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]
)
def test_every_connection_has_the_pragmas_that_make_commits_durable(
    database: Database, pragma: str, value: object
) -> None:
    with database.transaction() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(insert(THINGS).values(id=1, count=1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.transaction() as connection:
        assert connection.execute(select(THINGS)).all() == []


def test_a_taken_id_is_a_conflict(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(THINGS).values(id=1, count=1))
    with pytest.raises(ConflictError) as refusal, database.transaction() as connection:
        connection.execute(insert(THINGS).values(id=1, count=2))
    assert refusal.value.code == "record.conflict"


def test_threads_take_turns_and_lose_no_change(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(THINGS).values(id=1, count=0))

    def count() -> None:
        for _ in range(50):
            with database.transaction() as connection:
                found = connection.execute(select(THINGS.c.count)).scalar_one()
                connection.execute(THINGS.update().values(count=found + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with database.transaction() as connection:
        assert connection.execute(select(THINGS.c.count)).scalar_one() == 200


def test_a_full_disk_is_told_as_such(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("PRAGMA max_page_count = 3"))
    many = [{"id": number, "count": number} for number in range(20_000)]
    with pytest.raises(ExhaustedError) as refusal, database.transaction() as connection:
        connection.execute(insert(THINGS), many)
    assert refusal.value.code == "disk.full"
    with database.transaction() as connection:
        assert connection.execute(select(THINGS)).all() == []


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    one = Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    with pytest.raises(UnavailableError), one.transaction():
        pass


def test_another_process_that_holds_the_file_makes_it_unavailable_not_broken(
    database: Database, tmp_path: Path
) -> None:
    other = create_engine(f"sqlite:///{tmp_path / 'x.db'}", connect_args={"timeout": 0.1})
    with database.transaction() as connection:
        connection.execute(text("PRAGMA busy_timeout = 50"))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError) as refusal, database.transaction():
            pass
    other.dispose()
    assert refusal.value.code == "database.unavailable"


def test_a_schema_is_brought_up_to_date_once_and_one_of_a_later_release_refused(tmp_path: Path) -> None:
    one = Database(f"sqlite:///{tmp_path / 'i.db'}")
    now = upgrade(one, "onecode_ingestion")
    assert upgrade(one, "onecode_ingestion") == now
    with one.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_reader SET min_reader = '9998'"))
    with pytest.raises(PreconditionError) as refusal:
        upgrade(one, "onecode_ingestion")
    assert (refusal.value.code, refusal.value.params) == ("database.newer", {"revision": "9999", "own": now})
    assert "it needs code of schema 9998 or later" in str(refusal.value)
    one.close()


def test_the_ops_port_says_alive_ready_and_how_much_and_nothing_else() -> None:
    reasons: list[str | None] = ["the database is away", None, None, None, None]
    ops = OpsServer("127.0.0.1:0", lambda: reasons.pop(0))
    ops.start()

    def ask(path: str, method: str = "GET") -> tuple[int, str]:
        with urllib3.PoolManager(retries=False, timeout=10) as pool:
            answer = pool.request(method, f"http://127.0.0.1:{ops.port}{path}")
            return answer.status, answer.data.decode()

    try:
        assert ask("/healthz") == (200, '{"alive": true}')
        assert ask("/readyz") == (503, '{"ready": false, "reason": "the database is away"}')
        assert ask("/readyz")[0] == 200
        assert "python_info" in ask("/metrics")[1]
        assert ask("/etc/passwd")[0] == 404
        assert ask("/healthz", "POST")[0] == 405
    finally:
        ops.stop()
