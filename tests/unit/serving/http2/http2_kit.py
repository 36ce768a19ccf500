"""What the tests of the HTTP/2 engine share: an application that writes down its calls, and a client of raw frames."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from onecode_serving.http2 import Budget, Http2Engine, Http2Limits, encode_block
from onecode_serving.http2.frames import DATA as DATA_FRAME
from onecode_serving.http2.frames import (
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    unpack_head,
    unpack_u32,
)

GREETING = PREFACE + frame(SETTINGS, 0, 0)
ANSWER_HEAD = encode_block([(":status", "200"), ("content-type", "application/grpc")])
ANSWER_TAIL = encode_block([("grpc-status", "0")])


def block_for(path: str, *more: tuple[str, str], method: str = "POST") -> bytes:
    return encode_block([(":method", method), (":scheme", "http"), (":path", path), ("te", "trailers"), *more])


UNARY = block_for("/unary")
STREAMING = block_for("/streaming")
SMALL = block_for("/small")


@dataclass(frozen=True)
class Place:
    path: bytes
    streaming: bool = False
    max_body: int = 1_000_000
    cacheable: bool = True
    traceparent: bytes = b""
    beginning: int = 0

    def fits(self, begun: bytes) -> bool:
        """Bodies of ``/counted`` begin with three bytes, the last of which says how long they are."""
        return begun[2] <= 100


class RecordingApp:
    """Writes down every call. ``/echo`` is answered at once with the body, ``/small`` takes only 100 bytes."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.heads = 0
        self.engine: Http2Engine

    def head(self, headers: list[tuple[bytes, bytes]]) -> Place:
        self.heads += 1
        fields = dict(headers)
        path = fields[b":path"]
        assert all(type(name) is bytes and type(value) is bytes for name, value in headers)
        return Place(
            path,
            streaming=path == b"/streaming",
            max_body=100 if path == b"/small" else 1_000_000,
            beginning=3 if path == b"/counted" else 0,
            cacheable=path != b"/fresh",
            traceparent=fields.get(b"traceparent", b""),
        )

    def carrying(self, route: Place, traceparent: bytes) -> Place:
        return replace(route, traceparent=traceparent)

    def whole(self, stream: int, route: Place, body: bytes) -> None:
        self.calls.append(("whole", stream, route.path, body))
        if route.path == b"/echo":
            self.engine.send(stream, ANSWER_HEAD, body, ANSWER_TAIL)

    def opened(self, stream: int, route: Place) -> None:
        self.calls.append(("opened", stream, route.path))

    def piece(self, stream: int, data: bytes) -> None:
        self.calls.append(("piece", stream, data))

    def ended(self, stream: int) -> None:
        self.calls.append(("ended", stream))

    def too_large(self, stream: int, route: Place) -> None:
        self.calls.append(("too_large", stream, route.path))

    def gone(self, stream: int) -> None:
        self.calls.append(("gone", stream))

    def writable(self, stream: int) -> None:
        self.calls.append(("writable", stream))


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frames_of(data: bytes) -> list[Frame]:
    found = []
    at = 0
    while at < len(data):
        word, flags, stream = unpack_head(data, at)
        stop = at + 9 + (word >> 8)
        assert stop <= len(data), "the engine wrote half a frame"
        found.append(Frame(word & 0xFF, flags, stream, data[at + 9 : stop]))
        at = stop
    return found


@dataclass
class Wire:
    """A connection whose client is the test."""

    limits: Http2Limits = field(default_factory=Http2Limits)
    budget: Budget = field(default_factory=Budget)
    greeting: bytes = GREETING
    now: float = 0.0

    def __post_init__(self) -> None:
        self.app = RecordingApp()
        self.engine = self.app.engine = Http2Engine(self.app, self.limits, self.now, self.budget)
        if self.greeting:
            self.engine.receive(self.greeting, self.now)
            self.greeted = frames_of(self.engine.take())

    def put(self, *data: bytes) -> list[Frame]:
        """Give the engine bytes and return the frames it writes."""
        self.engine.receive(b"".join(data), self.now)
        return self.take()

    def take(self) -> list[Frame]:
        return frames_of(self.engine.take())

    def ended_by(self, *data: bytes) -> int | None:
        """Give the engine bytes and return the code of its GOAWAY, None without one."""
        codes = [unpack_u32(one.payload, 4)[0] for one in self.put(*data) if one.kind == GOAWAY]
        assert bool(codes) == self.engine.closing
        return codes[0] if codes else None

    def resets(self, *data: bytes) -> dict[int, int]:
        """Give the engine bytes and return the codes of its resets by stream; the connection goes on."""
        found = resets_in(self.put(*data))
        assert not self.engine.closing
        return found


def resets_in(frames: Iterable[Frame]) -> dict[int, int]:
    return {one.stream: unpack_u32(one.payload, 0)[0] for one in frames if one.kind == RST_STREAM}


def headers(stream: int, block: bytes = UNARY, *, end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def data(stream: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    return frame(DATA_FRAME, END_STREAM if end else 0, stream, payload)


def call(stream: int, body: bytes = b"body", block: bytes = UNARY) -> bytes:
    return headers(stream, block) + data(stream, body, end=True)
