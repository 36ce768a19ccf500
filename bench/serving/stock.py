"""Say on an HTTP/2 connection what a stock gRPC client says, byte for byte, from constants.

Recorded from grpcio 1.85: its settings, and a header block whose later calls are eight indices and the token.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hpack import Decoder

INFER = b"/inference.GRPCInferenceService/ModelInfer"
STREAM = b"/inference.GRPCInferenceService/ModelStreamInfer"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000024040000000000000200000000000300000000000400400000000500400000000600004000fe0300000001")
"""No push, no streams from the server, windows and frames of 4 MiB, header lists of 16 KiB, one private setting."""
WINDOW = bytes.fromhex("000004080000000000003f0001")
CREDIT = bytes.fromhex("000004080000000000")
ACK = bytes.fromhex("000000040100000000")
DATA, HEADERS, RST_STREAM, SETTINGS_FRAME, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4

_FRAME = struct.Struct(">HBBBI")
_HEADER = 9


class Frame(NamedTuple):
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Blocks(NamedTuple):
    """Header blocks of a connection: the first call fills the peer's table, each later one repeats it."""

    first: bytes
    again: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame."""
    length = len(payload)
    return _FRAME.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def blocks(path: bytes, authority: bytes, token: str, timeout: bytes = b"") -> Blocks:
    """Return the header blocks of a method.

    Args:
        path: Of the method.
        authority: ``host:port``.
        token: Bearer token; empty sends none. Stock clients never index it.
        timeout: Text of ``grpc-timeout``; empty sends none.
    """
    known = [
        (b":path", path),
        (b":authority", authority),
        None,
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-accept-encoding", b"identity, deflate, gzip"),
        *([(b"grpc-timeout", timeout)] if timeout else []),
        (b"user-agent", b"grpc-python/1.85.1 grpc-c/58.0.0 (linux; chttp2)"),
    ]
    table = [each for each in known if each]
    # `:method POST` and `:scheme http` are in the static table; the newest entry of the other one has index 62.
    first = b"".join(b"\x40" + _text(each[0]) + _text(each[1]) if each else b"\x83\x86" for each in known)
    again = b"".join(bytes([0x80 | 61 + len(table) - table.index(each)]) if each else b"\x83\x86" for each in known)
    secret = b"\x00" + _text(b"authorization") + _text(b"Bearer " + token.encode()) if token else b""
    return Blocks(first + secret, again + secret)


def opening(block: bytes, message: bytes) -> bytes:
    """Return everything up to the end of the first call on a connection, stream 1."""
    return PREFACE + SETTINGS + WINDOW + call(1, block, message)


def call(stream: int, block: bytes, message: bytes) -> bytes:
    """Return the three frames of a unary call; ``message`` has its gRPC prefix."""
    return (
        frame(HEADERS, END_HEADERS, stream, block)
        + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\x05")
        + frame(DATA, END_STREAM, stream, message)
    )


def prefixed(message: bytes) -> bytes:
    """Return a message with its gRPC prefix, uncompressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def frames(data: bytes) -> Iterator[Frame]:
    """Yield the whole frames at the start of some bytes."""
    place, end = 0, len(data)
    while place + _HEADER <= end:
        high, low, kind, flags, stream = _FRAME.unpack_from(data, place)
        length = high << 8 | low
        if place + _HEADER + length > end:
            return
        yield Frame(kind, flags, stream & 0x7FFFFFFF, data[place + _HEADER : place + _HEADER + length])
        place += _HEADER + length


def answer_to(each: Frame) -> bytes:
    """Return what a client must say at once to a frame about the connection."""
    if each.kind == SETTINGS_FRAME and not each.flags & 1:
        return ACK
    if each.kind == PING and not each.flags & 1:
        return frame(PING, 1, 0, each.payload)
    return b""


def credit(count: int) -> bytes:
    """Return a connection window update."""
    return CREDIT + count.to_bytes(4, "big")


def decoded(decoder: Decoder, block: bytes) -> tuple[dict[bytes, bytes], bool]:
    """Return the headers of a block, and whether it left the decoder's table as it was."""
    before = list(decoder.header_table.dynamic_entries)
    headers = {bytes(name): bytes(value) for name, value in decoder.decode(block, raw=True)}
    return headers, list(decoder.header_table.dynamic_entries) == before


def _text(value: bytes) -> bytes:
    return bytes([len(value)]) + value if len(value) < 127 else b"\x7f" + bytes([len(value) - 127]) + value  # noqa: PLR2004 - seven bits of length
