"""Try to make the HTTP/1 engine lose its composure with any bytes: for hypothesis, atheris, or a loop of one's own.

The first byte chooses how the wire is cut and when answers come; then either every byte is the wire, or it names a
snippet that is well-formed enough to get far.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field

import httptools

from onecode_serving.http1.answers import Answer
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.http1.head import Head
from onecode_serving.http1.limits import Http1Limits

LIMITS = Http1Limits(
    head_bytes=400, head_fields=8, drain_bytes=300, chunks=20, chunk_line_bytes=40, output_bytes=2_000, pause_bytes=300,
    input_bytes=2_000, cached_heads=4, cached_head_bytes=200,
)  # fmt: skip
MAX_BODY = 60
ANSWER = 200
"""Bytes of the largest answer that one request can cause."""

SNIPPETS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a HTTP/1.1\r\n",
    b"POST /later HTTP/1.1\r\n",
    b"HEAD / HTTP/1.1\r\n",
    b"GET /closed HTTP/1.0\r\n",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"content-length:7\r\n",
    b"Content-Length: 70\r\n",
    b"Content-Length: 999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b" z\r\n",
    b"X : y\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"hello",
    b"5\r\nhello\r\n",
    b"1;x=y\r\nz\r\n",
    b"0\r\n\r\n",
    b"0\r\nA: b\r\n\r\n",
    b"3\r\nab",
    b"c\r\n",
    b"\x00",
    b"\xff",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /closed HTTP/1.1\r\nHost: h\r\n\r\n",
    b"x" * 61,
]


@dataclass(frozen=True)
class Place:
    """What the app makes of a head."""

    head: Head
    max_body: int = MAX_BODY


@dataclass
class SuspiciousApp:
    """Checks that the engine keeps its word; answers at once, or when it is told to."""

    engine: Http1Engine[Place] = None  # type: ignore[assignment]
    open: list[tuple[int, Place, bytes]] = field(default_factory=list)
    taken: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)

    def head(self, head: Head) -> Place:
        """Return the route."""
        assert head.target[:1] in (b"/", b"*")
        assert head.length >= -1
        return Place(head)

    def begin(self, route: Place) -> Answer | None:
        """Refuse one path."""
        if b"closed" not in route.head.target:
            return None
        return Answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n", b"no")

    def too_large(self, route: Place) -> Answer:
        """Refuse."""
        del route
        return Answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n", b"big")

    def whole(self, key: int, route: Place, body: bytes) -> None:
        """Answer at once or later."""
        assert key not in self.keys, "a request was told twice"
        assert not self.open, "a second request before the first was answered"
        assert len(body) <= MAX_BODY
        assert route.head.length in (-1, len(body)) or route.head.length > 0
        self.keys.add(key)
        self.open.append((key, route, body))
        self.taken.append((route.head.method, route.head.target, body))
        if b"later" not in route.head.target:
            self.answer()

    def answer(self) -> None:
        """Answer the request in hand."""
        if self.open:
            key, _, body = self.open.pop()
            self.engine.answer(key, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body), body)

    def gone(self, key: int) -> None:
        """Forget the request in hand."""
        assert [one[0] for one in self.open] == [key]
        self.open.clear()

    def wrote(self) -> None:
        """Nothing is waited for here."""


def fuzz_http1(data: bytes) -> None:
    """Run one connection on any bytes, whole and in pieces.

    Raises:
        AssertionError: The engine broke its word: it raised, wrote without bound, told of a request that nobody made,
            or found other requests where the same bytes are cut otherwise.
    """
    mode = data[0] if data else 0
    wire = data[1:]
    if mode & 1:
        wire = b"".join([SNIPPETS[byte % len(SNIPPETS)] for byte in wire[:60]])
    step = (1, 3, 7, 20, 90, 10_000)[(mode >> 1) % 6]
    whole = run(wire, 100_000)
    cut = run(wire, step)
    # A refusal before the body depends on whether the body is here; what is handed to the app does not, but for that.
    first, second = open_ones(whole), open_ones(cut)
    if len(wire) > LIMITS.input_bytes:
        # Read although it asked to pause, the engine lets the peer go: the earlier, the more comes at once.
        assert first == second[: len(first)] or second == first[: len(second)]
        return
    assert first == second
    check_against_another_reader(wire, whole)


def run(wire: bytes, step: int) -> SuspiciousApp:
    """Send the wire in steps and return the app, every bound checked."""
    app = SuspiciousApp()
    engine = app.engine = Http1Engine(app, LIMITS, 0.0)
    now, written = 0.0, b""
    for at in range(0, len(wire), step):
        engine.receive(wire[at : at + step], now)
        written += drained(app)
        now += 0.001
        engine.tick(now)
        assert len(engine._input) <= LIMITS.input_bytes
        body = engine._body
        assert body is None or len(body._content) <= MAX_BODY + step
    statuses = [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", written)]
    answers = [status for status in statuses if status != 100]
    # A peer that is read although the engine asked to pause is let go with what was not written yet.
    overrun = step > LIMITS.input_bytes and len(wire) > LIMITS.input_bytes
    assert answers.count(200) == len(app.taken) or (overrun and answers.count(200) < len(app.taken))
    assert len(answers) <= 2 + len(wire) // 18, "more answers than requests"
    assert all(status in (200, 400, 401, 413, 417, 431, 501, 505) for status in answers)
    engine.shutdown()
    engine.tick(now + 100)
    engine.take()
    engine.lost()
    assert engine.closing
    assert not app.open
    return app


def open_ones(app: SuspiciousApp) -> list[tuple[str, bytes, bytes]]:
    """Return the requests that are not refused by their head."""
    return [one for one in app.taken if b"closed" not in one[1]]


def drained(app: SuspiciousApp) -> bytes:
    """Take and answer until nothing moves."""
    written = b""
    while True:
        part = app.engine.take()
        written += part
        if not part:
            if not app.open:
                return written
            app.answer()


class _Reader:
    """Another program's view of the wire."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bytes, bytes]] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        """Add to the target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Add to the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """End a request."""
        self.found.append((self.parser.get_method().decode(), self._url, self._body))


def check_against_another_reader(wire: bytes, app: SuspiciousApp) -> None:
    """Require that the parser of another program finds the same requests wherever ours finds any: no smuggling.

    Raises:
        AssertionError: It finds others.
    """
    reader = _Reader()
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        reader.parser.feed_data(wire)
    ours = [one for one in app.taken if one[1].startswith(b"/") and one[0] in ("GET", "POST", "HEAD")]
    if len(ours) == len(app.taken):
        # Ours may refuse earlier, and answers some without looking (401, 413); what it takes, the other takes alike.
        theirs = iter(reader.found)
        assert all(one in theirs for one in ours), f"{ours} against {reader.found}"


def seeds() -> list[bytes]:
    """Return inputs that get far."""
    whole = [number for number, one in enumerate(SNIPPETS) if one.count(b"\r\n") > 2]
    return [bytes((mode,)) + bytes(range(len(SNIPPETS))) for mode in (1, 3, 5)] + [
        b"\x0b" + bytes(whole) + bytes((23, 25, *whole)),
        b"\x00" + b"".join([SNIPPETS[number] for number in whole]),
    ]
