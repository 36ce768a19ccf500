"""Tell rollout what is served and how it does, until it says that it has heard.

Everything waits in memory: a crash loses the last seconds of both arms alike, which is no evidence for either.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from onecode.edge.v1 import edge_pb2
from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_inference.outbox import ACTION, COUNTERS, STATUS, Outbox
from onecode_inference.ports import Publisher, Sequences
from onecode_serving.counters import Counters

_log = logging.getLogger(__name__)
_ROWS = 150
"""Counters in a report: about 45 KiB, below the broker's 64."""


class Voice(NamedTuple):
    """Who tells, and by what."""

    source: str
    boot_id: str
    publisher: Publisher | None
    sequences: Sequences


class Reporter:
    """Collects actions, counters and status, and sends them again until they are acknowledged.

    Args:
        voice: Who tells.
        counters: Of the data plane.
        status: Returns how the server is.
        clock: For intervals and waits.
    """

    def __init__(self, voice: Voice, counters: Counters, status: Callable[[], edge_pb2.Status], clock: Clock) -> None:
        self._voice = voice
        self._counters = counters
        self._status = status
        self._clock = clock
        self._outbox = Outbox()
        self._acknowledged: list[int] = []
        self._told: list[edge_pb2.Counter] = []
        self._period_s = 30.0
        self._next = 0.0
        self._lock = threading.Lock()

    def set_period(self, seconds: float) -> None:
        """Report counters and status this often."""
        self._period_s = max(0.2, seconds)
        self._next = min(self._next, self._clock.monotonic() + self._period_s)

    def tell(self, action: edge_pb2.Action) -> None:
        """Report that an action reached a state."""
        _log.info(
            "model %s revision %d %s: %s %s", action.model, action.revision, action.state, action.digest, action.detail
        )
        with self._lock:
            self._outbox.put(ACTION, self._report(action=action))

    def waiting(self) -> int:
        """Return how many reports are not acknowledged."""
        return len(self._outbox)

    def acknowledge(self, sequences: Sequence[int]) -> None:
        """Note that these reports arrived; quick, so that the bus thread may call it."""
        with self._lock:
            self._acknowledged += sequences

    def turn(self, stopping: threading.Event) -> bool:
        """Do one round: hear, collect, send."""
        self._hear()
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + self._period_s
            self.collect()
        self._send(stopping)
        return False

    def collect(self) -> None:
        """Put the newest totals and status into the outbox."""
        rows = self._counters.take(self._clock.now().timestamp())
        status = self._status()
        with self._lock:
            if rows != self._told:
                self._outbox.drop(COUNTERS)
                for start in range(0, len(rows), _ROWS):
                    batch = edge_pb2.CounterBatch(counters=rows[start : start + _ROWS])
                    self._outbox.add(COUNTERS, self._report(counters=batch))
                self._told = rows
            self._outbox.put(STATUS, self._report(status=status))

    def _hear(self) -> None:
        with self._lock:
            arrived = self._outbox.acknowledge(self._acknowledged)
            self._acknowledged = []
        for report in arrived:
            self._counters.settle(report.counters.counters)

    def _send(self, stopping: threading.Event) -> None:
        publisher = self._voice.publisher
        if publisher is None:
            return
        with self._lock:
            due = self._outbox.due(self._clock.monotonic())
        for letter in due:
            if stopping.is_set():
                return
            try:
                publisher.send(letter.kind, letter.report.sequence, letter.attempts, letter.report.SerializeToString())
            except OnecodeError as error:
                _log.info("%d reports wait: %s", len(due), error.message)
                return
            letter.sent = self._clock.monotonic()
            letter.attempts += 1

    def _report(
        self,
        action: edge_pb2.Action | None = None,
        counters: edge_pb2.CounterBatch | None = None,
        status: edge_pb2.Status | None = None,
    ) -> edge_pb2.Report:
        return edge_pb2.Report(
            source=self._voice.source,
            boot_id=self._voice.boot_id,
            sequence=self._voice.sequences.next(),
            sent_at=int(self._clock.now().timestamp()),
            action=action,
            counters=counters,
            status=status,
        )
