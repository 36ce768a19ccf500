"""Say how long a connection may keep us waiting."""

from enum import Enum

from onecode_serving.http1.limits import Http1Limits


class Verdict(Enum):
    """What a connection has become by the time that passed."""

    FINE = "fine"
    STALLED = "stalled"
    SLOW = "slow"
    OVER = "over"


class Patience:
    """The moments since which a connection waits for its peer; all times in seconds on one monotonic clock.

    Attributes:
        request_since: First byte of a request that is not whole yet; None without one.
        quiet_since: End of the last answer; None where the next look sets it.
        linger_until: End of throwing away what a refused peer still sends; None while nothing is thrown away.
    """

    __slots__ = ("_limits", "_stalled_since", "linger_until", "quiet_since", "request_since")

    def __init__(self, limits: Http1Limits, now: float) -> None:
        self._limits = limits
        self._stalled_since: float | None = None
        self.quiet_since: float | None = now
        self.request_since: float | None = None
        self.linger_until: float | None = None

    def moved(self) -> None:
        """Note that waiting output was taken."""
        self._stalled_since = None

    def began(self, now: float) -> None:
        """Note the first byte of a request; later ones change nothing."""
        if self.request_since is None:
            self.request_since = now

    def look(self, now: float, *, busy: bool, output: bool) -> tuple[Verdict, float]:
        """Return what to think of the connection and when to look again.

        Args:
            now: The time.
            busy: A request is in hand: then we are the ones who take their time.
            output: There are bytes that nobody has taken.
        """
        limits = self._limits
        again = now + limits.stalled_s
        if output:
            self._stalled_since = now if self._stalled_since is None else self._stalled_since
            again = min(again, self._stalled_since + limits.stalled_s)
            if now >= again:
                return Verdict.STALLED, now
        if busy:
            return Verdict.FINE, again
        if self.linger_until is not None:
            end, verdict = self.linger_until, Verdict.OVER
        elif self.request_since is not None:
            end, verdict = self.request_since + limits.request_s, Verdict.SLOW
        else:
            self.quiet_since = now if self.quiet_since is None else self.quiet_since
            end, verdict = self.quiet_since + limits.idle_s, Verdict.OVER
        if now >= end:
            return verdict, now
        return Verdict.FINE, min(again, end) if output else end
