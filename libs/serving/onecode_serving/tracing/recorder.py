"""Look at each run when it is over, and hand on what is worth a span; used by the loop's thread only.

A run costs one call and a few comparisons: the first of its requests waited longest, so that only if that one was slow,
or somebody asked, the others are looked at.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.domain.sampling import ASKED, Allowance, Draws, Share, Tail, reason, refusal_reason
from onecode_serving.domain.spans import Times, Told, Version
from onecode_serving.execution.job import Job, Target
from onecode_serving.execution.lane import Lane
from onecode_serving.execution.run import Ran
from onecode_serving.tracing.origin import Origin

_ASKED_S = 60.0
"""So long after a caller asked for its trace, every run is looked through: longer than any request waits."""

_FAULTS = frozenset({"internal", "unavailable"})
"""Kinds of errors that mark a span as failed: the conventions leave what a caller did wrong unmarked."""


class Export(Protocol):
    """Where chosen predictions go."""

    def offer(self, told: Told) -> bool:
        """Take one, or return False if there is no room; never waits."""
        ...


@dataclass(slots=True)
class RecorderCounts:
    """What became of predictions; the numbers only grow.

    Attributes:
        chosen: Handed on for export.
        limited: Worth a span, but there were too many in that second.
        dropped: The collector is slower than what was chosen; nothing waits for it.
    """

    chosen: int = 0
    limited: int = 0
    dropped: int = 0


class Recorder:
    """Chooses.

    Args:
        export: Where chosen ones go.
        share: Which are chosen.
        clock: Of both kinds of time.
        draw: Returns a random number in [0, 1).

    Attributes:
        current: Where the request comes from that a face is passing on; None outside of that.
    """

    def __init__(self, export: Export, share: Share, clock: Clock, draw: Callable[[], float] = random.random) -> None:
        self._export = export
        self._clock = clock
        self._share = share
        self._draw = draw
        self._allowance = Allowance(share.per_s)
        self._draws = Draws(share.random, draw)
        self._asked_until = 0.0
        self._run: Ran | None = None
        self.current: Origin | None = None
        self.counts = RecorderCounts()

    def asked(self) -> None:
        """Look through the runs of the next while: a caller wants its trace."""
        self._asked_until = self._clock.monotonic() + _ASKED_S

    def begin(self, run: Ran) -> None:
        """Remember the run whose requests are told how it went."""
        self._run = run

    def end(self, lane: Lane, run: Ran, now: float) -> None:
        """Choose among the answered requests of a run.

        Args:
            lane: Where they waited.
            run: It.
            now: Monotonic seconds before the first of them was answered.
        """
        self._run = None
        if run.error is not None:
            return
        jobs = run.jobs
        tail = lane.tail
        if tail is None:
            tail = lane.tail = Tail(LATENCY_EDGES_US, self._share.slowest)
        if now >= tail.due:
            tail.learn(lane.tally.total_places, now)
        drawn = self._draws.among(len(jobs))
        first = jobs[0]
        # Where requests have priorities, the first of a run need not be the oldest.
        if drawn or now - first.arrived > tail.limit_s or now < self._asked_until or first.priority:
            self._look(run, tail.limit_s, now, drawn)

    def hit(self, job: Job) -> None:
        """Take note of an answer that was remembered: nobody waited, so it is told only if its caller asked."""
        origin = job.trace
        if isinstance(origin, Origin) and origin.asked:
            self._tell(origin, job, ASKED, None)

    def refused(self, error: OnecodeError) -> None:
        """Take note that the current request is refused before it was in line; only its first refusal counts."""
        origin, self.current = self.current, None
        why = "" if origin is None else refusal_reason(asked=origin.asked, kind=error.kind)
        if origin is None or not why:
            return
        now = self._clock.monotonic()
        if not self._allowance.takes(why, now):
            self.counts.limited += 1
            return
        times = Times(now, 0.0, 0.0, 0.0, now, self._clock.now().timestamp() - now)
        told = Told(origin.face, origin.traceparent, Version(origin.model), times, why)
        self._offer(_failed(told, origin, error))

    def refused_job(self, origin: Origin, job: Job, error: OnecodeError) -> None:
        """Take note that a request in line is refused."""
        why = refusal_reason(asked=origin.asked, kind=error.kind)
        if why:
            run = self._run
            mine = run is not None and any(one is job for one in run.jobs)
            self._tell(origin, job, why, run if mine else None, error)

    def _look(self, run: Ran, limit_s: float, now: float, drawn: Sequence[int]) -> None:
        ended = self._clock.monotonic()
        for place, job in enumerate(run.jobs):
            origin = job.trace
            # Late ones were refused, and told as that.
            if not isinstance(origin, Origin) or job.deadline <= ended:
                continue
            seconds = now - job.arrived
            why = reason(asked=origin.asked, seconds=seconds, limit_s=limit_s, drawn=place in drawn)
            if why:
                self._tell(origin, job, why, run)

    def _tell(self, origin: Origin, job: Job, why: str, run: Ran | None, error: OnecodeError | None = None) -> None:
        ended = self._clock.monotonic()
        if not self._allowance.takes(why, ended):
            self.counts.limited += 1
            return
        parts = (run.started, run.infer_from, run.infer_to) if run is not None else (0.0, 0.0, 0.0)
        told = Told(
            origin.face,
            origin.traceparent,
            _version(job.target),
            Times(job.arrived, *parts, ended, self._clock.now().timestamp() - ended),
            why,
            job.rows,
            len(run.jobs) if run is not None else 0,
            run.rows if run is not None else 0,
        )
        self._offer(told if error is None else _failed(told, origin, error))

    def _offer(self, told: Told) -> None:
        if self._export.offer(told):
            self.counts.chosen += 1
        else:
            self.counts.dropped += 1


def _version(target: Target) -> Version:
    version = target.version
    return Version(version.model, version.version, target.digest, target.release, target.role)


def _failed(told: Told, origin: Origin, error: OnecodeError) -> Told:
    return told._replace(error=error.code, status=origin.status(error), fault=error.kind in _FAULTS)
