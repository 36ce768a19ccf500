"""Send answers within the peer's windows: at once where they fit, from a queue for each stream where they do not."""

from onecode_serving.http2.frames import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FIRST_WINDOW,
    HEADERS,
    NO_ERROR,
    SMALLEST_FRAME,
    block_frames,
    pack_head,
    reset_frame,
)
from onecode_serving.http2.guard import Guard
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App, Route
from onecode_serving.http2.requests import NO_LENGTH
from onecode_serving.http2.stream import Stream

_FAST_PARTS = 1024
"""Parts of output that may lie ready outside the accounted queues: about 110 answers of at most 16 KiB."""
LARGEST_FRAME = 65_536
"""We send no greater frames whatever the peer would take, so that streams take turns."""
_TAKE = 1024 * 1024
"""Bytes that one ``take`` moves out of the queues: once the transport has them, they no longer count here."""
_LATE = 256
"""Streams that we ended first and whose last frames may still be under way."""
SHRINK_TABLE = b"\x20"
"""Header compression's "my table is empty": due once if a peer allows less than the 4,096 bytes it starts with."""
SAID_GOODBYE = 2
"""The last stage of a graceful end: the peer knows which stream is the last."""
_STARTS = 32
"""Frame starts that are remembered: answers are made of a few constants."""


class _Answered:
    """The route of a request that is complete: a stream that only waits for its answer needs no other."""

    streaming = False
    max_body = 0
    cacheable = False


_ANSWERED: Route = _Answered()


