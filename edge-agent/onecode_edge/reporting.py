"""Tell the cloud what happened, over the bus or over HTTP, until it says that it has heard."""

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.assignment import shard
from onecode_common.bus import Bus
from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError, UnauthenticatedError, UnavailableError
from onecode_edge.adapters.outbox import Outbox, Outgoing
from onecode_edge.adapters.server import Credential, NeverSentError, Server

_log = logging.getLogger(__name__)
_BUS_PATIENCE_S = 30.0
_REPORT_S = 30.0
_CLEAN_EVERY_S = 600.0
_HTTP_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of one gateway."""

    tenant: str
    gateway: str
    segment: str

    def up(self, kind: str) -> str:
        """Return where reports of a kind go."""
        return f"oc.{self.tenant}.up.{shard(self.gateway)}.{self.gateway}.{kind}"

    @property
    def acknowledgements(self) -> str:
        """Where it is told which reports arrived."""
        return f"oc.{self.tenant}.dn.{self.gateway}.ack"

    @property
    def wake(self) -> str:
        """Where it is told to look for a policy."""
        return f"oc.{self.tenant}.wake.{self.segment}"


class Reporter:
    """Collects counters and status when it is time, and sends what waits.

    Args:
        bus: None where there is none; then everything goes over HTTP.
        collect: Fetches counters into the outbox.
        status: Returns the present status.
        report_s: Returns the seconds between two reports.
    """

    def __init__(
        self,
        outbox: Outbox,
        server: Server,
        credential: Credential,
        bus: Bus | None,
        subjects: Subjects,
        clock: Clock,
        collect: Callable[[], None],
        status: Callable[[], pb.Status],
        report_s: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._server = server
        self._credential = credential
        self._bus = bus
        self._subjects = subjects
        self._clock = clock
        self._collect = collect
        self._status = status
        self._report_s = report_s
        self._arrived: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        self._next_report = 0.0
        self._next_clean = 0.0
        self._http_after = 0.0
        self._bus_seen = self._last_arrival = clock.monotonic()
        self.wake: Callable[[], None] = lambda: None

    def acknowledged(self, _subject: str, payload: bytes) -> None:
        """Take an acknowledgement from the bus; called in its thread."""
        try:
            self._arrived.put(tuple(pb.Acknowledged.FromString(payload).sequences))
        except DecodeError:
            return
        self.wake()

    def turn(self, _stopping: threading.Event) -> bool:
        """Forget what arrived, collect if it is time, send what waits; return whether more waits to be sent."""
        while not self._arrived.empty():
            self._outbox.acknowledged(self._arrived.get())
            self._last_arrival = self._clock.monotonic()
        now = self._clock.monotonic()
        interval = self._report_s() or _REPORT_S
        # A new policy may ask for reports sooner than the old one did.
        self._next_report = min(self._next_report, now + interval)
        if now >= self._next_report:
            self._next_report = now + interval
            self._collect()
            self._outbox.add("status", self._status())
        if now >= self._next_clean:
            self._next_clean = now + _CLEAN_EVERY_S
            self._outbox.forget_old(self._clock.now().timestamp())
        if self._by_http(now):
            return self._send_by_http(now)
        if self._bus is not None and self._bus.connected:
            self._send_by_bus(self._bus)
        return False

    def _by_http(self, now: float) -> bool:
        """Return whether the bus is away, or takes reports that nobody acknowledges, for half a minute."""
        if self._bus is None:
            return True
        if self._bus.connected:
            self._bus_seen = now
        if now - self._bus_seen > _BUS_PATIENCE_S:
            return True
        silent = now - self._last_arrival > _BUS_PATIENCE_S
        return silent and self._outbox.oldest_sent(self._clock.now().timestamp() - _BUS_PATIENCE_S) is not None

    def _send_by_bus(self, bus: Bus) -> None:
        due = self._outbox.take_due(self._clock.now().timestamp())
        for number, one in enumerate(due):
            message_id = f"{self._subjects.gateway}:{one.sequence}"
            try:
                bus.publish_durable(self._subjects.up(one.kind), one.report.SerializeToString(), message_id)
            except UnavailableError as error:
                _log.info("reports wait: %s", error.message)
                # The first may have arrived; those behind it were not even tried.
                self._outbox.never_left(later.sequence for later in due[number + 1 :])
                return

    def _send_by_http(self, now: float) -> bool:
        if now < self._http_after:
            return False
        self._http_after = now + _HTTP_PAUSE_S
        due = self._outbox.take_due(self._clock.now().timestamp())
        if not due:
            return False
        batch = pb.ReportBatch(reports=[one.report for one in due])
        try:
            arrived = self._server.report(batch, self._credential.token())
        except (NeverSentError, UnauthenticatedError) as error:
            if isinstance(error, UnauthenticatedError):
                self._credential.forget()
            self._outbox.never_left(_sequences(due))
            return False
        except OnecodeError as error:
            _log.info("reports wait: %s", error.message)
            return False
        self._outbox.acknowledged(arrived)
        self._http_after = now
        return bool(arrived) and self._outbox.waiting() > 0


def _sequences(due: Iterable[Outgoing]) -> list[int]:
    return [one.sequence for one in due]
