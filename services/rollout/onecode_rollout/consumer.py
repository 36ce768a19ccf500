"""Take reports from the bus: who speaks is the subject that the broker enforced, never the body."""

import logging
from collections import defaultdict

from google.protobuf.message import DecodeError

from onecode.edge.v1 import edge_pb2 as edge
from onecode_common.assignment import shard
from onecode_common.bus import Bus
from onecode_rollout.convert import report_from_wire
from onecode_rollout.domain.reports import Report
from onecode_rollout.usecases.telemetry import Telemetry

_log = logging.getLogger(__name__)
_STREAM, _DURABLE = "UP", "rollout"
_TOKENS = 6
_MAX_BYTES = 64 << 10


class ReportConsumer:
    """Feeds the use case from stream UP; a batch that failed comes again."""

    def __init__(self, bus: Bus, telemetry: Telemetry, tenant: str) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._tenant = tenant

    def subscribe(self) -> None:
        """Begin to pull once the bus is connected."""
        self._bus.ensure_streams()
        self._bus.consume(_STREAM, _DURABLE, f"oc.{self._tenant}.up.>", self.take)

    def take(self, messages: list[tuple[str, bytes]]) -> None:
        """Commit a batch, then acknowledge to the sources."""
        told: dict[str, list[Report]] = defaultdict(list)
        for subject, payload in messages:
            source = self.source_of(subject)
            report = _parse(payload)
            if source and report is not None:
                told[source].append(report)
            else:
                _log.warning("a message on %s is dropped: not a report of its subject", subject[:200])
        if told:
            self._telemetry.acknowledge(self._telemetry.take(told))

    def source_of(self, subject: str) -> str:
        """Return the source of ``oc.<tenant>.up.<shard>.<source>.<kind>``, or nothing."""
        parts = subject.split(".")
        if len(parts) != _TOKENS or parts[1] != self._tenant:
            return ""
        return parts[4] if parts[3] == str(shard(parts[4])) else ""


def _parse(payload: bytes) -> Report | None:
    if len(payload) > _MAX_BYTES:
        return None
    try:
        return report_from_wire(edge.Report.FromString(payload))
    except DecodeError:
        return None
