"""End what has waited too long, by the clock it is given (H7, H8)."""

from onecode_serving.http2.control import Control
from onecode_serving.http2.frames import CANCEL, ENHANCE_YOUR_CALM, ProtocolError
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.stream import Stream

_STEP = 5.0
"""Seconds after which ``tick`` looks again in any case: how late a bound of 10 s or more may be noticed."""


class Watch(Control):
    """What time does to a connection."""

    def __init__(self, app: App, limits: Http2Limits, now: float, budget: Budget, counts: Http2Counts) -> None:
        super().__init__(app, limits, now, budget, counts)
        self._born = now
        self._left: float | None = None

    def tick(self, now: float) -> float | None:
        """Act on what has waited too long; return when to call again, None if never."""
        if self.closing:
            return None
        wake = now + _STEP
        with self._contained():
            if self._orphans:
                self._tell_orphans()
            for stream, slow in list(self._streams.items()):
                wake = min(wake, self._check(stream, slow, now))
            wake = min(wake, self._check_connection(now))
        return None if self.closing else max(wake, now)

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
        if not self._greeted:
            due = self._born + self._limits.preface_s
            if due <= now:
                self.counts.slow += 1
                self.closing = True
            return due
        if self._gathering and now - self._gathering_since >= self._limits.unary_s:
            self.counts.slow += 1
            raise ProtocolError(ENHANCE_YOUR_CALM, "a header block that does not end: send it whole")
        due = self._check_reader(now)
        if self._leaving == 1:
            self._left = now if self._left is None else self._left
            if now - self._left >= self._limits.goodbye_s:
                self._say_goodbye()
            return min(due, self._left + self._limits.goodbye_s)
        if self.idle and not self._leaving:
            if now - self._now >= self._limits.idle_s:
                self.shutdown()
            return min(due, self._now + self._limits.idle_s)
        return due

    def _check_reader(self, now: float) -> float:
        """End a connection whose output nobody takes (H7); return when to look at it again."""
        if not self._out and not (self._ready and self._window > 0):
            return now + _STEP
        if self._untaken is None:
            self._untaken = now
        if now - self._untaken >= self._limits.stall_s:
            self.counts.stalled += 1
            raise ProtocolError(ENHANCE_YOUR_CALM, "nothing was read for too long: read answers")
        return self._untaken + self._limits.stall_s
