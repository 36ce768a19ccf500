"""Write HTTP/2's frame layer down once, for servers and clients (RFC 9113, sections 4, 6 and 7)."""

import struct

from onecode_common.errors import InvalidError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(
    7
)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(7, 12)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

HEAD = 9
"""Bytes before each payload: 3 of length, 1 of type, 1 of flags, 4 of stream."""
GREATEST = 2**31 - 1
"""The greatest stream id and the greatest window; it also masks the reserved bit."""
FIRST_WINDOW = 65_535
"""Every window before anybody has said otherwise."""
SMALLEST_FRAME = 16_384
GREATEST_FRAME = 2**24 - 1

unpack_head = struct.Struct(">IBi").unpack_from
"""``(length << 8 | type, flags, stream)``, three values at once; a set reserved bit makes the stream negative."""
unpack_update = struct.Struct(">IBiI").unpack_from
"""The same and the first four bytes of the payload: all of a WINDOW_UPDATE."""
pack_head = struct.Struct(">IBI").pack
unpack_u32 = struct.Struct(">I").unpack_from
_WORD = struct.Struct(">I")
_SETTING = struct.Struct(">HI")


class ProtocolError(InvalidError):
    """The peer broke the protocol so that the connection has to end with GOAWAY.

    Attributes:
        number: The error code on the wire, for example :data:`PROTOCOL_ERROR`.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message, code="http2.fault")
        self.number = number


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame; nothing is checked."""
    return pack_head(len(payload) << 8 | kind, flags, stream) + payload


def settings_frame(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame that announces these values by setting id."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def window_frame(stream: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def reset_frame(stream: int, code: int) -> bytes:
    """Return an RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway_frame(last: int, code: int, reason: str = "") -> bytes:
    """Return a GOAWAY frame; the reason is for people who read a trace, at most 200 bytes of it are sent."""
    return frame(GOAWAY, 0, 0, _WORD.pack(last) + _WORD.pack(code) + reason.encode()[:200])


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return (setting id, value) in the order sent; the length must be a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


def block_frames(stream: int, block: bytes, flags: int, largest: int) -> bytes:
    """Return a header block as HEADERS and, where it is longer than one frame may be, CONTINUATION.

    Args:
        stream: Where it goes.
        block: Encoded fields.
        flags: END_STREAM or 0; END_HEADERS is set here.
        largest: The greatest payload that the peer accepts.
    """
    if len(block) <= largest:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [block[at : at + largest] for at in range(0, len(block), largest)]
    middle = [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    ends = frame(HEADERS, flags, stream, parts[0]), frame(CONTINUATION, END_HEADERS, stream, parts[-1])
    return b"".join((ends[0], *middle, ends[1]))


def without_padding(flags: int, payload: bytes) -> bytes:
    """Return the payload of DATA or HEADERS less its padding.

    Raises:
        ProtocolError: The padding is as long as the frame, or longer.
    """
    if not flags & PADDED:
        return payload
    if not payload:
        raise ProtocolError(FRAME_SIZE_ERROR, "a padded frame of 0 bytes: it must hold its padding's length")
    if payload[0] >= len(payload):
        raise ProtocolError(PROTOCOL_ERROR, f"padding of {payload[0]} bytes in a frame of {len(payload)}: send less")
    return payload[1 : len(payload) - payload[0]]
