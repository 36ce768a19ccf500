"""Keep the table of a connection's open streams, and of those whose last frames may still be under way."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from onecode_serving.http2.frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    ProtocolError,
    goaway_frame,
    reset_frame,
)
from onecode_serving.http2.guard import Guard
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App, Route
from onecode_serving.http2.requests import NO_LENGTH
from onecode_serving.http2.stream import Stream

_LOG = logging.getLogger(__name__)

_LATE = 256
"""Streams that we ended first and whose last frames may still be under way."""


class _Answered:
    """The route of a request that is complete: a stream that only waits for its answer needs no other."""

    streaming = False
    max_body = beginning = 0
    cacheable = False

    def fits(self, begun: bytes) -> bool:
        """Never asked."""
        return not begun


ANSWERED: Route = _Answered()


class Streams:
    """What all halves of a connection share.

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
        self._highest = 0
        self._queued = 0
        self._opened = 0
        self._written = 0  # DATA frames of the slow lane

    @property
    def idle(self) -> bool:
        """No stream is open."""
        return not self._light and not self._streams

    def pending(self, stream: int) -> int:
        """Return the bytes of a stream that wait for the peer or for ``take``."""
        waiting = self._streams.get(stream)
        return 0 if waiting is None else waiting.queued

    def reset(self, stream: int, code: int = CANCEL) -> None:
        """End a stream by RST_STREAM; silently nothing if it is not open. ``gone`` does not follow."""
        if stream in self._light or stream in self._streams:
            self._drop(stream, code)

    def _control(self, weight: int = 1) -> None:
        """Count control frames that came; a ProtocolError if they are a flood."""
        self._guard.control(self._now, self._opened + self._written, weight)

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

    def _unqueue(self, slow: Stream, size: int) -> None:
        slow.queued -= size
        slow.moved = None
        self._queued -= size
        self._budget.give(size)

    def _promoted(self, stream: int) -> Stream:
        """Move a light stream to the slow lane."""
        slow = Stream(ANSWERED, NO_LENGTH, self._now)
        slow.credit = self._light.pop(stream)
        slow.ended = slow.told = True
        self._streams[stream] = slow
        return slow

    def _is_known(self, stream: int) -> bool:
        """Return whether the application still owes this stream the end of its answer."""
        slow = self._streams.get(stream)
        return stream in self._light if slow is None else slow.told and slow.trailers is None

    def _end(self, code: int, reason: str) -> None:
        """End the connection with GOAWAY; what was under way is forgotten."""
        if code == ENHANCE_YOUR_CALM:
            self.counts.floods += 1
        else:
            self.counts.faults += 1
        self._out.append(goaway_frame(self._highest, code, reason))
        self.lost()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Let nothing leave the connection but its end (H17)."""
        try:
            yield
        except ProtocolError as fault:
            self._end(fault.number, fault.message)
        except Exception:  # noqa: BLE001 - the outermost frame of a connection
            self._surprise()

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
        for stream in known:
            try:
                self._app.gone(stream)
            except Exception:  # noqa: BLE001 - the others must hear of their end too
                _LOG.exception("a stream could not be forgotten")
                self.counts.surprises += 1
