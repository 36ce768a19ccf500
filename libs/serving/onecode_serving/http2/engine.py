"""Turn the bytes of one HTTP/2 client into requests, and answers into bytes: pure, with the time given.

One loop walks the frames where they lie. What every stock client sends for a unary call, HEADERS with a block seen
before, a WINDOW_UPDATE, one DATA with END_STREAM, stays in that loop and makes no object but the body: the fast lane.
Everything else goes through the slow lane of the classes below this one; both end in the same calls.
"""

import logging

from onecode_serving.http2.control import Control
from onecode_serving.http2.frames import (
    CANCEL,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    GREATEST,
    HEAD,
    HEADERS,
    INTERNAL_ERROR,
    PADDED,
    PREFACE,
    PRIORITISED,
    WINDOW_UPDATE,
    ProtocolError,
    goaway_frame,
    unpack_head,
    unpack_update,
)
from onecode_serving.http2.intake import Entry
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.requests import NO_LENGTH
from onecode_serving.http2.sending import SAID_GOODBYE
from onecode_serving.http2.stream import Stream

_LOG = logging.getLogger(__name__)

_NONE = -1
"""No stream: ids on the wire are never negative once the reserved bit is set aside."""
_DATA_MASK = END_STREAM | PADDED
_HEADERS_MASK = END_STREAM | END_HEADERS | PADDED | PRIORITISED
_WINDOW_WORD = 4 << 8 | WINDOW_UPDATE
"""Length and type of the only well-formed WINDOW_UPDATE."""
_UPDATE = HEAD + 4
_STEP = 5.0
"""Seconds after which ``tick`` looks again in any case: how late a bound of 10 s or more may be noticed."""