class Sender:
    """The sending half of a connection.

    A stream is *light* (the whole request was seen and nothing sent: an integer of window credit) or a
    :class:`Stream`. Both tables together hold the open streams.

    Attributes:
        closing: Write what ``take`` returns, then close the transport.
        counts: What the peer did wrong.
    """

    def __init__(self, app: App, limits: Http2Limits, now: float, budget: Budget, counts: Http2Counts) -> None:
        self.closing = False
        self.counts = counts
        self._app = app
        self._limits = limits
        self._budget = budget
        self._guard = Guard(limits, now)
        self._now = now
        self._out: list[bytes | memoryview] = []
        self._light: dict[int, int] = {}
        self._streams: dict[int, Stream] = {}
        self._late: dict[int, None] = {}
        self._ready: dict[int, Stream] = {}
        self._orphans: list[int] = []
        self._queued = 0
        self._window = FIRST_WINDOW
        self._initial = FIRST_WINDOW
        self._frame = SMALLEST_FRAME
        self._fast = SMALLEST_FRAME
        self._prefix = b""
        self._heads: dict[bytes, bytes] = {}
        self._tails: dict[bytes, bytes] = {}
        self._updates = limits.updates_at_start
        self._opened = 0
        self._leaving = 0
        self._acks = 0
        self._untaken: float | None = None

    def send(self, stream: int, block: bytes = b"", data: bytes = b"", trailers: bytes | None = None) -> None:
        """Send a part of an answer, or all of it; silently nothing if the stream is not open.

        Args:
            stream: As the application got it.
            block: Encoded response headers, or b"".
            data: Body bytes; what does not fit the windows waits.
            trailers: None: more will come. b"": END_STREAM on the last frame. Else the encoded trailers; if neither
                block nor data were ever sent they are a Trailers-Only answer.
        """
        credit = self._light.get(stream)
        if credit is None:
            waiting = self._streams.get(stream)
            if waiting is not None and waiting.trailers is None:
                self._send_slowly(stream, waiting, block, data, trailers)
            return
        size = len(data)
        out = self._out
        # What every unary answer is: three frames at once, nothing remembered.
        if (
            trailers
            and size <= self._fast
            and size <= self._window
            and size <= self._initial + credit
            and len(out) < _FAST_PARTS
        ):
            try:
                head, tail = self._heads[block], self._tails[trailers]
            except KeyError:
                head, tail = self._starts(block, trailers)
            if head:
                del self._light[stream]
                self._window -= size
                name = stream.to_bytes(4, "big")
                out += (head, name, block, (size << 16).to_bytes(5, "big"), name, data, tail, name, trailers)
                return
        self._send_slowly(stream, self._promoted(stream), block, data, trailers)

    def _starts(self, block: bytes, trailers: bytes) -> tuple[bytes, bytes]:
        """Return the first five bytes of both HEADERS frames; an empty first one if the fast lane cannot take them."""
        if not block or len(block) > SMALLEST_FRAME or len(trailers) > SMALLEST_FRAME:
            return b"", b""
        if len(self._heads) + len(self._tails) > _STARTS:
            self._heads.clear()
            self._tails.clear()
        head = self._heads[block] = pack_head(len(block) << 8 | HEADERS, END_HEADERS, 0)[:5]
        tail = self._tails[trailers] = pack_head(len(trailers) << 8 | HEADERS, END_HEADERS | END_STREAM, 0)[:5]
        return head, tail

    def _promoted(self, stream: int) -> Stream:
        """Move a light stream to the slow lane."""
        slow = Stream(_ANSWERED, NO_LENGTH, self._now)
        slow.credit = self._light.pop(stream)
        slow.ended = slow.told = True
        self._streams[stream] = slow
        return slow

    def _send_slowly(self, stream: int, slow: Stream, block: bytes, data: bytes, trailers: bytes | None) -> None:
        if block:
            self._send_block(stream, block, 0)
            slow.started = True
        if trailers is not None:
            slow.trailers = trailers
        if data:
            if not self._enqueue(stream, slow, data):
                return
        elif not slow.queue and trailers is not None:
            self._send_end(stream, slow)

    def _send_block(self, stream: int, block: bytes, flags: int) -> None:
        if self._prefix:
            block, self._prefix = self._prefix + block, b""
            self._fast = SMALLEST_FRAME
        self._out.append(block_frames(stream, block, flags, SMALLEST_FRAME))

    def _send_end(self, stream: int, slow: Stream) -> None:
        """Send END_STREAM: trailers, or an empty DATA frame."""
        if slow.trailers:
            self._send_block(stream, slow.trailers, END_STREAM)
        else:
            self._out.append(pack_head(DATA, END_STREAM, stream))
        self._close(stream, slow)

    def _close(self, stream: int, slow: Stream) -> None:
        """Forget a stream that we have ended; a peer that still sends is told to stop (RFC 9113, 8.1)."""
        del self._streams[stream]
        if not slow.ended:
            self._out.append(reset_frame(stream, NO_ERROR))
            self._remember_late(stream)
            self._release(slow)

    def _enqueue(self, stream: int, slow: Stream, data: bytes) -> bool:
        """Send what fits into an empty queue at once, else let it wait; False if it was too much and was reset."""
        size = len(data)
        if (
            not slow.queue
            and size <= self._frame
            and size <= self._window
            and size <= self._initial + slow.credit
            and len(self._out) < _FAST_PARTS
        ):
            self._send_data(stream, slow, data, size)
            return True
        limits = self._limits
        if (
            slow.queued > limits.stream_queue
            or self._queued + size > limits.connection_queue
            or not self._budget.take(size)
        ):
            self.counts.overfull += 1
            if slow.trailers is None:
                self._orphans.append(stream)
            self._drop(stream, ENHANCE_YOUR_CALM)
            return False
        slow.queue.append(memoryview(data))
        slow.queued += size
        self._queued += size
        self._ready[stream] = slow
        if slow.queued > limits.high_water:
            slow.crowded = True
        return True

    def _send_data(self, stream: int, slow: Stream, data: bytes | memoryview, size: int) -> None:
        """Write one DATA frame that the windows allow, and the end of the stream if it is the last."""
        self._window -= size
        slow.credit -= size
        self._updates += self._limits.updates_per_data
        last = not slow.queue and slow.trailers is not None
        self._out.append(pack_head(size << 8, END_STREAM if last and not slow.trailers else 0, stream))
        self._out.append(data)
        if last and slow.trailers:
            self._send_end(stream, slow)
        elif last:
            self._close(stream, slow)

    def take(self) -> bytes:
        """Return what can be written now, b"" if nothing can.

        Call it only while the transport takes more: what waits here is bounded and may time out, what was taken is
        not. At most about a mebibyte of queued answers comes at once, so call it until it returns b"".
        """
        if self._ready:
            self._pump()
        if self._orphans:
            self._tell_orphans()
        if self._leaving == SAID_GOODBYE and not self._light and not self._streams:
            self.closing = True
        out = self._out
        if not out:
            return b""
        written = b"".join(out)
        out.clear()
        self._untaken = None
        self._acks = 0
        return written

    def _tell_orphans(self) -> None:
        orphans, self._orphans = self._orphans, []
        for stream in orphans:
            self._app.gone(stream)

    def _pump(self) -> None:
        """Move queued bytes to the output, stream by stream in turns, as far as the windows allow."""
        ready = self._ready
        left = _TAKE
        while ready and self._window > 0 and left > 0:
            stream, slow = next(iter(ready.items()))
            del ready[stream]
            part = slow.queue[0]
            size = min(len(part), self._frame, self._window, self._initial + slow.credit)
            if size <= 0:
                continue
            left -= size
            if size == len(part):
                slow.queue.popleft()
            else:
                slow.queue[0] = part[size:]
                part = part[:size]
            self._unqueue(slow, size)
            if slow.queue:
                ready[stream] = slow
            self._send_data(stream, slow, part, size)
            if slow.crowded and slow.queued < self._limits.low_water:
                slow.crowded = False
                if slow.trailers is None:
                    self._app.writable(stream)

    def _unqueue(self, slow: Stream, size: int) -> None:
        slow.queued -= size
        slow.moved = None
        self._queued -= size
        self._budget.give(size)

    def pending(self, stream: int) -> int:
        """Return the bytes of a stream that wait for the peer or for ``take``."""
        waiting = self._streams.get(stream)
        return 0 if waiting is None else waiting.queued

    def reset(self, stream: int, code: int = CANCEL) -> None:
        """End a stream by RST_STREAM; silently nothing if it is not open. ``gone`` does not follow."""
        if stream in self._light or stream in self._streams:
            self._drop(stream, code)

    def _drop(self, stream: int, code: int) -> None:
        """Write RST_STREAM and forget the stream, open or not."""
        self._out.append(reset_frame(stream, code))
        if code != NO_ERROR:
            self.counts.resets_sent += 1
        if not self._forget(stream):
            self._remember_late(stream)

    def _forget(self, stream: int) -> bool:
        """Take a stream out of all tables; return whether the peer had ended its side."""
        if self._light.pop(stream, None) is not None:
            return True
        slow = self._streams.pop(stream, None)
        if slow is None:
            return False
        self._release(slow)
        self._ready.pop(stream, None)
        if slow.queued:
            self._unqueue(slow, slow.queued)
        return slow.ended

    def _release(self, slow: Stream) -> None:
        """Give back the bytes of an unfinished unary body."""
        if slow.got and not slow.ended and not slow.route.streaming and not slow.discard:
            self._budget.give(slow.got)
        slow.forget()

    def _remember_late(self, stream: int) -> None:
        self._late[stream] = None
        if len(self._late) > _LATE:
            del self._late[next(iter(self._late))]
