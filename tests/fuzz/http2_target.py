"""Try to make the HTTP/2 engine lose its composure with any bytes: for hypothesis, atheris, or a loop of one's own.

The first byte chooses: the rest is the wire itself, or a script of frames that are well-formed enough to get far.
"""

from dataclasses import dataclass, field

from onecode_serving.http2 import Budget, Http2Engine, Http2Limits, encode_block
from onecode_serving.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

ANSWER_HEAD = encode_block([(":status", "200")])
ANSWER_TAIL = encode_block([("grpc-status", "0")])
FIELDS = [(":method", "POST"), (":scheme", "http")]
GOOD_BLOCKS = [
    encode_block([*FIELDS, (":path", "/now")]),
    encode_block([*FIELDS, (":path", "/later")]),
    encode_block([*FIELDS, (":path", "/streaming")]),
    encode_block([*FIELDS, (":path", "/small")]),
    encode_block([*FIELDS, (":path", "/large")]),
]
BLOCKS = [
    *GOOD_BLOCKS,
    encode_block([*FIELDS, (":path", "/now"), ("content-length", "3")]),
    b"\x83\x86\x44\x04/now",
    b"\x83\x86\xbe",
    b"\x20" + encode_block([*FIELDS, (":path", "/now")]),
    encode_block([("x-trailer", "1")]),
    encode_block([(":path", "/broken")]),
    b"\xff\xff",
]
LIMITS = Http2Limits(
    streams=6, resets=20, controls=30, acks=10, stream_queue=300, connection_queue=1_500, high_water=200, low_water=50
)
SMALL = 20
OUTPUT_PER_BYTE = 60
"""The shortest request is 12 bytes with a remembered block; its answer, the largest, has 600."""


@dataclass(frozen=True)
class Place:
    """A route of the fuzzed application."""

    path: bytes
    streaming: bool
    max_body: int
    cacheable: bool = True
    beginning: int = 2

    def fits(self, begun: bytes) -> bool:
        """Let through what does not begin with two zeros."""
        assert len(begun) >= self.beginning
        return begun[:2] != bytes(2)


@dataclass
class SuspiciousApp:
    """Checks that the engine keeps its word; answers at once, later, or in parts."""

    known: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    open_sides: set[int] = field(default_factory=set)
    bodies: dict[int, bytes] = field(default_factory=dict)
    engine: Http2Engine = None  # type: ignore[assignment]

    def head(self, headers: list[tuple[bytes, bytes]]) -> Place:
        """Return the route by path."""
        path = dict(headers)[b":path"]
        return Place(path, path == b"/streaming", SMALL if path == b"/small" else 100_000)

    def meet(self, stream: int) -> None:
        """Note a new stream: odd, and never met before."""
        assert stream & 1, f"stream {stream} is even"
        assert stream not in self.seen, f"stream {stream} was told twice"
        self.seen.add(stream)
        self.known.add(stream)

    def whole(self, stream: int, route: Place, body: bytes) -> None:
        """Answer at once, at length, or not yet."""
        self.meet(stream)
        assert not route.streaming
        assert len(body) <= route.max_body
        self.bodies[stream] = body
        if route.path == b"/now":
            self.known.discard(stream)
            self.engine.send(stream, ANSWER_HEAD, body[:100], ANSWER_TAIL)
        elif route.path == b"/large":
            self.known.discard(stream)
            self.engine.send(stream, ANSWER_HEAD, bytes(500), b"")
        elif stream % 3:
            for earlier in list(self.known - self.open_sides):
                self.known.discard(earlier)
                self.engine.send(earlier, ANSWER_HEAD, bytes(50), ANSWER_TAIL)

    def opened(self, stream: int, route: Place) -> None:
        """Begin an answer."""
        assert route.streaming
        self.meet(stream)
        self.open_sides.add(stream)
        self.bodies[stream] = b""
        self.engine.send(stream, ANSWER_HEAD)

    def piece(self, stream: int, data: bytes) -> None:
        """Echo a little of it."""
        assert stream in self.open_sides, f"a piece for stream {stream}, which is not open"
        assert data
        self.bodies[stream] += data
        self.engine.send(stream, b"", data[:50])

    def ended(self, stream: int) -> None:
        """End the answer too."""
        self.open_sides.remove(stream)
        self.known.discard(stream)
        self.engine.send(stream, b"", b"", ANSWER_TAIL)

    def too_large(self, stream: int, route: Place) -> None:
        """Say so."""
        assert not route.streaming
        self.meet(stream)
        self.known.discard(stream)
        self.engine.send(stream, trailers=ANSWER_TAIL)

    def gone(self, stream: int) -> None:
        """Forget a stream that must be known."""
        assert stream in self.known, f"stream {stream} was given up but is not known"
        self.known.remove(stream)
        self.open_sides.discard(stream)

    def writable(self, stream: int) -> None:
        """Nothing waits in this application."""
        assert stream in self.known


