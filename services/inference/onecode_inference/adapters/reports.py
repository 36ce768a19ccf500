"""Send reports over the bus under this source's own subjects, and hear what arrived."""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from onecode.edge.v1 import edge_pb2
from onecode_common.assignment import shard
from onecode_common.bus import Bus


class BusPublisher:
    """Reports of one source on ``oc.<tenant>.up.<shard>.<source>.<kind>``."""

    def __init__(self, bus: Bus, tenant: str, source: str) -> None:
        self._bus = bus
        self._source = source
        self._prefix = f"oc.{tenant}.up.{shard(source)}.{source}"
        self._down = f"oc.{tenant}.dn.{source}.ack"
        self._wake = f"oc.{tenant}.wake"

    def send(self, kind: str, sequence: int, attempt: int, payload: bytes) -> None:
        """Hand a report to the broker; an attempt is stored once.

        A repetition has an id of its own: it is sent because the first one was not acknowledged, perhaps because its
        delivery was lost, and the broker would drop it as a duplicate. Who counts does so by (source, sequence).
        """
        message_id = f"{self._source}:{sequence}" + (f":{attempt}" if attempt else "")
        self._bus.publish_durable(f"{self._prefix}.{kind}", payload, message_id, timeout_s=3.0)

    def listen(self, segment: str, arrived: Callable[[list[int]], None], wake: Callable[[], None]) -> None:
        """Call ``arrived`` with acknowledged numbers and ``wake`` when a policy was published, from the bus thread."""

        def on_ack(_subject: str, payload: bytes) -> None:
            try:
                arrived(list(edge_pb2.Acknowledged.FromString(payload).sequences))
            except DecodeError:
                return

        self._bus.subscribe(self._down, on_ack)
        self._bus.subscribe(f"{self._wake}.{segment}", lambda _subject, _payload: wake())
