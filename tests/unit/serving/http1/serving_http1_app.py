"""An app that answers each request with what it was given, at once or when the test says so."""

from dataclasses import dataclass, field, replace

from onecode_serving.http1.answers import Answer
from onecode_serving.http1.body import Budget
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.http1.head import Head
from onecode_serving.http1.limits import Http1Limits

MAX_BODY = 1000


@dataclass
class Path:
    """What the app makes of a head."""

    head: Head
    max_body: int = MAX_BODY
    traceparent: str = ""


def echo(head: Head, body: bytes) -> tuple[bytes, bytes]:
    """Return head and body of an answer that repeats the request."""
    content = b"%b %b " % (head.method.encode(), head.target) + body
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(content), content


@dataclass
class Echo:
    """Answers at once, or waits for :meth:`answer`; paths with ``closed`` in them are refused by their head."""

    later: bool = False
    limits: Http1Limits = field(default_factory=Http1Limits)
    budget: Budget | None = None

    def __post_init__(self) -> None:
        self.engine: Http1Engine[Path] = Http1Engine(self, self.limits, 0.0, self.budget)
        self.heads: list[Head] = []
        self.asked: list[tuple[int, Path, bytes]] = []
        self.lost: list[int] = []
        self.touched = 0

    def head(self, head: Head) -> Path:
        """Note the head."""
        self.heads.append(head)
        return Path(head, traceparent=head.fields.get("traceparent", ""))

    def carrying(self, route: Path, traceparent: bytes) -> Path:
        """Note the other value."""
        return replace(route, traceparent=traceparent.decode())

    def begin(self, route: Path) -> Answer | None:
        """Refuse some paths."""
        if b"closed" not in route.head.target:
            return None
        return Answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n", b"no")

    def too_large(self, route: Path) -> Answer:
        """Refuse."""
        del route
        return Answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n", b"big")

    def whole(self, key: int, route: Path, body: bytes) -> None:
        """Note the request, and answer it unless the test does."""
        self.asked.append((key, route, body))
        if not self.later:
            self.answer()

    def answer(self) -> None:
        """Answer the last request."""
        key, route, body = self.asked[-1]
        self.engine.answer(key, *echo(route.head, body))

    def gone(self, key: int) -> None:
        """Note it."""
        self.lost.append(key)

    def wrote(self) -> None:
        """Note it."""
        self.touched += 1

    def send(self, *pieces: bytes, now: float = 1.0) -> bytes:
        """Send pieces, one read each, and return everything that was written."""
        written = b""
        for piece in pieces:
            self.engine.receive(piece, now)
            while part := self.engine.take():
                written += part
        return written

    def bodies(self) -> list[bytes]:
        """Return the bodies of all requests."""
        return [body for _, _, body in self.asked]


def post(body: bytes = b"", *lines: str, path: str = "/a", length: bool = True) -> bytes:
    """Return a POST with these further lines in its head."""
    own = [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: h", *own, *lines, "", ""]).encode("latin-1") + body


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
