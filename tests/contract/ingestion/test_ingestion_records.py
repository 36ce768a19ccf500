"""The records of ingestion keep one promise on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import ConflictError, ExhaustedError, NotFoundError, OnecodeError, PreconditionError
from onecode_common.migrations import upgrade
from onecode_ingestion.adapters import tables
from onecode_ingestion.adapters.records import DatabaseRecords
from onecode_ingestion.domain.columns import Column, ColumnType, Schema
from onecode_ingestion.domain.findings import WARNING, Finding
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.upload import Upload
from onecode_ingestion.domain.version import StoredPart
from onecode_ingestion.ports import Commit
from onecode_ingestion.retrying import retried

P = "default"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def database(record_url: str) -> Iterator[Database]:
    one = Database(record_url)
    upgrade(one, "onecode_ingestion")
    yield one
    one.close()


@pytest.fixture
def records(database: Database) -> DatabaseRecords:
    return DatabaseRecords(database, SystemClock(), P)


def upload(number: int, created: datetime = NOW) -> Upload:
    return Upload(f"u_{number}", P, "数据.csv", 12 << 30, "", "", created, "key:1")


def version(number: int, dataset: str = "pump", requested: str = "sha256:r") -> Commit:
    return Commit(
        version_id=f"sha256:{number:064x}",
        project=P,
        dataset=dataset,
        requested=requested,
        upload_sha256=f"{number:064x}",
        options=ReadOptions(format="csv", header=True, columns=(("t", ColumnType.TEXT),)),
        schema=Schema((Column("t", ColumnType.TEXT), Column("温度", ColumnType.FLOAT, nullable=True)), target="t"),
        findings=(Finding("data.ragged", WARNING, 3, "line 4", rows=(4, 9), params={"columns": "2"}),),
        rows=5 << 31,
        dropped_rows=3,
        parts=(StoredPart("a" * 64, 3, 10), StoredPart("b" * 64, 2, 5 << 31)),
        profile={"rows": 5, "columns": [{"name": "温度", "mean": 1.5}]},
        principal="key:1",
    )


def facts(database: Database) -> list[str]:
    with database.transaction() as connection:
        payloads = connection.execute(select(tables.outbox.c.payload).order_by(tables.outbox.c.sequence)).scalars()
        kinds = [events.Envelope.FromString(payload).WhichOneof("body") for payload in payloads]
    return [str(kind) for kind in kinds if kind != "audit_recorded"]


def trail(database: Database) -> list[tuple[str, str]]:
    query = select(tables.audit.c.action, tables.audit.c.object).order_by(tables.audit.c.sequence)
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_an_upload_is_remembered_completed_and_forgotten(records: DatabaseRecords) -> None:
    records.add_upload(upload(1), 10)
    assert records.upload(P, "u_1") == upload(1)
    records.complete_upload("u_1", "c" * 64)
    assert records.upload(P, "u_1") == replace(upload(1), sha256="c" * 64)
    records.remove_upload(P, "u_1", "key:1")
    for ask in (lambda: records.upload(P, "u_1"), lambda: records.remove_upload(P, "u_1", "key:1")):
        with pytest.raises(NotFoundError):
            ask()


def test_uploads_are_counted_and_found_by_age(records: DatabaseRecords) -> None:
    records.add_upload(upload(1, NOW - timedelta(days=8)), 2)
    records.add_upload(upload(2), 2)
    with pytest.raises(ExhaustedError) as refusal:
        records.add_upload(upload(3), 2)
    assert refusal.value.code == "upload.too_many"
    records.complete_upload("u_1", "c" * 64)
    records.add_upload(upload(3), 2)
    assert records.upload_ids() == {"u_1", "u_2", "u_3"}
    assert [one.upload_id for one in records.uploads_before(NOW - timedelta(days=7))] == ["u_1"]


def test_a_version_comes_back_as_it_was_committed(records: DatabaseRecords) -> None:
    asked = version(1)
    made = records.commit(asked)
    assert made.number == 1
    for name in ("version_id", "dataset", "options", "schema", "findings", "rows", "dropped_rows", "parts"):
        assert getattr(made, name) == getattr(asked, name)
    assert made.bytes == 10 + (5 << 31)
    assert records.version(P, made.version_id) == records.newest(P, "pump") == made
    assert records.profile(P, made.version_id) == asked.profile
    assert records.objects() == {"a" * 64, "b" * 64}


def test_a_repeated_commit_changes_nothing_and_tells_nothing(records: DatabaseRecords, database: Database) -> None:
    first = records.commit(version(1))
    assert records.commit(version(1)) == first
    assert records.commit(version(1, requested="sha256:other")) == first
    assert records.committed(P, f"{1:064x}", "sha256:other") == first
    assert records.committed(P, f"{1:064x}", "sha256:unknown") is None
    assert facts(database) == ["dataset_version_committed"]
    assert trail(database) == [("dataset.commit", first.version_id)]


def test_a_version_of_one_data_set_is_not_taken_for_another(records: DatabaseRecords, database: Database) -> None:
    records.commit(version(1))
    with pytest.raises(ConflictError) as refusal:
        records.commit(version(1, dataset="other"))
    assert (refusal.value.code, refusal.value.params["dataset"]) == ("data.version_elsewhere", "pump")
    assert facts(database) == ["dataset_version_committed"]


def test_commits_at_the_same_time_get_numbers_without_a_gap_and_one_unbroken_trail(
    records: DatabaseRecords, database: Database
) -> None:
    begin = threading.Barrier(4)

    def commit(number: int) -> int:
        begin.wait()
        # More tries than the service makes: here all of them really run at once.
        for _ in range(20):
            try:
                return retried(lambda: records.commit(version(number))).number
            except ConflictError:
                continue
        raise AssertionError

    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(commit, range(1, 5)))
    assert sorted(numbers) == [1, 2, 3, 4]
    assert facts(database).count("dataset_version_committed") == 4
    with database.transaction() as connection:
        assert Audit(tables.audit, SystemClock(), records.outbox).first_broken(connection) is None


def test_data_sets_are_listed_by_name_with_their_newest_version(records: DatabaseRecords) -> None:
    for number, dataset in enumerate(("b", "a", "b", "c"), start=1):
        records.commit(version(number, dataset))
    listed = [(name, count, one.number) for name, count, one in records.datasets(P, "", 10)]
    assert listed == [("a", 1, 1), ("b", 2, 2), ("c", 1, 1)]
    assert [name for name, _, _ in records.datasets(P, "a", 1)] == ["b"]
    assert [one.number for one in records.versions(P, "b")] == [2, 1]
    with pytest.raises(NotFoundError):
        records.versions(P, "nothing")
    assert records.datasets("elsewhere", "", 10) == []


def test_a_held_version_stays_until_the_last_hold_is_gone(records: DatabaseRecords, database: Database) -> None:
    made = records.commit(version(1))
    for holder in ("run/1", "run/2", "run/1"):
        records.hold(P, made.version_id, holder)
    for held_by in ("run/1, run/2", "run/2"):
        with pytest.raises(PreconditionError) as refusal:
            records.delete(P, made.version_id, "key:1")
        assert (refusal.value.code, refusal.value.params["holders"]) == ("version.held", held_by)
        records.release(P, made.version_id, held_by[:5])
    records.delete(P, made.version_id, "key:1")
    assert records.objects() == set()
    assert records.committed(P, f"{1:064x}", "sha256:r") is None
    assert trail(database)[-1] == ("dataset.delete_version", made.version_id)
    assert records.commit(version(1)).number == 2


def test_a_version_that_is_not_there_is_not_found(records: DatabaseRecords) -> None:
    missing = "sha256:" + "0" * 64
    calls: tuple[Callable[[], object], ...] = (
        lambda: records.version(P, missing),
        lambda: records.profile(P, missing),
        lambda: records.hold(P, missing, "run/1"),
        lambda: records.delete(P, missing, "key:1"),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as refusal:
            call()
        assert refusal.value.code == "version.missing"


def test_a_hold_and_a_deletion_at_the_same_time_never_leave_a_hold_on_nothing(records: DatabaseRecords) -> None:
    begin = threading.Barrier(2)

    def together(action: Callable[[], None]) -> OnecodeError | None:
        begin.wait()
        try:
            retried(action)
        except OnecodeError as error:
            return error
        return None

    for number in range(1, 6):
        made = records.commit(version(number))
        with ThreadPoolExecutor(2) as threads:
            held, deleted = threads.map(
                together,
                (
                    lambda made=made: records.hold(P, made.version_id, "run/1"),
                    lambda made=made: records.delete(P, made.version_id, "key:1"),
                ),
            )
        assert (held is None) != (deleted is None)
        assert isinstance(held or deleted, NotFoundError | PreconditionError)