class Http2Engine(Control):
    """One connection of the server's side.

    Args:
        app: What answers.
        limits: Every bound.
        now: Any clock that only grows, seconds.
        budget: Shared by the connections of a process.
        counts: Shared where one wants sums.
    """

    def __init__(
        self,
        app: App,
        limits: Http2Limits,
        now: float,
        budget: Budget | None = None,
        counts: Http2Counts | None = None,
    ) -> None:
        super().__init__(app, limits, now, budget or Budget(), counts or Http2Counts())
        self._born = now
        self._left: float | None = None
        # What the loop below asks for each frame stands on the object itself.
        self._allowance = limits.updates_per_call + limits.updates_per_data
        self._most = limits.streams
        self._largest = limits.frame_bytes
        self._unmet = PREFACE
        # The unfinished frame at the end of what came, in pieces that are joined when enough are there.
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._tail_needs = 0

    @property
    def idle(self) -> bool:
        """No stream is open."""
        return not self._light and not self._streams

    @property
    def finished(self) -> bool:
        """The graceful end is complete: nothing is open and nothing new is taken."""
        return self._leaving == SAID_GOODBYE and self.idle

    def receive(self, data: bytes, now: float) -> None:
        """Take the next bytes of the peer, cut anywhere. Never raises; a fault queues GOAWAY and sets ``closing``."""
        if self.closing:
            return
        self._now = now
        try:
            if self._unmet:
                data = self._meet(data)
            if self._tail:
                data = self._joined(data)
            self._walk(data)
        except ProtocolError as fault:
            self._end(fault.number, fault.message)
        except Exception:
            self._surprise()

    # Longer than a function should be: a call costs more than most of what it would hold, a hundred thousand times a
    # second. Frames are told apart by one comparison each: of the word that holds length and type, of masked flags.
    def _walk(self, data: bytes) -> None:
        light, streams, cache, whole = self._light, self._streams, self._cache, self._app.whole
        # The stream whose HEADERS were the last frame but for window updates: it stands in no table yet. Its window
        # credit, and how many window updates its call still brings along.
        fresh, entry, credit, updates = _NONE, None, 0, 0
        at, end, stop = 0, len(data), 0
        while end - at >= HEAD:
            word, flags, stream = unpack_head(data, at)
            start = at + HEAD
            stop = start + (word >> 8)
            if stop > end:
                break
            if word & 0xFF == HEADERS:
                # Another request may only wait for its body in the slow lane, and needs the state that "lane" stands for.
                if flags & _HEADERS_MASK == END_HEADERS and fresh == _NONE and self._lane:
                    entry = cache.get(data[start:stop])
                    if (
                        entry is not None
                        and entry[1] >= 0
                        and stream > self._highest
                        and stream & 1
                        and len(light) + len(streams) < self._most
                    ):
                        self._highest = fresh = stream
                        self._opened += 1
                        at, credit, updates = stop, 0, self._allowance
                        # Stock clients widen the stream's window before each body.
                        if end - at > _UPDATE:
                            word, _, second, raised = unpack_update(data, at)
                            if word == _WINDOW_WORD and second == stream and 0 < raised <= GREATEST - self._initial:
                                at, credit, updates = at + _UPDATE, raised, updates - 1
                        continue
            elif stream == fresh and not word & 0xFF and flags & _DATA_MASK == END_STREAM and entry is not None:
                if stop - start <= entry[1]:
                    light[stream] = credit
                    self._updates += updates
                    self._used += stop - start
                    if self._used >= self._half:
                        self._credit_connection()
                    fresh = _NONE
                    whole(stream, entry[0], data[start:stop])
                    at = stop
                    continue
            if fresh != _NONE:
                self._settle(fresh, entry, credit, updates)
                fresh = _NONE
            if stop - start > self._largest:
                raise _oversized(stop - start)
            if not word & 0xFF and stream > 0 and self._lane:
                self._data_in(flags, stream, data[start:stop])
            else:
                self._frame_in(word & 0xFF, flags, stream & GREATEST, data[start:stop])
                self._lane = self._greeted and not self._gathering and self._leaving != SAID_GOODBYE
            at = stop
        if fresh != _NONE:
            self._settle(fresh, entry, credit, updates)
        if at < end:
            self._keep_tail(data, at, stop)

    def _settle(self, stream: int, entry: Entry | None, credit: int, updates: int) -> None:
        """Give a stream whose body did not come at once its place in the slow lane."""
        if entry is not None:
            slow = self._streams[stream] = Stream(entry[0], NO_LENGTH, self._now)
            slow.credit = credit
            self._updates += updates

    def _keep_tail(self, data: bytes, at: int, stop: int) -> None:
        """Keep an unfinished frame until it is complete, so that nothing is looked at or copied twice."""
        rest = len(data) - at
        needs = HEAD
        if rest >= HEAD:
            needs = stop - at
            if needs - HEAD > self._largest:
                raise _oversized(needs - HEAD)
        self._tail = [data[at:]]
        self._tail_bytes = rest
        self._tail_needs = needs

    def _joined(self, data: bytes) -> bytes:
        """Return the unfinished frame with what has come now, b"" while it is still unfinished."""
        self._tail.append(data)
        self._tail_bytes += len(data)
        if self._tail_bytes < self._tail_needs:
            return b""
        joined = b"".join(self._tail)
        self._tail = []
        return joined

    def _meet(self, data: bytes) -> bytes:
        """Compare with the preface and return what follows it; a stranger to HTTP/2 is left without a word (H13)."""
        expected = self._unmet
        if not data.startswith(expected[: len(data)]):
            self.counts.faults += 1
            self.closing = True
            return b""
        self._unmet = expected[len(data) :]
        if not self._unmet:
            self._greet()
        return data[len(expected) :]

    def _end(self, code: int, reason: str) -> None:
        """End the connection with GOAWAY; what was under way is forgotten."""
        if code == ENHANCE_YOUR_CALM:
            self.counts.floods += 1
        else:
            self.counts.faults += 1
        self._out.append(goaway_frame(self._highest, code, reason))
        self.lost()

    def _surprise(self) -> None:
        """End the connection because of a mistake of ours; the process and its other connections go on (H17)."""
        _LOG.exception("a connection was ended by an exception")
        self.counts.surprises += 1
        self._out.append(goaway_frame(self._highest, INTERNAL_ERROR))
        self.lost()

    def lost(self) -> None:
        """Forget everything: the transport is gone, or will be once what is written has left."""
        self.closing = True
        known = [stream for stream in (*self._light, *self._streams) if self._is_known(stream)] + self._orphans
        for stream in (*self._light, *self._streams):
            self._forget(stream)
        self._orphans.clear()
        self._tail = []
        for stream in known:
            try:
                self._app.gone(stream)
            except Exception:
                _LOG.exception("a stream could not be forgotten")
                self.counts.surprises += 1

    def tick(self, now: float) -> float | None:
        """Act on what has waited too long; return when to call again, None if never."""
        if self.closing:
            return None
        wake = now + _STEP
        try:
            if self._orphans:
                self._tell_orphans()
            for stream, slow in list(self._streams.items()):
                wake = min(wake, self._check(stream, slow, now))
            wake = min(wake, self._check_connection(now))
        except ProtocolError as fault:
            self._end(fault.number, fault.message)
        except Exception:
            self._surprise()
        return None if self.closing else wake

    def _check(self, stream: int, slow: Stream, now: float) -> float:
        """Reset a stream whose sender or reader is too slow (H7, H8); return when to look at it again."""
        limits = self._limits
        wake = now + _STEP
        if not slow.ended:
            due = slow.heard + (limits.silence_s if slow.route.streaming else limits.unary_s)
            if due <= now:
                self.counts.slow += 1
                self._provoked(stream, CANCEL)
                return wake
            wake = min(wake, due)
        if slow.queue:
            if slow.moved is None:
                slow.moved = now
            due = slow.moved + limits.stall_s
            if due <= now:
                self.counts.stalled += 1
                if self._window <= 0:
                    raise ProtocolError(ENHANCE_YOUR_CALM, "no window for the connection for too long: read answers")
                self._provoked(stream, CANCEL)
                return wake
            wake = min(wake, due)
        return wake

    def _check_connection(self, now: float) -> float:
        limits = self._limits
        if not self._greeted:
            if now - self._born >= limits.preface_s:
                self.counts.slow += 1
                self.closing = True
            return self._born + limits.preface_s
        wake = now + _STEP
        if self._out or (self._ready and self._window > 0):
            if self._untaken is None:
                self._untaken = now
            if now - self._untaken >= limits.stall_s:
                self.counts.stalled += 1
                raise ProtocolError(ENHANCE_YOUR_CALM, "nothing was read for too long: read answers")
            wake = min(wake, self._untaken + limits.stall_s)
        if self._leaving == 1:
            if self._left is None:
                self._left = now
            if now - self._left >= limits.goodbye_s:
                self._say_goodbye()
            wake = min(wake, self._left + limits.goodbye_s)
        elif self.idle and not self._leaving:
            if now - self._now >= limits.idle_s:
                self.shutdown()
            wake = min(wake, self._now + limits.idle_s)
        return max(wake, now)


def _oversized(size: int) -> ProtocolError:
    return ProtocolError(FRAME_SIZE_ERROR, f"a frame of {size} bytes: no more than MAX_FRAME_SIZE was announced")
