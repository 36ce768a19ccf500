"""Choose the requests that are worth a span, after they are answered: failed, slow for their model, asked for, drawn.

Everything is a function of durations, counts and random numbers that are given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FAILED, ASKED, SLOW, DRAWN = "error", "caller", "slow", "random"
"""Why a request is chosen; empty for one that is not."""

_OURS = frozenset({"internal", "unavailable", "exhausted"})
"""Kinds of errors that say something of the server; the others say something of the caller's request."""

_US = 1e6
_LEAST = 100
_ABOVE = 2
"""A quantile is known when so many requests should lie above it."""
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the requests is chosen.

    Attributes:
        random: Of all requests, whatever they were like; 0 to 1.
        slowest: Of each model's answers, at most; 0 to 1.
        per_s: Requests in one second, for all reasons together.
    """

    random: float = 0.001
    slowest: float = 0.01
    per_s: int = 20


def reason(*, asked: bool, seconds: float, limit_s: float, drawn: bool) -> str:
    """Return why an answered request is chosen.

    Args:
        asked: Its caller's own span is sampled.
        seconds: From arrival to answer.
        limit_s: Above it a request of this model is slow.
        drawn: It belongs to the random part.
    """
    if seconds > limit_s:
        return SLOW
    if asked:
        return ASKED
    return DRAWN if drawn else ""


def refusal_reason(*, asked: bool, kind: str) -> str:
    """Return why a refused request is chosen: what strangers do wrong is told only to those who ask."""
    if kind in _OURS:
        return FAILED
    return ASKED if asked else ""


def gap(uniform: float, share: float) -> float:
    """Return how many requests to pass over before the next of the random part; infinite for none at all.

    One random number for each gap instead of one for each request: gaps between successes of independent trials are
    geometric, and this is the inverse of their distribution.

    Args:
        uniform: In [0, 1).
        share: Of the requests, 0 to 1.
    """
    if share <= 0.0:
        return math.inf
    passed = math.log1p(-uniform) / math.log1p(-share) if share < 1.0 else 0.0
    return float(math.floor(passed)) if passed < math.inf else passed


class Draws:
    """Draws the random part out of requests that come one after the other, some at a time.

    Args:
        share: Of the requests, 0 to 1.
        draw: Returns a random number in [0, 1).
    """

    __slots__ = ("_draw", "_pass_over", "_share")

    def __init__(self, share: float, draw: Callable[[], float]) -> None:
        self._share = share
        self._draw = draw
        self._pass_over = gap(draw(), share)

    def among(self, count: int) -> list[int]:
        """Return the places of those that are drawn among the next ones."""
        found: list[int] = []
        place = self._pass_over
        while place < count:
            found.append(int(place))
            place += 1 + gap(self._draw(), self._share)
        self._pass_over = place - count
        return found


def quantile_limit(counts: Sequence[int], edges_us: Sequence[int], share: float) -> float:
    """Return the seconds above which at most this share of the counted requests lies.

    It is the upper edge of a bucket, so that a model whose answers all take alike has no slow ones.

    Args:
        counts: Requests by bucket, one more than edges: the last lies above all of them.
        edges_us: Upper edges, microseconds.
        share: 0 to 1; 0: infinite, for nothing is slow.
    """
    total = sum(counts)
    if share <= 0.0 or total < max(_LEAST, _ABOVE / share):
        return math.inf
    above = total
    for count, edge in zip(counts, edges_us, strict=False):
        above -= count
        if above <= share * total:
            return edge / _US
    return edges_us[-1] / _US


class Tail:
    """What is slow for one version: learned from its histogram of the last minute or two.

    Args:
        edges_us: Of the histogram.
        share: The slowest part.

    Attributes:
        limit_s: Slower answers are slow; infinite until enough were seen.
        due: When to learn again, in the seconds that :meth:`learn` is given.
    """

    __slots__ = ("_before", "_edges", "_older", "_share", "_since", "due", "limit_s")

    def __init__(self, edges_us: Sequence[int], share: float) -> None:
        self._edges = edges_us
        self._share = share
        self._older: Sequence[int] = (0,) * (len(edges_us) + 1)
        self._before = self._older
        self._since = -math.inf
        self.limit_s = math.inf
        self.due = -math.inf

    def learn(self, counts: Sequence[int], now: float) -> None:
        """Take what was counted until now; a count never shrinks."""
        self.due = now + 1.0
        recent = [count - old for count, old in zip(counts, self._older, strict=True)]
        limit_s = quantile_limit(recent, self._edges, self._share)
        if limit_s < math.inf:
            self.limit_s = limit_s
            if now - self._since >= _WINDOW_S:
                # The window is between one and two of these long, so that it is never empty.
                self._older, self._before, self._since = self._before, tuple(counts), now


class Allowance:
    """How many requests may still be chosen in this second.

    What people may bring about at will (asking, drawing) leaves half of it to what goes wrong.

    Args:
        per_s: Requests in one second.
    """

    __slots__ = ("_at", "_per_s", "_tokens")

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._tokens = float(per_s)
        self._at = -math.inf

    def takes(self, why: str, now: float) -> bool:
        """Take one for this reason, if there is one; ``now`` never runs backwards."""
        if self._at > -math.inf:
            self._tokens = min(self._per_s, self._tokens + max(0.0, now - self._at) * self._per_s)
        self._at = now
        kept = (self._per_s - 1) / 2 if why in (ASKED, DRAWN) else 0.0
        if self._tokens - kept < 1.0:
            return False
        self._tokens -= 1.0
        return True
