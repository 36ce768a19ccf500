"""A new schema carries old data and old code: N reads and writes what N+1 left; on both databases.

What an earlier release could rely on is frozen: its migrations by digest, and with them every table, column and
constraint that its statements used. Releases that run: see the upgrade tests of the platform and of rollout.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)

from onecode_common.database import Database
from onecode_common.errors import PreconditionError
from onecode_common.migrations import _upgrade, upgrade

ROOT = Path(__file__).resolve().parents[3]
RELEASED = json.loads(Path(__file__).with_name("released_migrations.json").read_text(encoding="utf-8"))
SERVICES = ("console", "ingestion", "registry", "rollout", "training")
FIRST = "0001"
OWN = {"alembic_version", "schema_reader"}


def migrations(service: str) -> Path:
    return Path(str(files(f"onecode_{service}"))) / "migrations"


def revisions(service: str) -> list[str]:
    return sorted(path.name[:4] for path in (migrations(service) / "versions").glob("[0-9]*.py"))


def tables(connection: Connection) -> dict[str, Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return {table.name: table for table in metadata.sorted_tables if table.name not in OWN}


def row(table: Table, number: int) -> dict[str, Any]:
    """Return values for every column of a table."""
    found: dict[str, Any] = {}
    for column in table.columns:
        kind, length = column.type, getattr(column.type, "length", None)
        if isinstance(kind, Boolean):
            found[column.name] = number % 2 == 0
        elif isinstance(kind, Double):
            found[column.name] = number / 7
        elif isinstance(kind, BigInteger | Integer):
            found[column.name] = number
        elif isinstance(kind, LargeBinary):
            found[column.name] = bytes([number])
        else:
            found[column.name] = f"{column.name}{number}"[: length or 40]
    return found


def kept(connection: Connection, old: dict[str, Table]) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows by the columns of the old schema: what an old SELECT sees."""
    return {name: sorted(tuple(one) for one in connection.execute(select(table))) for name, table in old.items()}


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_a_migration_that_was_released_is_never_edited(name: str) -> None:
    """If the schema must change: add a migration. A new one enters the list with the release that carries it."""
    service, file = name.split("/")
    content = (migrations(service) / "versions" / file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == RELEASED[name]


@pytest.mark.parametrize("service", SERVICES)
def test_revisions_are_four_digits_in_one_line(service: str) -> None:
    found = revisions(service)
    assert found == [f"{number:04}" for number in range(1, len(found) + 1)]
    for path in (migrations(service) / "versions").glob("[0-9]*.py"):
        content = path.read_text(encoding="utf-8")
        number = int(path.name[:4])
        before = "None" if number == 1 else f'"{number - 1:04}"'
        assert re.search(rf"^down_revision = {before}$", content, re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES)
def test_old_statements_and_old_rows_live_on_in_the_new_schema(service: str, record_url: str) -> None:
    """Reads, inserts, updates and deletes with the columns of the first release work after every later migration."""
    with closing(Database(record_url)) as database:
        upgrade(database, f"onecode_{service}", FIRST)
        with database.transaction() as connection:
            old = tables(connection)
            for table in old.values():
                connection.execute(delete(table))
                connection.execute(insert(table), [row(table, number) for number in (1, 2)])
            before = kept(connection, old)
        assert upgrade(database, f"onecode_{service}") == revisions(service)[-1]
        with database.transaction() as connection:
            assert kept(connection, old) == before
            for table in old.values():
                connection.execute(insert(table).values(row(table, 3)))
            for table in reversed(old.values()):
                keys = [column == row(table, 3)[column.name] for column in table.primary_key]
                others = {c.name: row(table, 2)[c.name] for c in table.columns if not c.primary_key and not c.unique}
                if others and not _has_unique(connection, table):
                    assert connection.execute(update(table).where(*keys).values(others)).rowcount == 1
                assert connection.execute(delete(table).where(*keys)).rowcount == 1
            assert kept(connection, old) == before


def _has_unique(connection: Connection, table: Table) -> bool:
    indexes = inspect(connection).get_indexes(table.name)
    return bool(inspect(connection).get_unique_constraints(table.name)) or any(one["unique"] for one in indexes)


@pytest.fixture
def releases(tmp_path: Path) -> dict[str, Path]:
    """Migrations of three releases of rollout: now, one that adds, and one that old code cannot live with."""
    folders = {}
    now = int(revisions("rollout")[-1])
    for name, later in {"now": 0, "adds": 1, "breaks": 2}.items():
        folder = tmp_path / name
        shutil.copytree(migrations("rollout"), folder, ignore=shutil.ignore_patterns("__pycache__"))
        for number in range(now + 1, now + 1 + later):
            breaks = f'min_reader = "{number:04}"\n' if number == now + 2 else ""
            (folder / "versions" / f"{number:04}_later.py").write_text(
                f'"""Later."""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "{number:04}"\n'
                f'down_revision = "{number - 1:04}"\n{breaks}\n\ndef upgrade() -> None:\n'
                f'    op.add_column("segments", sa.Column("extra{number}", sa.String(10), nullable=True))\n',
                encoding="utf-8",
            )
        folders[name] = folder
    return folders


def test_code_of_n_goes_on_with_the_schema_of_n_plus_one_until_one_says_no(
    releases: dict[str, Path], record_url: str
) -> None:
    own = revisions("rollout")[-1]
    with closing(Database(record_url)) as database:
        assert _upgrade(database, releases["now"], "onecode_rollout", "head") == own
        later = _upgrade(database, releases["adds"], "onecode_rollout", "head")
        assert later > own
        assert _upgrade(database, releases["now"], "onecode_rollout", "head") == later
        assert _upgrade(database, releases["adds"], "onecode_rollout", "head") == later
        last = _upgrade(database, releases["breaks"], "onecode_rollout", "head")
        with pytest.raises(PreconditionError) as refusal:
            _upgrade(database, releases["now"], "onecode_rollout", "head")
    assert refusal.value.code == "database.newer"
    assert f"(schema {last}): it needs code of schema {last} or later, this is {own}" in refusal.value.message


def test_a_migration_that_fails_leaves_the_old_schema(releases: dict[str, Path], record_url: str) -> None:
    path = next((releases["adds"] / "versions").glob("*_later.py"))
    path.write_text(path.read_text() + "    raise RuntimeError\n")
    with closing(Database(record_url)) as database:
        own = _upgrade(database, releases["now"], "onecode_rollout", "head")
        with pytest.raises(RuntimeError):
            _upgrade(database, releases["adds"], "onecode_rollout", "head")
        with database.transaction() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == own
            columns = {column["name"] for column in inspect(connection).get_columns("segments")}
    assert not {name for name in columns if name.startswith("extra")}


def test_programs_that_start_at_once_migrate_once(record_url: str) -> None:
    def start() -> str:
        with closing(Database(record_url)) as database:
            return upgrade(database, "onecode_registry")

    with ThreadPoolExecutor(4) as pool:
        found = {future.result() for future in [pool.submit(start) for _ in range(4)]}
    assert found == {revisions("registry")[-1]}


@pytest.mark.parametrize("service", ["rollout", "ingestion"])
def test_migrate_alone_does_what_a_start_would(service: str, record_url: str, tmp_path: Path) -> None:
    settings = {
        "ingestion": {"OBJECTS_URL": f"file://{tmp_path}/objects", "HOME_DIR": str(tmp_path)},
        "rollout": {"FLEET_KEY_FILE": str(tmp_path / "fleet.key")},
    }[service]
    names = {f"ONECODE_{service.upper()}_{name}": value for name, value in settings.items()}
    names[f"ONECODE_{service.upper()}_DATABASE_URL"] = record_url
    command = [sys.executable, "-m", f"onecode_{service}", "migrate"]
    done = subprocess.run(command, env={**os.environ, **names}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{service}: the schema is at {revisions(service)[-1]}\n"), done.stderr
    with closing(Database(record_url)) as database:
        assert upgrade(database, f"onecode_{service}") == revisions(service)[-1]
