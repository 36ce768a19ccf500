"""A backup brings back every row and every object, from files and from servers alike."""

import hashlib
import io
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Double, Integer, LargeBinary, MetaData, Table, insert, select, text

from onecode_common.database import Database
from onecode_common.errors import ConflictError, InvalidError, OnecodeError, PreconditionError
from onecode_common.migrations import upgrade
from onecode_common.objects import Objects, open_objects
from onecode_standalone.backup.checking import check
from onecode_standalone.backup.places import SERVICES, STORES, Places, places
from onecode_standalone.backup.restoring import restore
from onecode_standalone.backup.taking import stream, take

SECRET = b"correct horse battery"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NUMBERED = {"outbox", "audit_copies", "points", "log_batches"}
"""Tables whose database numbers the rows."""
ONLY_FILES = pytest.mark.parametrize("new_installation", ["files"], indirect=True)
ODD = "tab\t back\\slash\nnew line \\N 网关 '\" end"


def told(_stage: str, _done: int, _length: int) -> None:
    """Watch nothing."""


class Installation:
    """The places of one platform, and the settings that name what lies outside of its home."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        self.home, self.settings = home, settings
        self.where: Places = places(home, settings)

    def url(self, service: str) -> str:
        """Return the URL of a service's records."""
        return self.where.postgres.get(service) or f"sqlite:///{self.where.sqlite(service)}"

    def store(self, name: str) -> Objects:
        """Return an object store."""
        return open_objects(self.where.objects[name])

    def rows(self, service: str) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of a service's database."""
        with closing(Database(self.url(service))) as database, database.transaction() as connection:
            metadata = MetaData()
            metadata.reflect(connection)
            return {
                name: sorted(tuple(row) for row in connection.execute(select(table)))
                for name, table in metadata.tables.items()
                if name != "restored"
            }


@pytest.fixture(params=["files", "servers"])
def new_installation(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Installation]:
    """Make an empty installation: a home alone, or a home with PostgreSQL and S3 beside it."""
    made: list[Installation] = []

    def make() -> Installation:
        home, settings = tmp_path / f"home-{len(made)}", {}
        if request.param == "servers":
            new_url: Callable[[], str] = request.getfixturevalue("new_postgres_url")
            bucket: str = request.getfixturevalue("s3_url")
            settings = {f"ONECODE_{service.upper()}_DATABASE_URL": new_url() for service in SERVICES}
            for store, service in STORES.items():
                beside = f"/{request.node.name.partition('[')[0]}-{len(made)}-{store}?"
                settings[f"ONECODE_{service.upper()}_OBJECTS_URL"] = bucket.replace("/objects?", beside)
        made.append(Installation(home, settings))
        return made[-1]

    return make


@pytest.fixture
def used(new_installation: Callable[[], Installation]) -> Installation:
    """An installation with three rows in every table, and objects that rows name and do not name."""
    found = new_installation()
    for service in SERVICES:
        (found.home / service).mkdir(parents=True)
    (found.home / "VERSION").write_text("1\n")
    (found.home / "keys").mkdir(mode=0o700)
    (found.home / "keys" / "console.key").write_text("secret key")
    (found.home / "keys" / "console.key").chmod(0o600)
    (found.home / "current").symlink_to("keys/console.key")
    digests = {store: [found.store(store).put(f"{store} {number}".encode()) for number in range(5)] for store in STORES}
    for service in SERVICES:
        with closing(Database(found.url(service))) as database:
            upgrade(database, f"onecode_{service}")
            _fill(database, {"version_files.sha256": digests["models"], "version_objects.digest": digests["datasets"]})
    return found


def _fill(database: Database, given: dict[str, list[str]]) -> None:
    with database.transaction() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        for table in metadata.sorted_tables:
            if table.name in ("alembic_version", "schema_reader", "turns", "fleet"):
                continue
            connection.execute(insert(table), [_row(table, number, given) for number in (1, 2, 3)])


