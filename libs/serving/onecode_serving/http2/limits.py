"""Hold every bound that a stranger meets on an HTTP/2 connection, with the counts of who met one.

The names H1-H11 are those of the hardening table in the reference of the model server.
"""

from dataclasses import dataclass

from onecode_common.errors import InvalidError
from onecode_serving.http2.frames import FIRST_WINDOW, GREATEST, GREATEST_FRAME, SMALLEST_FRAME

WAITING_BYTES = 256 * 1024 * 1024
"""Of a process; see :class:`Budget`."""


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """The bounds of one connection; the defaults suit small requests from strangers.

    Attributes:
        streams: H1, open at once; beyond: REFUSED_STREAM.
        resets: H2, resets by either side within ``resets_s`` that are honest whatever the number of streams.
        resets_s: H2, seconds.
        block_bytes: H3, encoded bytes of one header block, counted while they arrive.
        block_frames: H3, frames of one header block.
        list_bytes: H4, decoded header list: name + value + 32 for each field.
        list_fields: H4, fields of one list.
        table_bytes: H4, the peer's dynamic header table.
        controls: H5, SETTINGS, PING, PRIORITY, unknown frames and empty DATA in one second, and one more for each call
            and each DATA frame of ours in that second.
        acks: H5, acknowledgements that wait to be written.
        updates_at_start: H5, WINDOW_UPDATE frames that need no reason.
        updates_per_call: H5, further ones that each request brings along.
        updates_per_data: H5, further ones for each DATA frame that we sent. Stock grpcio answers each message of a
            stream with two, one for the stream and one for the connection.
        stream_window: H6, bytes that one stream may send before we return credit; at least 65,535.
        connection_window: H6, the same for all streams together; at least 65,535.
        stream_queue: H7, bytes that may wait for a slow reader on one stream.
        connection_queue: H7, the same on one connection.
        stall_s: H7, seconds without progress of a reader.
        unary_s: H8, seconds from HEADERS to END_STREAM of a unary request, and for one header block.
        silence_s: H8, seconds between two DATA frames of a streaming request.
        preface_s: H8, seconds until the preface and the first SETTINGS are there.
        idle_s: H8, seconds without a byte from a peer that has no open stream.
        frame_bytes: H11, the greatest payload that we announce and take.
        goodbye_s: Seconds that a peer gets to answer the PING between the two GOAWAYs of a graceful end.
        high_water: Bytes waiting on a stream above which it counts as unwritable.
        low_water: Bytes waiting below which :meth:`App.writable` is called.
        cached_blocks: Header blocks that are remembered.
        cached_block_bytes: The longest block that is remembered.

    Raises:
        InvalidError: A window or frame size outside what the protocol can say.
    """

    streams: int = 64
    resets: int = 200
    resets_s: float = 10.0
    block_bytes: int = 16_384
    block_frames: int = 8
    list_bytes: int = 16_384
    list_fields: int = 100
    table_bytes: int = 4_096
    controls: int = 100
    acks: int = 64
    updates_at_start: int = 100
    updates_per_call: int = 10
    updates_per_data: int = 4
    stream_window: int = 4 * 1024 * 1024 + 65_536
    connection_window: int = 16 * 1024 * 1024
    stream_queue: int = 4 * 1024 * 1024
    connection_queue: int = 16 * 1024 * 1024
    stall_s: float = 30.0
    unary_s: float = 30.0
    silence_s: float = 300.0
    preface_s: float = 10.0
    idle_s: float = 300.0
    frame_bytes: int = 16_384
    goodbye_s: float = 2.0
    high_water: int = 256 * 1024
    low_water: int = 64 * 1024
    cached_blocks: int = 32
    cached_block_bytes: int = 512

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("stream_window", self.stream_window, FIRST_WINDOW, GREATEST),
            ("connection_window", self.connection_window, FIRST_WINDOW, GREATEST),
            ("frame_bytes", self.frame_bytes, SMALLEST_FRAME, GREATEST_FRAME),
        ):
            if not least <= value <= most:
                message = f"{name} is {value}: choose from {least} to {most}"
                raise InvalidError(message)


@dataclass(slots=True)
class Http2Counts:
    """What peers did wrong or we refused, ever growing; one object may be shared by all connections.

    Attributes:
        refused: Streams beyond the limit or after GOAWAY.
        resets_received: RST_STREAM frames of peers.
        resets_sent: RST_STREAM frames of ours, but those that follow an early answer.
        floods: Connections ended with ENHANCE_YOUR_CALM.
        malformed: Requests whose header list breaks HTTP.
        faults: Connections ended for any other break of the protocol.
        too_large: Requests longer than their route allows.
        slow: Requests that did not arrive in time.
        stalled: Answers that nobody read.
        overfull: Answers or requests dropped because too many bytes waited.
        surprises: Exceptions that would have left the engine.
    """

    refused: int = 0
    resets_received: int = 0
    resets_sent: int = 0
    floods: int = 0
    malformed: int = 0
    faults: int = 0
    too_large: int = 0
    slow: int = 0
    stalled: int = 0
    overfull: int = 0
    surprises: int = 0


class Budget:
    """Bytes that all connections of a process may hold for slow peers: unfinished requests, unread answers (H7)."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = WAITING_BYTES) -> None:
        self.limit = limit
        self.used = 0

    def take(self, count: int) -> bool:
        """Reserve ``count`` bytes; False, and nothing reserved, if they do not fit."""
        if self.used + count > self.limit:
            return False
        self.used += count
        return True

    def give(self, count: int) -> None:
        """Return bytes that were taken."""
        self.used -= count

    def moved(self, count: int) -> None:
        """Count bytes that are there already and cannot be refused; a negative count returns them."""
        self.used += count
