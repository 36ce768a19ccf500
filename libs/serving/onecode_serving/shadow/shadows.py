"""Decide when a shadow runs: in spare time, one at a time, in a thread that nobody waits for.

A shadow run begins only when no request waits or runs. What it can cost: the requests that come while it runs share
the processor with it, once, for what one run of the candidate takes, and wait for the interpreter's lock no longer
than Python lets a thread hold it (5 ms at most; a run of the model itself does not hold it). After each run the thread
rests nine times as long, so that callers who ask again at once meet few of them.
"""

import logging
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from onecode_common.clock import Clock
from onecode_serving.counters import LATENCY_EDGES_US, CounterKey, Counters
from onecode_serving.domain.comparison import Findings, incomparable
from onecode_serving.domain.routing import SHADOW, Route
from onecode_serving.execution.lane import Lane
from onecode_serving.shadow.comparer import Comparer, Shown
from onecode_serving.shadow.copies import Copy
from onecode_serving.shadow.worker import Worker

_log = logging.getLogger(__name__)
_MICRO = 1e6
_REST = 9.0
_LEAST_REST_S = 2e-3


class Turns(Protocol):
    """The event loop, as far as it is needed here."""

    def soon(self, callback: Callable[[], None], /) -> object:
        """Call back once the sockets were looked at again; called on the loop's thread."""
        ...

    def from_thread(self, callback: Callable[[], None], /) -> None:
        """Call back on the loop's thread; called from any."""
        ...


@dataclass(slots=True)
class ShadowView:
    """What shadows of one model did since this process started.

    Attributes:
        runs: By the edges of latencies in :mod:`onecode_serving.counters`, one more bucket above the last.
        seconds: Of all runs together.
    """

    findings: Findings = field(default_factory=Findings)
    runs: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_US) + 1))
    seconds: float = 0.0


class Shadows:
    """The shadows of one process; :meth:`follow` and :meth:`view` from any thread, the rest on the loop's.

    Attributes:
        submit: Runs one thing after the other elsewhere: in a thread of its own.
        rest: Does nothing for so many seconds, there.
    """

    def __init__(self) -> None:
        self._worker = Worker()
        self._stopped = threading.Event()
        self.submit: Callable[[Callable[[], None]], None] = self._worker.submit
        self.rest: Callable[[float], object] = self._stopped.wait
        self._comparers: tuple[Comparer, ...] = ()
        self._gone: deque[Comparer] = deque()
        self._views: dict[str, ShadowView] = {}
        self._next = 0
        self._armed = self._running = False
        self._turns: Turns | None = None
        self._idle: Callable[[], bool] = bool
        self._counters: Counters | None = None
        self._clock: Clock | None = None

    def attach(self, turns: Turns, idle: Callable[[], bool], counters: Counters, clock: Clock) -> None:
        """Run from now on.

        Args:
            turns: The event loop.
            idle: Returns whether no request waits or runs.
            counters: Take what was found, under the role ``shadow``; no arm has that.
            clock: Of the counters' intervals and of pauses.
        """
        self._turns, self._idle, self._counters, self._clock = turns, idle, counters, clock

    def follow(self, routes: Mapping[str, Route], lanes: Mapping[str, Lane]) -> None:
        """Show the versions that these routes name as shadows what their stable versions are asked, and no others."""
        known = {one.about: one for one in self._comparers}
        kept = []
        for route in routes.values():
            shadow = route.shadow
            if shadow is None:
                continue
            stable, candidate = lanes[route.stable.digest], lanes[shadow.digest]
            about = CounterKey(route.model, route.rollout, route.revision, candidate.version.digest, SHADOW)
            one = known.get(about)
            if one is None or one.stable is not stable or one.candidate is not candidate:
                one = self._begin(about, stable, candidate)
            if one is not None:
                kept.append(one)
        for old in self._comparers:
            if old not in kept:
                old.stable.shadowed = None
                self._gone.append(old)
        self._comparers = tuple(kept)
        for one in kept:
            one.stable.shadowed = one.offer

    def tick(self) -> None:
        """Hand on what was found, and look for spare time; to be called ten times a second or so."""
        if not self._comparers and not self._gone:
            return
        for one in self._comparers:
            self._hand_on(one)
        while self._gone:
            one = self._gone.popleft()
            one.end()
            self._hand_on(one)
        self._look()

    def stop(self) -> None:
        """Show nothing more and hand on what was found."""
        self._stopped.set()
        self.follow({}, {})
        self.tick()
        self._worker.stop()

    def view(self) -> Mapping[str, ShadowView]:
        """Return by model what shadows did, as of the last tick."""
        return {
            model: ShadowView(replace(one.findings, places=list(one.findings.places)), list(one.runs), one.seconds)
            for model, one in list(self._views.items())
        }

    def _begin(self, about: CounterKey, stable: Lane, candidate: Lane) -> Comparer | None:
        why = incomparable(stable.version.contract, candidate.version.contract)
        if why:
            _log.warning("model %s: release %d runs no shadow: %s", about.model, candidate.version.release, why)
            return None
        self._views.setdefault(about.model, ShadowView())
        return Comparer(about, stable, candidate, self._told)

    def _told(self) -> None:
        if not self._armed and self._turns is not None:
            self._armed = True
            self._turns.soon(self._turned)

    def _turned(self) -> None:
        self._armed = False
        self._look()

    def _look(self) -> None:
        """Begin one run if nobody waits for anything; else the next live run, or the next tick, looks again."""
        comparers = self._comparers
        if self._running or not comparers or self._clock is None or not self._idle():
            return
        now = self._clock.monotonic()
        for _ in comparers:
            self._next = (self._next + 1) % len(comparers)
            comparer = comparers[self._next]
            copy = comparer.take(now)
            if copy is not None:
                self._running = True
                self.submit(partial(self._show, comparer, copy))
                return

    def _show(self, comparer: Comparer, copy: Copy) -> None:
        shown: Shown | None = None
        try:
            shown = comparer.show(copy)
            self.rest(max(_LEAST_REST_S, _REST * shown.seconds))
        finally:
            if self._turns is not None:
                self._turns.from_thread(lambda: self._shown(comparer, copy, shown))

    def _shown(self, comparer: Comparer, copy: Copy, shown: Shown | None) -> None:
        self._running = False
        if shown is None or self._clock is None:
            comparer.findings.dropped += len(copy.rows)
        else:
            comparer.settle(shown, self._clock.monotonic())
            view = self._views[comparer.about.model]
            view.runs[bisect_left(LATENCY_EDGES_US, shown.seconds * _MICRO)] += 1
            view.seconds += shown.seconds
        if comparer.ended:
            self._gone.append(comparer)
        elif comparer.waiting:
            self._told()

    def _hand_on(self, comparer: Comparer) -> None:
        found, comparer.findings = comparer.findings, Findings()
        if found == Findings() or self._counters is None or self._clock is None:
            return
        self._counters.record_shadow(comparer.about, self._clock.now().timestamp(), found)
        self._views[comparer.about.model].findings.add(found)
