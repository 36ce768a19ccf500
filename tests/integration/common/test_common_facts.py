"""A change and its fact are one transaction; the fact reaches a real bus once, however often things break."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, func, select, text, update

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit, audit_table
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import UnavailableError
from onecode_common.outbox import Outbox, OutboxSender, outbox_table, subject_of

WAIT_S = 30.0
METADATA = MetaData()
OUTBOX, AUDIT = outbox_table(METADATA), audit_table(METADATA)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with one.transaction() as connection:
        METADATA.create_all(connection)
    yield one
    one.close()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(OUTBOX, "registry", SystemClock())


class Listener:
    """Keeps every distinct fact that a durable consumer was given."""

    def __init__(self, bus: Bus) -> None:
        self.ids: set[str] = set()
        self.facts: list[events.Envelope] = []
        self.enough = threading.Condition()
        bus.consume("EV", "listener", "oc.ev.>", self._take)

    def _take(self, batch: list[tuple[str, bytes]]) -> None:
        with self.enough:
            for _subject, payload in batch:
                envelope = events.Envelope.FromString(payload)
                if envelope.id not in self.ids:
                    self.ids.add(envelope.id)
                    self.facts.append(envelope)
            self.enough.notify_all()

    def wait_for(self, count: int) -> list[events.Envelope]:
        with self.enough:
            assert self.enough.wait_for(lambda: len(self.facts) >= count, WAIT_S)
            return list(self.facts)


@pytest.fixture
def start() -> Iterator[Callable[[Any], Any]]:
    parts: list[Any] = []

    def begin(part: Any) -> Any:
        part.start()
        parts.append(part)
        return part

    yield begin
    for part in reversed(parts):
        part.stop()


def ready(release: int) -> events.ModelVersionReady:
    return events.ModelVersionReady(model="pump", release=release, digest="sha256:x")


def waiting(database: Database) -> int:
    with database.transaction() as connection:
        return connection.execute(select(func.count()).select_from(OUTBOX)).scalar_one()


def test_a_fact_of_a_change_that_failed_is_never_told(database: Database, outbox: Outbox) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            outbox.append(connection, ready(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert waiting(database) == 0


def test_only_facts_go_into_the_outbox(database: Database, outbox: Outbox) -> None:
    with pytest.raises(TypeError), database.transaction() as connection:
        outbox.append(connection, events.Envelope())


def test_facts_reach_the_bus_in_order_and_each_once(
    database: Database, outbox: Outbox, new_broker: Callable[[], Any], start: Callable[[Any], Any]
) -> None:
    broker = new_broker()
    broker.start()
    bus = Bus(broker.url, "registry")
    bus.ensure_streams()
    listener = Listener(bus)
    start(bus)
    start(OutboxSender(database, outbox, bus))
    for release in range(1, 251):
        with database.transaction() as connection:
            outbox.append(connection, ready(release))
    told = listener.wait_for(250)
    assert [one.model_version_ready.release for one in told] == list(range(1, 251))
    assert {(one.source, one.project) for one in told} == {("registry", "default")}
    assert subject_of("registry", ready(1)) == "oc.ev.registry.ModelVersionReady"


def test_facts_wait_while_the_bus_is_away_and_survive_its_death(
    database: Database, outbox: Outbox, new_broker: Callable[[], Any], start: Callable[[Any], Any]
) -> None:
    broker = new_broker()
    bus = Bus(broker.url, "registry")
    bus.ensure_streams()
    listener = Listener(bus)
    start(bus)
    assert bus.ready() is None
    with pytest.raises(UnavailableError) as refusal:
        bus.publish("oc.ev.registry.X", b"")
    assert refusal.value.code == "bus.unavailable"
    start(OutboxSender(database, outbox, bus))
    with database.transaction() as connection:
        outbox.append(connection, ready(1))
    broker.start()
    assert [one.model_version_ready.release for one in listener.wait_for(1)] == [1]
    broker.stop()
    with database.transaction() as connection:
        outbox.append(connection, ready(2))
    assert waiting(database) == 1
    broker.start()
    assert [one.model_version_ready.release for one in listener.wait_for(2)] == [1, 2]


def test_a_batch_whose_handler_fails_comes_again(new_broker: Callable[[], Any], start: Callable[[Any], Any]) -> None:
    broker = new_broker()
    broker.start()
    bus = Bus(broker.url, "rollout")
    bus.ensure_streams()
    seen: list[bytes] = []
    done = threading.Event()

    def handle(batch: list[tuple[str, bytes]]) -> None:
        seen.extend(payload for _, payload in batch)
        if len(seen) == 1:
            raise RuntimeError
        done.set()

    bus.consume("UP", "rollout", "oc.*.up.>", handle)
    start(bus)
    assert bus.wait_connected(WAIT_S)
    for _ in range(200):
        try:
            bus.publish_durable("oc.default.up.3.gw-1.counters", b"report", "gw-1:1")
            bus.publish_durable("oc.default.up.3.gw-1.counters", b"report", "gw-1:1")
            break
        except UnavailableError:
            # The streams are being made.
            threading.Event().wait(0.05)
    assert done.wait(WAIT_S)
    assert seen == [b"report", b"report"]


def test_a_hint_reaches_subscribers_and_a_subject_without_stream_is_refused(
    new_broker: Callable[[], Any], start: Callable[[Any], Any]
) -> None:
    broker = new_broker()
    broker.start()
    bus = start(Bus(broker.url, "rollout"))
    heard = threading.Event()
    assert bus.wait_connected(WAIT_S)
    bus.subscribe("oc.default.wake.>", lambda _subject, payload: heard.set() if payload == b"12" else None)
    while not heard.wait(0.05):
        bus.publish("oc.default.wake.line-1", b"12")
    with pytest.raises(UnavailableError):
        bus.publish_durable("nobody.listens", b"", "1", timeout_s=1)


def test_the_audit_trail_is_a_chain_that_shows_any_tampering(database: Database, outbox: Outbox) -> None:
    audit = Audit(AUDIT, SystemClock(), outbox)
    with database.transaction() as connection:
        for number in range(5):
            audit.record(connection, "key:1", "rollout.create", f"r_{number}", "detail")
        assert audit.first_broken(connection) is None
    assert waiting(database) == 5
    tampering = (
        (update(AUDIT).where(AUDIT.c.sequence == 3).values(principal="key:2"), 3),
        (text("DELETE FROM audit WHERE sequence = 2"), 2),
        (text("UPDATE audit SET sequence = 9 WHERE sequence = 4"), 4),
    )
    for change, place in tampering:
        with database.engine.connect() as connection:
            connection.execute(change)
            assert audit.first_broken(connection) == place
            connection.rollback()
