"""Tell hostile rhythms from honest ones: floods of control frames, of resets and of window updates (H2, H5)."""

from collections import deque

from onecode_serving.http2.frames import ENHANCE_YOUR_CALM, ProtocolError
from onecode_serving.http2.limits import Http2Limits


class Guard:
    """The counters of one connection."""

    __slots__ = ("_controls", "_limits", "_resets", "_second", "_work")

    def __init__(self, limits: Http2Limits, now: float) -> None:
        self._limits = limits
        self._second = now
        self._controls = self._work = 0
        # (when, streams opened until then, streams open then) of the latest resets.
        self._resets: deque[tuple[float, int, int]] = deque(maxlen=limits.resets + 1)

    def control(self, now: float, work: int, weight: int = 1) -> None:
        """Count frames that cost us work and bring no request.

        Args:
            now: When they came.
            work: Requests that came and DATA frames that we sent, ever: each allows one more, because grpc-go
                measures its bandwidth by a PING for each answer.
            weight: How many frames they count for.

        Raises:
            ProtocolError: Too many within a second.
        """
        if now - self._second >= 1.0:
            self._second = now
            self._controls = 0
            self._work = work
        self._controls += weight
        if self._controls > self._limits.controls + work - self._work:
            raise _calm(f"more than {self._limits.controls} control frames in a second")

    def reset(self, now: float, opened: int, still_open: int) -> None:
        """Count a reset by either side; ``opened`` is the number of streams this connection has ever opened.

        A flood is more resets than the limit within the window *and* more than half of the streams they could have
        hit: those opened meanwhile, those open before, and as many as may be open at once, because an honest client
        that cancels every second call also may cancel all it has in flight.

        Raises:
            ProtocolError: It is a flood.
        """
        resets = self._resets
        resets.append((now, opened, still_open))
        if len(resets) <= self._limits.resets:
            return
        when, opened_then, open_then = resets[0]
        streams = opened - opened_then + open_then + self._limits.streams
        if now - when <= self._limits.resets_s and 2 * self._limits.resets > streams:
            raise _calm(
                f"more than {self._limits.resets} resets in {self._limits.resets_s:g} s and of half the streams"
            )


def _calm(message: str) -> ProtocolError:
    return ProtocolError(ENHANCE_YOUR_CALM, f"{message}: slow down")
