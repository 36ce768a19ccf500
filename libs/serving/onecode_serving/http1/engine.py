"""Serve one HTTP/1.1 connection: requests out of bytes, bytes out of answers, in order and within bounds."""

from typing import Generic

from onecode_serving.http1.answers import CLOSE, CONTINUE, END, KEEP, Answer, refusal
from onecode_serving.http1.app import App, Route
from onecode_serving.http1.body import Budget, IncomingBody
from onecode_serving.http1.head import TOO_LARGE_HEAD, Head, HeadError, require_bounded, require_lines
from onecode_serving.http1.heads import HeadCache
from onecode_serving.http1.limits import Http1Counts, Http1Limits
from onecode_serving.http1.patience import Patience, Verdict


class Http1Engine(Generic[Route]):
    """One connection. It never raises for anything a peer sends, and knows neither sockets nor clocks.

    Args:
        app: What answers.
        limits: Bounds.
        now: Monotonic seconds.
        budget: Counts what is kept of unfinished bodies of all connections; None: nobody counts.

    Attributes:
        closing: Once :meth:`take` is written, the connection ends.
        finished: After :meth:`shutdown`: everything accepted is answered.
    """

    def __init__(self, app: App[Route], limits: Http1Limits, now: float, budget: Budget | None = None) -> None:
        self.closing = False
        self.finished = False
        self.counts = Http1Counts()
        self._app = app
        self._limits = limits
        self._budget = budget
        self._heads = HeadCache(app, limits)
        self._now = now
        self._patience = Patience(limits, now)
        self._discarded = 0
        self._out: list[bytes] = []
        self._input = bytearray()
        self._scanned = 0
        self._key = 0
        self._busy = False
        self._running = False
        self._draining = False
        self._head: Head | None = None
        self._route: Route | None = None  # of a request whose body has not arrived whole
        self._body: IncomingBody | None = None
        self._refusal: Answer | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is in hand or on its way."""
        return not self._busy and self._patience.request_since is None

    @property
    def paused(self) -> bool:
        """Whether the peer should not be read: it has sent enough requests that wait for an earlier one."""
        return len(self._input) > self._limits.pause_bytes and (self._busy or bool(self._out))

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes of the peer."""
        self._now = now
        if self.closing:
            return
        if self._patience.linger_until is not None:
            self._discarded += len(data)
            if self._discarded > self._limits.drain_bytes:
                self._close()
        elif self._busy:
            self._keep(data)
        elif self._body is not None:
            self._guarded(data, 0)
        elif self._input:
            self._input += data
            self._resume()
        else:
            self._guarded(data, 0)

    def answer(self, key: int, head: bytes, *parts: bytes) -> None:
        """Answer the request in hand; one that is not in hand any more is dropped silently.

        Args:
            key: As the app was given.
            head: Status line and fields with their ends, ``Content-Length`` included, without the empty line.
            parts: The body; left out for HEAD.
        """
        if key != self._key or not self._busy:
            return
        self._busy = False
        self._patience.quiet_since = None
        request = self._head
        assert request is not None  # noqa: S101 - busy means that there is a head
        self._send(request, head, parts)
        if self._input and not self._running and not self.closing:
            self._resume()
            self._app.wrote()

    def take(self) -> bytes:
        """Return everything there is to write now."""
        out = self._out
        if not out:
            return b""
        self._patience.moved()
        data = b"".join(out)
        out.clear()
        if self._input and not self._busy and not self.closing:
            # Pipelined requests waited for these bytes to go.
            self._resume()
            if out:
                self._app.wrote()
        return data

    def tick(self, now: float) -> float | None:
        """Act on what took too long; return when to be called again."""
        self._now = now
        if self.closing:
            return None
        verdict, again = self._patience.look(now, busy=self._busy, output=bool(self._out))
        if verdict is Verdict.STALLED:
            self.counts.stalled += 1
            self.lost()
        elif verdict is Verdict.SLOW:
            self.counts.slow += 1
            self._refuse(408, "the request did not arrive in time")
        elif verdict is Verdict.OVER:
            self._close()
        return None if self.closing else again

    def shutdown(self) -> None:
        """Answer what was accepted with ``Connection: close`` and end; what is not whole yet may still arrive."""
        self._draining = True
        if self.idle and self._patience.linger_until is None:
            self._close()

    def lost(self) -> None:
        """The transport is gone."""
        busy, self._busy = self._busy, False
        self._out.clear()
        self._close()
        if busy:
            self._app.gone(self._key)

    def _guarded(self, data: bytes, position: int) -> None:
        """Work through the bytes; what breaks the grammar ends the connection."""
        self._running = True
        try:
            self._work(data, position)
        except HeadError as error:
            self.counts.too_large += error.status == TOO_LARGE_HEAD
            self.counts.malformed += error.status != TOO_LARGE_HEAD
            self._refuse(error.status, error.text)
        finally:
            self._running = False

    def _work(self, data: bytes, position: int) -> None:
        if self._body is not None:
            position = self._more(self._body, data)
        while position < len(data) and not self.closing and self._patience.linger_until is None:
            if self._busy or (self._out and sum(map(len, self._out)) > self._limits.pause_bytes):
                self._keep(data[position:])
                return
            position = self._request(data, position)

    def _request(self, data: bytes, start: int) -> int:
        """Handle the request that begins at ``start``; return where the next one begins."""
        end = data.find(b"\r\n\r\n", start) + 4
        if end == 3:  # noqa: PLR2004 - not found
            self._unfinished(data[start:])
            return len(data)
        if data.startswith(b"\r\n", start):
            # Some old clients end a body with an empty line that its length does not count.
            return start + 2
        require_bounded(end - start, self._limits.head_bytes)
        head, route, length = self._heads.find(data[start:end])
        self._head = head
        stop = end + length
        if length < 0 or stop > len(data) or length > route.max_body:
            return self._open(head, route, length, data, end)
        self._patience.request_since = None
        self._hand(route, data[end:stop])
        return stop

    def _hand(self, route: Route, body: bytes) -> None:
        self._key += 1
        self._busy = True
        self.counts.requests += 1
        self._app.whole(self._key, route, body)

    def _unfinished(self, part: bytes) -> None:
        """Keep the beginning of a head, if it can still become one."""
        if part == b"\r\n":
            return
        require_bounded(len(part), self._limits.head_bytes)
        require_lines(part)
        self._patience.began(self._now)
        self._input = bytearray(part)
        self._scanned = len(part)

    def _resume(self) -> None:
        """Go on with input that was kept."""
        kept = self._input
        if self._scanned:
            # An unfinished head: look at the new bytes only, so that a slow sender costs no more than a fast one.
            if kept.find(b"\r\n\r\n", max(0, self._scanned - 3)) < 0 and len(kept) <= self._limits.head_bytes:
                fresh = kept[self._scanned - 1 :]
                if fresh.count(b"\n", 1) == fresh.count(b"\r\n"):
                    self._scanned = len(kept)
                    return
            self._scanned = 0
        self._input = bytearray()
        self._guarded(bytes(kept), 0)

    def _keep(self, data: bytes) -> None:
        """Hold pipelined requests back until the one in hand is answered."""
        self._input += data
        if len(self._input) > self._limits.input_bytes:
            self.counts.too_large += 1
            self.lost()

    def _open(self, head: Head, route: Route, length: int, data: bytes, end: int) -> int:
        self._patience.began(self._now)
        early = self._app.begin(route)
        if early is None and length > route.max_body:
            self.counts.too_large += 1
            early = self._app.too_large(route)
        if early is not None and (head.expects or length > self._limits.drain_bytes):
            self._last_word(early)
            return len(data)
        if early is None and head.expects and end == len(data):
            self._out.append(CONTINUE)
        self._route, self._refusal = route, early
        self._body = IncomingBody(length, -1 if early else route.max_body, self._limits, self._budget)
        return end + self._more(self._body, data[end:]) if end < len(data) else end

    def _more(self, body: IncomingBody, data: bytes) -> int:
        """Take bytes of the body; return how many belonged to it."""
        taken = body.feed(data)
        route = self._route
        assert route is not None  # noqa: S101 - a body belongs to a route
        if body.too_large and self._refusal is None:
            self.counts.too_large += 1
            self._refusal = self._app.too_large(route)
        elif body.starved and self._refusal is None:
            self._refusal = refusal(503, "too many unfinished requests are held: try again later")
        early = self._refusal
        if body.done:
            self._forget_body()
            if early is None:
                self._hand(route, body.content())
            elif self._head is not None:
                self._patience.quiet_since = None
                self._send(self._head, early.head, (early.body,))
        elif early is not None and body.discarded > self._limits.drain_bytes:
            self._last_word(early)
            return len(data)
        return taken

    def _forget_body(self) -> None:
        self._patience.request_since = None
        if self._body is not None:
            self._body.close()
        self._route = self._refusal = self._body = None

    def _last_word(self, answer: Answer) -> None:
        """Refuse without reading the body; what still comes is thrown away for a while, so that the peer can read."""
        assert self._head is not None  # noqa: S101 - only a request is refused
        self._forget_body()
        self._out += (answer.head, CLOSE)
        if self._head.method != "HEAD":
            self._out.append(answer.body)
        self._discarded = 0
        self._patience.linger_until = self._now + self._limits.linger_s

    def _send(self, request: Head, head: bytes, parts: tuple[bytes, ...]) -> None:
        if sum(map(len, parts)) > self._limits.output_bytes:
            self._refuse(500, "the answer is larger than one connection may hold: ask for fewer rows or outputs")
            return
        out = self._out
        out.append(head)
        if self._draining or not request.keep_alive:
            out.append(CLOSE)
            self._close()
        else:
            out.append(END if request.minor else KEEP)
        if request.method != "HEAD":
            out += parts

    def _refuse(self, status: int, text: str) -> None:
        """Answer what cannot be understood, and end: nobody knows where the next request would begin."""
        answer = refusal(status, text)
        self._out += (answer.head, CLOSE, answer.body)
        self._close()

    def _close(self) -> None:
        self.closing = True
        self.finished = self._draining
        self._busy = False
        self._input.clear()
        self._forget_body()
