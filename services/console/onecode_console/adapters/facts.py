"""Hear what other services tell: keep copies of their audit trails, and pass everything on to listeners."""

import logging
import threading
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError

from onecode.events.v1 import events_pb2 as events
from onecode_common.bus import Bus
from onecode_common.loops import Loop
from onecode_console.convert import to_json
from onecode_console.ports import AuditCopies, AuditCopy
from onecode_console.streams import Streams

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_LONGEST = {"principal": 100, "action": 100, "object": 200, "decision": 20, "source": 40}

_TOPICS: Mapping[str, tuple[str, str]] = {
    "dataset_version_committed": ("dataset", "dataset"),
    "run_progress": ("run", "run_id"),
    "run_finished": ("run", "run_id"),
    "model_version_ready": ("model", "model"),
    "alias_changed": ("model", "model"),
    "policy_published": ("segment", "segment"),
    "rollout_changed": ("rollout", "rollout_id"),
    "audit_recorded": ("audit", "object"),
}
"""Kind of topic, and the field that names which one, by the envelope's field."""


class Facts:
    """The console's ears, as a part of its program."""

    name = "facts"

    def __init__(self, bus: Bus, streams: Streams, copies: AuditCopies) -> None:
        self._bus = bus
        self._streams = streams
        self._copies = copies
        self._was_connected = False
        self._loop = Loop("bus-watch", self._look, idle_s=_LOOK_S)

    def start(self) -> None:
        """Begin to listen, as soon as the bus is there."""
        self._bus.ensure_streams()
        self._bus.subscribe("oc.ev.>", lambda _subject, payload: self.hear(payload))
        self._bus.consume("EV", "console-audit", "oc.ev.*.AuditRecorded", self.copy)
        self._loop.start()

    def stop(self) -> None:
        """Stop looking after the connection."""
        self._loop.stop()

    def ready(self) -> str | None:
        """Return None: pages work without the bus, they are only less fresh."""
        return None

    def hear(self, payload: bytes) -> None:
        """Pass one fact on to listeners; one that cannot be read is dropped."""
        envelope = _envelope(payload)
        body = envelope.WhichOneof("body") if envelope is not None else None
        if envelope is None or body is None or body not in _TOPICS:
            return
        kind, field = _TOPICS[body]
        fact = getattr(envelope, body)
        fields = {"time": envelope.time.ToJsonString(), "source": envelope.source, **to_json(fact)}
        self._streams.tell(f"{kind}:{getattr(fact, field)}", body, fields)

    def copy(self, batch: list[tuple[str, bytes]]) -> None:
        """Store copies of audit rows; a batch may come twice."""
        copies = [copy for _, payload in batch if (copy := _audit_copy(payload)) is not None]
        if copies:
            self._copies.add(copies)

    def _look(self, _stopping: threading.Event) -> bool:
        connected = self._bus.connected
        if connected and not self._was_connected:
            # What was told meanwhile went past us.
            self._streams.forget()
        self._was_connected = connected
        return False


def _envelope(payload: bytes) -> events.Envelope | None:
    try:
        return events.Envelope.FromString(payload)
    except DecodeError:
        _log.warning("a fact of %d bytes cannot be read, dropped", len(payload))
        return None


def _audit_copy(payload: bytes) -> AuditCopy | None:
    envelope = _envelope(payload)
    if envelope is None or not envelope.id or envelope.WhichOneof("body") != "audit_recorded":
        return None
    row = envelope.audit_recorded

    def short(name: str, holder: object = row) -> str:
        return str(getattr(holder, name))[: _LONGEST[name]]

    return AuditCopy(
        event_id=envelope.id[:40],
        source=short("source", envelope),
        sequence=row.sequence,
        at=envelope.time.ToJsonString(),
        principal=short("principal"),
        action=short("action"),
        object=short("object"),
        decision=short("decision"),
    )


def bus_reason(bus: Bus | None) -> Callable[[], str | None]:
    """Return a question: why is the message bus away?"""

    def ask() -> str | None:
        if bus is None:
            return "no message bus is set"
        return None if bus.connected else "the message bus does not answer"

    return ask
