"""Turn the bytes of one HTTP/2 client into requests, and answers into bytes: pure, with the time given.

One loop walks the frames where they lie. What every stock client sends for a unary call, HEADERS with a block seen
before, a WINDOW_UPDATE, one DATA with END_STREAM, stays in that loop and makes no object but the body: the fast lane.
Everything else goes through the slow lane of the classes below this one; both end in the same calls.
"""

from onecode_serving.http2.blocks import Entry
from onecode_serving.http2.frames import (
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    GREATEST,
    HEAD,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITISED,
    WINDOW_UPDATE,
    ProtocolError,
    unpack_head,
    unpack_update,
)
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.requests import NO_LENGTH
from onecode_serving.http2.sending import SAID_GOODBYE
from onecode_serving.http2.stream import Stream
from onecode_serving.http2.watch import Watch

_NONE = -1
"""No stream: ids on the wire are never negative once the reserved bit is set aside."""
_DATA_MASK = END_STREAM | PADDED
_HEADERS_MASK = END_STREAM | END_HEADERS | PADDED | PRIORITISED
_WINDOW_WORD = 4 << 8 | WINDOW_UPDATE
"""Length and type of the only well-formed WINDOW_UPDATE."""
_UPDATE = HEAD + 4


class Http2Engine(Watch):
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
        except Exception:  # noqa: BLE001 - the outermost frame of a connection: nothing leaves it
            self._surprise()

    # Longer than a function should be: a call costs more than most of what it would hold, a hundred thousand times a
    # second. Frames are told apart by one comparison each: of the word that holds length and type, of masked flags.
    def _walk(self, data: bytes) -> None:  # noqa: C901, PLR0912 - as said
        light, streams, whole = self._light, self._streams, self._app.whole
        cache, varied = self._blocks.known, self._blocks.varied
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
                if flags & _HEADERS_MASK == END_HEADERS and fresh == _NONE and self._lane:
                    entry = cache.get(data[start:stop]) or varied(data[start:stop])
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
            elif (
                stream == fresh
                and not word & 0xFF
                and flags & _DATA_MASK == END_STREAM
                and entry is not None
                and stop - start <= entry[1]
            ):
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


def _oversized(size: int) -> ProtocolError:
    return ProtocolError(FRAME_SIZE_ERROR, f"a frame of {size} bytes: no more than MAX_FRAME_SIZE was announced")