@dataclass
class Script:
    """Frames that a few bytes each choose, with a note of which requests they hold; most of them are in order."""

    data: bytes
    at: int = 0
    opened: list[int] = field(default_factory=list)
    sending: list[int] = field(default_factory=list)
    headed: set[int] = field(default_factory=set)
    payloads: dict[int, bytes] = field(default_factory=dict)

    def byte(self) -> int:
        """Return the next byte of the input, 0 beyond its end."""
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def write(self) -> bytes:
        """Return the frames; each takes two to five bytes of input."""
        wire = [self.open(0)]
        while self.at < len(self.data):
            choice = self.byte()
            wire.append(CHOICES[choice % len(CHOICES)](self, choice >> 4))
        return b"".join(wire)

    def some(self) -> int:
        """Return one of the latest streams."""
        return self.opened[-1 - self.byte() % min(9, len(self.opened))]

    def ending(self, stream: int, bits: int) -> int:
        """Return the flag END_STREAM if it is in the bits, and note it."""
        if bits & END_STREAM and stream in self.sending:
            self.sending.remove(stream)
        return bits & END_STREAM

    def headers(self, stream: int, block: bytes, bits: int) -> bytes:
        """Return a block in one frame or two, perhaps with padding or a priority."""
        self.headed.add(stream)
        end = self.ending(stream, bits)
        if bits & 8:
            cut = self.byte() % (len(block) + 1)
            return frame(HEADERS, end, stream, block[:cut]) + frame(CONTINUATION, END_HEADERS, stream, block[cut:])
        if bits & 6 == 2:
            return frame(HEADERS, end | END_HEADERS | PADDED, stream, b"\x03" + block + bytes(3))
        if bits & 6 == 4:
            return frame(HEADERS, end | END_HEADERS | PRIORITISED, stream, bytes(5) + block)
        return frame(HEADERS, end | END_HEADERS, stream, block)

    def open(self, bits: int) -> bytes:
        """Open the next stream."""
        stream = self.opened[-1] + 2 if self.opened else 1
        self.opened.append(stream)
        self.sending.append(stream)
        chosen = self.byte()
        blocks = BLOCKS if chosen > 240 else GOOD_BLOCKS
        return self.headers(stream, blocks[chosen % len(blocks)], bits)

    def body(self, bits: int) -> bytes:
        """Send a part of a body of a stream that may have one."""
        if not self.sending:
            return self.open(bits)
        size = self.byte()
        stream = self.sending[-1 - size % len(self.sending)]
        end = self.ending(stream, bits)
        part = bytes((size,)) * (size if bits & 2 else size % 16)
        self.payloads[stream] = self.payloads.get(stream, b"") + part
        if bits & 4:
            return frame(DATA, end | PADDED, stream, b"\x02" + part + bytes(2))
        return frame(DATA, end, stream, part)

    def call(self, _bits: int) -> bytes:
        """Send what a stock client sends."""
        return self.open(0) + frame(WINDOW_UPDATE, 0, self.opened[-1], b"\0\0\0\x05") + self.last(b"stock")

    def last(self, part: bytes) -> bytes:
        """Send the last part of the latest stream's body."""
        stream = self.sending.pop()
        self.payloads[stream] = self.payloads.get(stream, b"") + part
        return frame(DATA, END_STREAM, stream, part)

    def window(self, bits: int) -> bytes:
        """Give credit."""
        stream = 0 if bits & 1 else self.some()
        return frame(WINDOW_UPDATE, 0, stream, (self.byte() << (bits & 4) | 1).to_bytes(4, "big"))

    def reset(self, _bits: int) -> bytes:
        """Give a stream up."""
        return frame(RST_STREAM, 0, self.some(), bytes(4))

    def settings(self, bits: int) -> bytes:
        """Change the windows, the frames or the table."""
        value = self.byte() << bits
        return frame(SETTINGS, 0, 0, bytes((0, (4, 4, 4, 1, 5, 3)[self.byte() % 6])) + value.to_bytes(4, "big"))

    def trailers(self, bits: int) -> bytes:
        """Send a second block."""
        return self.headers(self.sending[0], BLOCKS[9], bits | 1) if self.sending else self.open(bits)

    def control(self, bits: int) -> bytes:
        """Send what carries nothing."""
        return (frame(PING, bits & ACK, 0, bytes(8)), frame(2, 0, 1, bytes(5)), frame(99, 7, 5, b"?"))[bits % 3]

    def wild(self, bits: int) -> bytes:
        """Send any frame, now and then."""
        if bits < 12:
            return self.call(bits)
        kind, stream = self.byte() % 11, self.byte() % 24
        self.headed.add(stream)
        part = bytes((self.byte(),)) * (self.byte() % 12)
        if kind == DATA:
            bits &= END_STREAM
            self.payloads[stream] = self.payloads.get(stream, b"") + part
        return frame(kind, bits, stream, part)


