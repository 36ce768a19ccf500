"""Signed metadata never expires while the registry runs, and old versions are forgotten."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from onecode_common.audit import Audit
from onecode_common.database import Database
from onecode_common.migrations import upgrade
from onecode_common.objects import DirectoryObjects
from onecode_common.outbox import Outbox
from onecode_common.restored import JUMP, mark_restored
from onecode_registry.adapters.inspector import ChildInspector
from onecode_registry.adapters.mlflow_client import MlflowClient
from onecode_registry.adapters.records import SqlRecords
from onecode_registry.adapters.signing import FileSigning
from onecode_registry.adapters.tables import audit, outbox
from onecode_registry.adapters.trial import ChildTrial
from onecode_registry.ports import Ports
from onecode_registry.usecases.signed import SignedMetadata

ROLES = ("root", "targets", "models", "snapshot", "timestamp")


class Calendar:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def ports(stopped: Any, calendar: Calendar) -> Any:
    home: Path = stopped.home
    database = Database(f"sqlite:///{home / 'registry.db'}")
    upgrade(database, "onecode_registry")
    facts = Outbox(outbox, "registry", calendar)
    yield Ports(
        project="default",
        records=SqlRecords(database, facts, Audit(audit, calendar, facts)),
        objects=DirectoryObjects(home / "objects"),
        signing=FileSigning(home / "keys", (home / "fleet.pub").read_bytes()),
        inspector=ChildInspector(),
        trial=ChildTrial(),
        tracking=MlflowClient("http://127.0.0.1:9", lambda: "", "http://x", "default"),
        clock=calendar,
    )
    database.close()


def current(ports: Ports) -> dict[str, Any]:
    with ports.records.transaction() as unit:
        return {role: Metadata.from_bytes(unit.trust.current(role) or b"").signed for role in ROLES}


def versions(ports: Ports) -> dict[str, int]:
    return {role: signed.version for role, signed in current(ports).items()}


def test_the_timestamp_is_signed_each_hour_and_the_rest_long_before_it_expires(
    ports: Ports, calendar: Calendar
) -> None:
    signed = SignedMetadata(ports)
    signed.begin()
    assert versions(ports) == dict.fromkeys(ROLES, 1)
    signed.refresh()
    assert versions(ports) == dict.fromkeys(ROLES, 1)
    calendar.time += timedelta(minutes=61)
    signed.refresh()
    assert versions(ports) == {**dict.fromkeys(ROLES, 1), "timestamp": 2}
    start = calendar.time
    while calendar.time < start + timedelta(days=330):
        # A timestamp lives for a day; a refresh an hour before its end is the latest that may do.
        calendar.time += timedelta(hours=23)
        signed.refresh()
        for role, one in current(ports).items():
            assert one.expires > calendar.time, role
    assert versions(ports)["root"] == 2
    assert versions(ports)["models"] > 4


def test_a_root_whose_key_is_elsewhere_waits_for_it(ports: Ports, calendar: Calendar, stopped: Any) -> None:
    signed = SignedMetadata(ports)
    signed.begin()
    (stopped.home / "keys" / "root.key").rename(stopped.home / "root.key")
    calendar.time += timedelta(days=330)
    signed.refresh()
    assert versions(ports)["root"] == 1
    (stopped.home / "root.key").rename(stopped.home / "keys" / "root.key")
    signed.refresh()
    assert versions(ports)["root"] == 2


def test_a_start_after_a_long_rest_serves_nothing_that_has_expired(ports: Ports, calendar: Calendar) -> None:
    SignedMetadata(ports).begin()
    calendar.time += timedelta(days=89)
    SignedMetadata(ports).begin()
    for role, one in current(ports).items():
        assert one.expires > calendar.time, role


def test_what_was_replaced_is_kept_a_day_and_roots_for_ever(ports: Ports, calendar: Calendar) -> None:
    signed = SignedMetadata(ports)
    signed.begin()
    calendar.time += timedelta(hours=2)
    signed.refresh()
    with ports.records.transaction() as unit:
        assert unit.trust.version("timestamp", 1) is not None
    calendar.time += timedelta(hours=25)
    signed.refresh()
    with ports.records.transaction() as unit:
        assert unit.trust.version("timestamp", 1) is None
        assert unit.trust.version("root", 1) is not None
        assert unit.trust.version("snapshot", 1) is not None


def test_restored_records_continue_far_above_what_was_signed_after_the_backup(ports: Any) -> None:
    """A client that accepted the last metadata before the loss accepts what is signed after it."""
    signed = SignedMetadata(ports)
    signed.begin()
    before = versions(ports)
    with ports.records.transaction() as unit:
        mark_restored(unit._connection)
    signed.begin()
    after = versions(ports)
    assert after.pop("root") == before.pop("root")
    assert all(after[role] - before[role] >= JUMP for role in before)
    signed.begin()
    assert {role: versions(ports)[role] for role in after} == after
    meta = {name: one.version for name, one in current(ports)["snapshot"].meta.items()}
    assert meta == {"targets.json": after["targets"], "models.json": after["models"]}
    assert current(ports)["timestamp"].snapshot_meta.version == after["snapshot"]