def _row(table: Table, number: int, given: dict[str, list[str]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type
        alone = len(table.primary_key.columns) == 1
        if column.primary_key and alone and table.name in NUMBERED and isinstance(kind, Integer):
            continue
        if f"{table.name}.{column.name}" in given:
            row[column.name] = given[f"{table.name}.{column.name}"][number]
        elif column.name == "state":
            row[column.name] = "ready"
        elif isinstance(kind, Boolean):
            row[column.name] = number % 2 == 0
        elif isinstance(kind, Double):
            row[column.name] = number / 7
        elif isinstance(kind, BigInteger | Integer):
            row[column.name] = number
        elif isinstance(kind, LargeBinary):
            row[column.name] = bytes(range(256)) * number
        else:
            length = getattr(kind, "length", None)
            row[column.name] = f"{column.name}{number}"[: length or 40] if length else f"{ODD}{number}"
    return row


def test_everything_comes_back_as_it_was(used: Installation, new_installation: Callable[[], Installation]) -> None:
    file = used.home.parent / "one.backup"
    taken = take(used.where, file, SECRET, NOW, told)
    assert b"secret key" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    assert check(file, SECRET, told) == taken
    fresh = new_installation()
    restore(file, fresh.where, SECRET, told)
    for service in SERVICES:
        assert fresh.rows(service) == used.rows(service)
    for store in STORES:
        assert {name for name, _ in fresh.store(store).list()} == {name for name, _ in used.store(store).list()}
        for name, _ in used.store(store).list():
            assert hashlib.sha256(fresh.store(store).get(name)).hexdigest() == name
    assert (fresh.home / "keys" / "console.key").read_text() == "secret key"
    assert (fresh.home / "keys" / "console.key").stat().st_mode & 0o777 == 0o600
    assert (fresh.home / "current").readlink() == Path("keys/console.key")
    assert (fresh.home / "VERSION").read_text() == "1\n"
    assert not list(fresh.home.glob(".restoring*"))


@pytest.mark.parametrize("new_installation", ["servers"], indirect=True)
def test_a_schema_of_a_later_release_is_refused_before_anything_is_written(
    used: Installation, new_installation: Callable[[], Installation]
) -> None:
    with closing(Database(used.url("rollout"))) as database, database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    file = used.home.parent / "later.backup"
    taken = take(used.where, file, SECRET, NOW, told)
    fresh = new_installation()
    with pytest.raises(PreconditionError) as refusal:
        restore(file, fresh.where, SECRET, told)
    assert "holds records of rollout in schema 9999, this release knows" in refusal.value.message
    assert f"release {taken.release} or later" in refusal.value.hint
    assert not fresh.home.exists()
    assert not fresh.rows("console")


def test_automatic_numbers_go_on_after_a_restore(
    used: Installation, new_installation: Callable[[], Installation]
) -> None:
    file = used.home.parent / "numbers.backup"
    take(used.where, file, SECRET, NOW, told)
    fresh = new_installation()
    restore(file, fresh.where, SECRET, told)
    with closing(Database(fresh.url("registry"))) as database, database.transaction() as connection:
        metadata = MetaData()
        metadata.reflect(connection, only=["outbox"])
        outbox = metadata.tables["outbox"]
        connection.execute(insert(outbox).values(event_id="next", subject="s", payload=b""))
        newest = connection.execute(select(outbox.c.sequence).where(outbox.c.event_id == "next")).scalar()
    assert newest == 4


@ONLY_FILES
def test_what_is_registered_while_it_runs_never_lacks_its_objects(used: Installation) -> None:
    """A version that appears before its records are copied has its objects in the copy too."""
    written: list[str] = []

    def register(stage: str, _done: int, _length: int) -> None:
        if stage == "records of training" and not written:
            written.append(used.store("models").put(b"registered while it runs"))
            with closing(Database(used.url("registry"))) as database, database.transaction() as connection:
                metadata = MetaData()
                metadata.reflect(connection, only=["versions", "version_files"])
                given = {"version_files.sha256": [*written * 5]}
                for name in ("versions", "version_files"):
                    connection.execute(insert(metadata.tables[name]).values(_row(metadata.tables[name], 4, given)))

    taken = take(used.where, used.home.parent / "late.backup", SECRET, NOW, register)
    assert written
    assert set(written) <= set(taken.objects["models"])


@ONLY_FILES
def test_an_object_that_a_record_names_must_be_there_and_whole(used: Installation) -> None:
    store = used.store("models")
    (named, *_) = sorted(row[2] for row in used.rows("registry")["version_files"])
    store.delete(named)
    with pytest.raises(ConflictError) as refusal:
        take(used.where, used.home.parent / "lacking.backup", SECRET, NOW, told)
    assert refusal.value.code == "backup.object_missing"
    assert [path.name for path in used.home.parent.glob("*lacking*")] == []


def test_nothing_is_restored_onto_what_is_there(
    used: Installation, new_installation: Callable[[], Installation]
) -> None:
    file = used.home.parent / "onto.backup"
    take(used.where, file, SECRET, NOW, told)
    with pytest.raises(ConflictError) as refusal:
        restore(file, used.where, SECRET, told)
    assert refusal.value.code == "restore.home_used"
    fresh = new_installation()
    if fresh.where.postgres:
        with closing(Database(fresh.url("rollout"))) as database:
            upgrade(database, "onecode_rollout")
        with pytest.raises(PreconditionError) as taken:
            restore(file, fresh.where, SECRET, told)
        assert taken.value.code == "restore.database_used"
        assert not fresh.home.exists()


def test_a_damaged_file_or_a_wrong_passphrase_writes_nothing(
    used: Installation, new_installation: Callable[[], Installation]
) -> None:
    file = used.home.parent / "broken.backup"
    take(used.where, file, SECRET, NOW, told)
    fresh = new_installation()
    content = bytearray(file.read_bytes())
    with pytest.raises(InvalidError) as wrong:
        restore(file, fresh.where, b"wrong horse battery", told)
    assert wrong.value.code == "backup.passphrase"
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)
    with pytest.raises(InvalidError) as broken:
        restore(file, fresh.where, SECRET, told)
    assert broken.value.code == "backup.damaged"
    assert not fresh.home.exists()
    for service in fresh.where.postgres:
        assert fresh.rows(service) == {}


@ONLY_FILES
def test_a_restore_that_was_interrupted_is_no_home(
    used: Installation, new_installation: Callable[[], Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = used.home.parent / "half.backup"
    take(used.where, file, SECRET, NOW, told)
    fresh = new_installation()

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onecode_standalone.backup.restoring._Restoring.end", broken)
    with pytest.raises(KeyboardInterrupt):
        restore(file, fresh.where, SECRET, told)
    monkeypatch.undo()
    assert not (fresh.home / "VERSION").exists()
    with pytest.raises(ConflictError) as refusal:
        restore(file, fresh.where, SECRET, told)
    assert refusal.value.code == "restore.unfinished"


@ONLY_FILES
def test_a_backup_never_replaces_another(used: Installation) -> None:
    file = used.home.parent / "twice.backup"
    take(used.where, file, SECRET, NOW, told)
    with pytest.raises(OnecodeError) as refusal:
        take(used.where, file, SECRET, NOW, told)
    assert refusal.value.code == "backup.exists"


@ONLY_FILES
def test_a_backup_is_not_written_into_what_it_backs_up(used: Installation) -> None:
    with pytest.raises(InvalidError) as refusal:
        take(used.where, used.home / "keys" / "now.backup", SECRET, NOW, told)
    assert refusal.value.code == "backup.inside"


@ONLY_FILES
def test_a_backup_goes_through_a_pipe_and_a_cut_is_seen(
    used: Installation, new_installation: Callable[[], Installation]
) -> None:
    pipe = io.BytesIO()
    stream(used.where, pipe, SECRET, NOW, told)
    file = used.home.parent / "piped.backup"
    file.write_bytes(pipe.getvalue()[:-1])
    with pytest.raises(InvalidError):
        check(file, SECRET, told)
    file.write_bytes(pipe.getvalue())
    fresh = new_installation()
    restore(file, fresh.where, SECRET, told)
    assert fresh.rows("registry") == used.rows("registry")
    assert not list(used.home.parent.glob(".backup-*"))


@pytest.fixture
def damaged_orphan(used: Installation) -> str:
    """An object that no record names, with other bytes than its name says."""
    url = used.where.objects["models"]
    digest = used.store("models").put(b"orphan")
    path = Path(url.removeprefix("file://")) / digest[:2] / digest[2:]
    path.write_bytes(b"changed")
    return digest


@ONLY_FILES
def test_a_damaged_object_that_nobody_names_is_left_out_and_said(used: Installation, damaged_orphan: str) -> None:
    taken = take(used.where, used.home.parent / "orphan.backup", SECRET, NOW, told)
    assert taken.left_out == (damaged_orphan,)
    assert damaged_orphan not in taken.objects["models"]
