"""Make requests out of HEADERS, CONTINUATION and DATA in every shape the protocol allows: the slow lane."""

from onecode_serving.http2.blocks import Blocks, Entry
from onecode_serving.http2.frames import (
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GREATEST,
    PRIORITISED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ProtocolError,
    unpack_u32,
    window_frame,
    without_padding,
)
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.requests import NO_LENGTH, why_trailers_malformed
from onecode_serving.http2.sending import SAID_GOODBYE, Sender
from onecode_serving.http2.stream import Stream

_PRIORITY_BYTES = 5


class Intake(Sender):
    """The half of a connection that receives requests; each method takes one whole frame."""

    def __init__(self, app: App, limits: Http2Limits, now: float, budget: Budget, counts: Http2Counts) -> None:
        super().__init__(app, limits, now, budget, counts)
        self._blocks = Blocks(app, limits)
        self._used = 0
        self._half = limits.connection_window // 2
        self._gathering = 0
        self._gathering_since = now
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._gathered_end = 0

    def _headers_in(self, flags: int, stream: int, payload: bytes) -> None:
        block = without_padding(flags, payload)
        if flags & PRIORITISED:
            if len(block) < _PRIORITY_BYTES:
                raise ProtocolError(FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            if unpack_u32(block, 0)[0] & GREATEST == stream:
                raise ProtocolError(PROTOCOL_ERROR, f"stream {stream} depends on itself")
            block = block[_PRIORITY_BYTES:]
        if not stream & 1:
            raise ProtocolError(PROTOCOL_ERROR, f"HEADERS on stream {stream}: clients use odd streams")
        if stream <= self._highest and not self._remembers(stream):
            # Closed, if no id was skipped; else it may be one that was never used.
            used_all = 2 * self._opened - 1 == self._highest
            raise ProtocolError(STREAM_CLOSED if used_all else PROTOCOL_ERROR, f"HEADERS on closed stream {stream}")
        if flags & END_HEADERS:
            self._check_block(len(block), 1)
            self._block_in(stream, block, flags & END_STREAM)
        else:
            self._gathering = stream
            self._gathering_since = self._now
            self._gathered_end = flags & END_STREAM
            self._gathered = []
            self._gathered_bytes = 0
            self._gather(block)

    def _continuation_in(self, flags: int, stream: int, payload: bytes) -> None:
        if stream != self._gathering or not stream:
            raise ProtocolError(PROTOCOL_ERROR, f"CONTINUATION on stream {stream} without HEADERS before it")
        self._gather(payload)
        if flags & END_HEADERS:
            self._gathering = 0
            block = b"".join(self._gathered)
            self._gathered = []
            self._block_in(stream, block, self._gathered_end)

    def _gather(self, part: bytes) -> None:
        self._gathered.append(part)
        self._gathered_bytes += len(part)
        self._check_block(self._gathered_bytes, len(self._gathered))

    def _check_block(self, size: int, frames: int) -> None:
        if size > self._limits.block_bytes or frames > self._limits.block_frames:
            raise ProtocolError(
                ENHANCE_YOUR_CALM,
                f"a header block of more than {self._limits.block_bytes} bytes or {self._limits.block_frames} frames",
            )

    def _remembers(self, stream: int) -> bool:
        return stream in self._light or stream in self._streams or stream in self._late

    def _block_in(self, stream: int, block: bytes, end: int) -> None:
        """Take a complete header block: a new request, or trailers."""
        if stream <= self._highest:
            self._trailers_in(stream, block, end)
            return
        self._highest = stream
        self._opened += 1
        # One DATA frame of the answer is allowed for here, so that the fast lane need not count it.
        self._updates += self._limits.updates_per_call + self._limits.updates_per_data
        if self._leaving == SAID_GOODBYE or len(self._light) + len(self._streams) >= self._limits.streams:
            self._blocks.pass_over(block)
            self.counts.refused += 1
            self._drop(stream, REFUSED_STREAM)
            if end:
                self._late.pop(stream, None)
            if self._leaving != SAID_GOODBYE:
                self._guard.reset(self._now, self._opened, len(self._light) + len(self._streams))
            return
        entry = self._blocks.entry_of(block)
        if entry is None or (end and entry[2] > 0):
            self.counts.malformed += 1
            self._provoked(stream, PROTOCOL_ERROR)
            return
        self._begin(stream, entry, end)

    def _begin(self, stream: int, entry: Entry, end: int) -> None:
        """Open a stream."""
        route, _, content = entry
        if end and not route.streaming:
            self._light[stream] = 0
            self._app.whole(stream, route, b"")
            return
        slow = self._streams[stream] = Stream(route, content, self._now)
        if route.streaming:
            slow.told = True
            slow.ended = bool(end)
            self._app.opened(stream, route)
            if end and self._streams.get(stream) is slow:
                self._app.ended(stream)
        elif content > route.max_body:
            self._too_large(stream, slow)

    def _too_large(self, stream: int, slow: Stream) -> None:
        self._release(slow)
        slow.discard = slow.told = True
        self.counts.too_large += 1
        self._app.too_large(stream, slow.route)

    def _trailers_in(self, stream: int, block: bytes, end: int) -> None:
        """Take a second header block of a stream that is open, or that we ended first."""
        headers, _ = self._blocks.decode(block)
        slow = self._streams.get(stream)
        if slow is not None and not slow.ended:
            if not end or why_trailers_malformed(headers) is not None:
                self.counts.malformed += 1
                self._provoked(stream, PROTOCOL_ERROR)
            else:
                self._complete(stream, slow)
        elif stream not in self._late:
            self._provoked(stream, STREAM_CLOSED)
        elif end:
            del self._late[stream]

    def _data_in(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        # The connection's credit goes back whatever becomes of the stream. It is returned at once when half is used,
        # so with a window of at least 65,535 and frames of at most 16,384 a peer cannot exceed it.
        self._used += size
        if self._used >= self._half:
            self._credit_connection()
        slow = self._streams.get(stream)
        if slow is None or slow.ended:
            self._stray_data(flags, stream)
            return
        data = without_padding(flags, payload)
        end = flags & END_STREAM
        if not data and not end:
            self._control()
        slow.used += size
        if slow.used > self._limits.stream_window:
            self._provoked(stream, FLOW_CONTROL_ERROR)
            return
        if not end and not slow.paused and not slow.discard and 2 * slow.used >= self._limits.stream_window:
            self._credit_stream(stream, slow)
        if data:
            self._body_in(stream, slow, data)
        if end and self._streams.get(stream) is slow:
            self._complete(stream, slow)

    def _stray_data(self, flags: int, stream: int) -> None:
        """Judge DATA for a stream that expects none."""
        if stream in self._late:
            if flags & END_STREAM:
                del self._late[stream]
        elif stream in self._light or stream in self._streams:
            self._provoked(stream, STREAM_CLOSED)
        elif stream > self._highest or not stream & 1:
            raise ProtocolError(PROTOCOL_ERROR, f"DATA on stream {stream}, which is not open")
        else:
            raise ProtocolError(STREAM_CLOSED, f"DATA on stream {stream}, which is closed")

    def _body_in(self, stream: int, slow: Stream, data: bytes) -> None:
        route = slow.route
        if route.streaming:
            slow.heard = self._now
            slow.got += len(data)
            if slow.content != NO_LENGTH and slow.got > slow.content:
                self.counts.malformed += 1
                self._provoked(stream, PROTOCOL_ERROR)
            else:
                self._app.piece(stream, data)
        elif slow.discard:
            return
        elif slow.got + len(data) > route.max_body or not self._fits(slow, data):
            self._too_large(stream, slow)
        elif not self._budget.take(len(data)):
            self.counts.overfull += 1
            self._provoked(stream, ENHANCE_YOUR_CALM)
        else:
            slow.got += len(data)
            slow.keep(data)

    def _fits(self, slow: Stream, data: bytes) -> bool:
        """Return whether a body is not too long by what it says itself, in the moment when it has said it (H9)."""
        route = slow.route
        if not slow.got < route.beginning <= slow.got + len(data):
            return True
        return route.fits(slow.begun(data))

    def _complete(self, stream: int, slow: Stream) -> None:
        """Take the end of a request."""
        if not slow.discard and slow.content not in (NO_LENGTH, slow.got):
            self.counts.malformed += 1
            self._provoked(stream, PROTOCOL_ERROR)
            return
        if slow.route.streaming:
            slow.ended = True
            self._app.ended(stream)
        elif slow.discard:
            slow.ended = True
        else:
            body = slow.body()
            self._budget.give(slow.got)
            del self._streams[stream]
            self._light[stream] = slow.credit
            self._app.whole(stream, slow.route, body)

    def _credit_connection(self) -> None:
        self._out.append(window_frame(0, self._used))
        self._used = 0

    def _credit_stream(self, stream: int, slow: Stream) -> None:
        self._out.append(window_frame(stream, slow.used))
        slow.used = 0

    def _provoked(self, stream: int, code: int) -> None:
        """Reset a stream because of what the peer did, and count it as the peer's reset (CVE-2025-8671)."""
        told = self._is_known(stream)
        self._drop(stream, code)
        if told:
            self._app.gone(stream)
        self._guard.reset(self._now, self._opened, len(self._light) + len(self._streams))

    def pause_reading(self, stream: int) -> None:
        """Return no more window to a stream: its client stops once it has used what it was given."""
        slow = self._streams.get(stream)
        if slow is not None:
            slow.paused = True

    def resume_reading(self, stream: int) -> None:
        """Return window to a stream again, at once where half of it is used."""
        slow = self._streams.get(stream)
        if slow is not None and slow.paused:
            slow.paused = False
            if not slow.ended and 2 * slow.used >= self._limits.stream_window:
                self._credit_stream(stream, slow)
