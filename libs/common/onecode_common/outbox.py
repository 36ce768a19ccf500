"""Tell a fact exactly when its change is committed: the fact is a row of the same transaction.

A sender publishes the rows in order and marks them when the broker has taken them; after a crash it
publishes again, and consumers drop what they have seen (envelope id). The broker may lose everything:
whoever needs the truth asks the service.
"""

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import datetime

from google.protobuf.message import Message
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, String, Table, delete, insert, select

from onecode.events.v1 import events_pb2 as events
from onecode_common.bus import Bus
from onecode_common.clock import Clock
from onecode_common.database import Database
from onecode_common.errors import UnavailableError
from onecode_common.loops import Loop

_BATCH = 100
_IDLE_S = 2.0
_log = logging.getLogger(__name__)


def outbox_table(metadata: MetaData) -> Table:
    """Return the table; a service's first migration creates it with the same columns."""
    return Table(
        "outbox",
        metadata,
        Column("sequence", Integer, primary_key=True, autoincrement=True),
        Column("event_id", String(40), nullable=False, unique=True),
        Column("subject", String(200), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )


class Outbox:
    """Appends facts to the outbox of one service."""

    def __init__(self, table: Table, source: str, clock: Clock, project: str = "default") -> None:
        self.table = table
        self._source = source
        self._clock = clock
        self._project = project
        self.wake: Callable[[], None] = lambda: None

    def append(self, connection: Connection, fact: Message) -> None:
        """Add a fact (a message of ``onecode.events.v1``) to the running transaction."""
        envelope = make_envelope(fact, self._source, self._clock.now(), self._project)
        row = {
            "event_id": envelope.id,
            "subject": subject_of(self._source, fact),
            "payload": envelope.SerializeToString(),
        }
        connection.execute(insert(self.table).values(row))
        self.wake()


def subject_of(source: str, fact: Message) -> str:
    """Return ``oc.ev.<source>.<MessageName>``."""
    return f"oc.ev.{source}.{fact.DESCRIPTOR.name}"


def make_envelope(fact: Message, source: str, now: datetime, project: str) -> events.Envelope:
    """Return the fact in its envelope, with a new id."""
    envelope = events.Envelope(id=str(uuid.uuid4()), source=source, project=project)
    envelope.time.FromDatetime(now)
    for field in events.Envelope.DESCRIPTOR.oneofs_by_name["body"].fields:
        if field.message_type is not None and field.message_type.full_name == fact.DESCRIPTOR.full_name:
            getattr(envelope, field.name).CopyFrom(fact)
            return envelope
    message = f"{fact.DESCRIPTOR.full_name} is not a fact: add it to Envelope.body"
    raise TypeError(message)


class OutboxSender:
    """The part of a service that publishes its outbox."""

    name = "outbox"

    def __init__(self, database: Database, outbox: Outbox, bus: Bus) -> None:
        self._database = database
        self._table = outbox.table
        self._bus = bus
        self._loop = Loop("outbox", self._turn, idle_s=_IDLE_S)
        outbox.wake = self._loop.wake

    def start(self) -> None:
        """Begin to send."""
        self._loop.start()

    def stop(self) -> None:
        """End after the row in hand; what was not sent is sent after the next start."""
        self._loop.stop()

    def ready(self) -> str | None:
        """Return None: facts may wait, nobody depends on them."""
        return None

    def _turn(self, stopping: threading.Event) -> bool:
        with self._database.transaction() as connection:
            rows = connection.execute(select(self._table).order_by(self._table.c.sequence).limit(_BATCH)).all()
        for row in rows:
            if stopping.is_set():
                return False
            try:
                self._bus.publish_durable(row.subject, row.payload, row.event_id)
            except UnavailableError as error:
                _log.info("the bus does not take facts now, %d wait: %s", len(rows), error)
                return False
            with self._database.transaction() as connection:
                connection.execute(delete(self._table).where(self._table.c.sequence == row.sequence))
        return len(rows) == _BATCH
