"""Send wake-ups and acknowledgements over NATS; a lost one costs a poll or a repetition."""

import logging
from collections.abc import Sequence

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.bus import Bus
from onecode_common.errors import UnavailableError

_log = logging.getLogger(__name__)


class NatsHints:
    """Hints on the bus; see :class:`onecode_rollout.ports.Hints`."""

    def __init__(self, bus: Bus, tenant: str) -> None:
        self._bus = bus
        self._tenant = tenant

    def wake(self, segment: str, generation: int) -> None:
        """Tell a segment that there is a new policy."""
        self._publish(f"oc.{self._tenant}.wake.{segment}", pb.Wake(generation=generation).SerializeToString())

    def acknowledge(self, source: str, sequences: Sequence[int]) -> None:
        """Tell a source which reports are committed."""
        if sequences:
            payload = pb.Acknowledged(sequences=list(sequences)).SerializeToString()
            self._publish(f"oc.{self._tenant}.dn.{source}.ack", payload)

    def _publish(self, subject: str, payload: bytes) -> None:
        try:
            self._bus.publish(subject, payload)
        except UnavailableError as error:
            _log.info("a hint on %s is lost: %s", subject, error)
