"""Over a real broker: facts reach listeners, copies of audit rows are kept once, a loss is told."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onecode.events.v1 import events_pb2 as events
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.migrations import upgrade
from onecode_common.outbox import OutboxSender, make_envelope, subject_of
from onecode_console.adapters.facts import Facts
from onecode_console.adapters.records import RecordedCopies, RecordedSessions
from onecode_console.domain.events import EventRing
from onecode_console.domain.sessions import Session
from onecode_console.streams import Streams

NATS = Path(sys.executable).parent / "nats-server"
CLOCK = SystemClock()
LIMIT_S = 30


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [str(NATS), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(tmp_path / "js")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"nats://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path / 'console.db'}")
    upgrade(found, "onecode_console")
    yield found
    found.close()


def wait_for(reached: Any) -> None:
    end = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.02)


def envelope(fact: Any, source: str) -> tuple[str, bytes]:
    return subject_of(source, fact), make_envelope(fact, source, CLOCK.now(), "default").SerializeToString()


def test_facts_of_other_services_are_heard_and_copied_once(broker: str, database: Database) -> None:
    streams, copies = Streams(EventRing(1)), RecordedCopies(database)
    bus = Bus(broker, "console")
    facts = Facts(bus, streams, copies)
    bus.start()
    facts.start()
    try:
        wait_for(lambda: facts._was_connected)
        changed = events.RolloutChanged(rollout_id="r_1", state="paused", step=1)
        audited = envelope(events.AuditRecorded(sequence=7, principal="admin", action="pause", object="r_1"), "rollout")
        wait_for(lambda: _sent(bus, *envelope(changed, "rollout"), "a"))
        for number in range(3):
            bus.publish_durable(*audited, f"again-{number}")
        bus.publish("oc.ev.rollout.Broken", b"\xff\xff\xff")
        wait_for(lambda: copies.newest(10, 0))
        wait_for(lambda: streams._ring.newest >= 4)
        heard = streams._ring.since(streams._ring._oldest - 1).events
        topics = [event.topic for event in heard]
        assert topics.count("rollout:r_1") >= 1
        assert "audit:r_1" in topics
        facts.copy([audited, audited, ("oc.ev.x.AuditRecorded", b"\xff")])
        ((number, copy),) = copies.newest(10, 0)
        assert (copy.source, copy.sequence, copy.principal, copy.action) == ("rollout", 7, "admin", "pause")
        assert copies.newest(10, number) == []
    finally:
        facts.stop()
        bus.stop()


def _sent(bus: Bus, subject: str, payload: bytes, message_id: str) -> bool:
    from onecode_common.errors import UnavailableError

    try:
        bus.publish_durable(subject, payload, message_id)
    except UnavailableError:
        return False
    return True


def test_a_sign_in_is_told_like_every_change(broker: str, database: Database) -> None:
    sessions = RecordedSessions(database, CLOCK, "default")
    bus, heard = Bus(broker, "console"), []
    bus.ensure_streams()
    bus.subscribe("oc.ev.console.AuditRecorded", lambda _subject, payload: heard.append(payload))
    bus.start()
    sender = OutboxSender(database, sessions.outbox, bus)
    sender.start()
    try:
        assert bus.wait_connected(LIMIT_S)
        now = CLOCK.now()
        session = Session("k" * 64, "admin", now, now)
        sessions.begin("c" * 64, session)
        sessions.end(session)
        sessions.end(session)
        wait_for(lambda: len(heard) >= 2)
        actions = [events.Envelope.FromString(payload).audit_recorded.action for payload in heard]
        assert actions == ["session.begin", "session.end"]
    finally:
        sender.stop()
        bus.stop()


def test_what_was_told_while_the_bus_was_away_makes_listeners_look_again(database: Database) -> None:
    streams = Streams(EventRing(1))
    place = streams._ring.newest

    class Away:
        connected = False

    facts = Facts(Away(), streams, RecordedCopies(database))  # type: ignore[arg-type]
    facts._look(None)
    assert not streams._ring.since(place).reset
    Away.connected = True
    facts._look(None)
    assert streams._ring.since(place).reset
    place = streams._ring.newest
    facts._look(None)
    assert not streams._ring.since(place).reset
