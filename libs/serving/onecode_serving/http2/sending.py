"""Send answers within the peer's windows: at once where they fit, from a queue for each stream where they do not."""

from onecode_serving.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FIRST_WINDOW,
    GREATEST,
    HEADERS,
    NO_ERROR,
    SMALLEST_FRAME,
    block_frames,
    pack_head,
    reset_frame,
)
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.stream import Stream
from onecode_serving.http2.streams import Streams

_FAST_PARTS = 1024
"""Parts of output that may lie ready outside the accounted queues: about 110 answers of at most 16 KiB."""
LARGEST_FRAME = 65_536
"""We send no greater frames whatever the peer would take, so that streams take turns."""
SHRINK_TABLE = b"\x20"
"""Header compression's "my table is empty": due once if a peer allows less than the 4,096 bytes it starts with."""
SAID_GOODBYE = 2
"""The last stage of a graceful end: the peer knows which stream is the last."""
_STARTS = 32
"""Frame starts that are remembered: answers are made of a few constants."""


class Sender(Streams):
    """The sending half of a connection."""

    def __init__(self, app: App, limits: Http2Limits, now: float, budget: Budget, counts: Http2Counts) -> None:
        super().__init__(app, limits, now, budget, counts)
        self._window = FIRST_WINDOW
        self._initial = FIRST_WINDOW
        self._frame = SMALLEST_FRAME
        self._fast = SMALLEST_FRAME
        self._prefix = b""
        self._heads: dict[bytes, bytes] = {}
        self._tails: dict[bytes, bytes] = {}
        self._updates = limits.updates_at_start
        self._leaving = 0
        self._acks = 0
        self._untaken: float | None = None

    def send(self, stream: int, block: bytes = b"", data: bytes = b"", trailers: bytes | None = None) -> None:
        """Send a part of an answer, or all of it; silently nothing if the stream is not open.

        Args:
            stream: As the application got it.
            block: Encoded response headers, or b"".
            data: Body bytes; what does not fit the windows waits.
            trailers: None: more will come. b"": END_STREAM on the last frame. Else encoded; alone they are an answer.
        """
        credit = self._light.get(stream)
        if credit is None:
            waiting = self._streams.get(stream)
            if waiting is None or waiting.trailers is not None:
                return
            if trailers is None and not block and data:
                self._enqueue(stream, waiting, data)
            else:
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
        # A refusal, which a server that has too much to do writes more often than answers.
        if trailers and not block and not data and not self._prefix and len(trailers) <= SMALLEST_FRAME:
            del self._light[stream]
            out += (pack_head(len(trailers) << 8 | HEADERS, END_HEADERS | END_STREAM, stream), trailers)
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

    def _send_slowly(self, stream: int, slow: Stream, block: bytes, data: bytes, trailers: bytes | None) -> None:
        if block:
            self._send_block(stream, block, 0)
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
        self._written += 1
        last = not slow.queue and slow.trailers is not None
        self._out.append(pack_head(size << 8, END_STREAM if last and not slow.trailers else 0, stream))
        self._out.append(data)
        if last and slow.trailers:
            self._send_end(stream, slow)
        elif last:
            self._close(stream, slow)

    def take(self, most: int = GREATEST) -> bytes:
        """Return what can be written now, b"" if nothing can.

        Call it only while the transport takes more: what waits here is bounded and may time out, what was taken is
        not.

        Args:
            most: Bytes of queued answers that come at once; whoever sets it calls again until nothing comes.
        """
        if self._ready or self._orphans:
            self._move(most)
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

    def _move(self, most: int) -> None:
        with self._contained():
            self._pump(most)
            self._tell_orphans()

    def _tell_orphans(self) -> None:
        orphans, self._orphans = self._orphans, []
        for stream in orphans:
            self._app.gone(stream)

    def _pump(self, left: int) -> None:
        """Move queued bytes to the output, stream by stream in turns, as far as the windows allow."""
        ready = self._ready
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