CHOICES = [Script.open, Script.open, Script.open, Script.body, Script.body, Script.body, Script.call, Script.call,
           Script.window, Script.window, Script.reset, Script.settings, Script.trailers, Script.control, Script.call,
           Script.wild]  # fmt: skip


def fuzz_http2(data: bytes) -> None:
    """Run one connection on any bytes.

    Raises:
        AssertionError: The engine broke its word: it raised, wrote without bound, told of a request that nobody made,
            or forgot to give something up.
    """
    mode = data[0] if data else 0
    step = (1, 7, 23, 60, 1_000, 100_000)[mode % 6]
    app, budget = SuspiciousApp(), Budget(2_000)
    engine = app.engine = Http2Engine(app, LIMITS, 0.0, budget)
    script = Script(data[1:])
    wire = script.write() if mode & 0x80 else data[1:]
    stream = wire if mode & 0x40 else PREFACE + frame(SETTINGS, 0, 0) + wire
    now, written = 0.0, 0
    for at in range(0, len(stream), step):
        engine.receive(stream[at : at + step], now)
        now += step / 1_000
        written += len(engine.take())
        if mode & 0x20:
            engine.tick(now)
        assert written <= 1_000 + OUTPUT_PER_BYTE * (at + step), f"{written} bytes written for {at + step}"
    finish(engine, app, budget, now)
    if mode & 0xC0 == 0x80:
        for number, body in app.bodies.items():
            assert number in script.headed, f"stream {number} was told and never sent"
            assert script.payloads.get(number, b"").startswith(body), f"stream {number} got a body nobody sent"
    assert not engine.counts.surprises, "an exception was caught at the outermost frame"


def finish(engine: Http2Engine, app: SuspiciousApp, budget: Budget, now: float) -> None:
    """End the connection in all ways in turn, and look for what was left."""
    engine.shutdown()
    engine.take()
    for _ in range(5):
        now += 100
        engine.tick(now)
        engine.take()
    engine.lost()
    assert not app.known, f"streams {app.known} were never given up"
    assert budget.used == 0, f"{budget.used} bytes are held for nobody"
    assert engine.idle
