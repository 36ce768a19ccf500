"""Run what is waiting, all sockets' requests of a turn together, without ever waiting for more.

The first request of a turn asks for a flush at the end of the turn; every socket that was readable in the same poll is
read before it. Cheap models run on the loop, dear ones in threads (onnxruntime releases the interpreter's lock), so
that a dear model does not hold up a cheap one.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool
from functools import lru_cache
from typing import Protocol

from onecode_common.clock import Clock
from onecode_common.errors import ExhaustedError, OnecodeError, UnavailableError
from onecode_serving.call_log import CallLog
from onecode_serving.counters import Counters
from onecode_serving.domain.cost import TURN_ALONE_S, TURN_S
from onecode_serving.execution.answer_cache import Cached
from onecode_serving.execution.delivery import Delivery, cache_key
from onecode_serving.execution.job import Job, too_late
from onecode_serving.execution.lane import MAX_WAITING, Lane
from onecode_serving.execution.run import Ran, Refused, run_batch

_REFUSALS = 256
_WEIGHT, _LEAST, _INSTANT_S = 0.1, 0.1, 1e-6
_MIXED_S = 1.0
"""So long after two models were asked, a third request may be for either."""

_SHARE = 0.5
"""Of the time that a request has left may be spent in line: it was under way already when we first saw it."""


class Turns(Protocol):
    """The event loop, as far as it is needed here."""

    def soon(self, callback: Callable[[], None], /) -> object:
        """Call back at the end of this turn; called on the loop's thread."""
        ...

    def from_thread(self, callback: Callable[[], None], /) -> None:
        """Call back on the loop's thread; called from any."""
        ...


class Executor:
    """The lanes of one process and the turns in which they run; used by the loop's thread only.

    Args:
        turns: The event loop.
        pool: Where dear runs go.
        workers: How many of them at once.
        counters: Of arms.
        clock: Wall time for the intervals of counters.
    """

    def __init__(self, turns: Turns, pool: Pool, workers: int, counters: Counters, clock: Clock) -> None:
        self._turns = turns
        self._pool = pool
        self._workers = workers
        self._delivery = Delivery(counters, clock)
        self._active: list[Lane] = []
        self._hits: list[tuple[Lane, Job, Cached]] = []
        self._scheduled = False
        self._running = 0
        self._only: Lane | None = None
        self._mixed_until = 0.0
        self._yield = 1.0
        self._turned = 0.0
        self.on_turn: Callable[[], None] = _nothing

    def log_calls(self, log: CallLog) -> None:
        """Have calls of models whose options say so written down."""
        self._delivery.call_log = log

    def deliver_by(self, delivery: Delivery) -> None:
        """Have answers handed out by this from now on."""
        delivery.call_log = self._delivery.call_log
        self._delivery = delivery

    def add(self, job: Job) -> None:
        """Put a job in line.

        Raises:
            ExhaustedError: Too many wait, or it could not be answered before its deadline.
        """
        lane = job.target.lane
        waiting = lane.waiting
        if lane.cache is not None and job.plan is not None:
            found = lane.cache.get(cache_key(job), job.arrived)
            if found is not None:
                lane.tally.waiting += 1
                self._hits.append((lane, job, found))
                self.wake()
                return
        if len(waiting) >= lane.patience:
            self._admit(lane, job)
        if not waiting:
            self._active.append(lane)
        waiting.append(job)
        lane.tally.waiting += 1
        if job.priority:
            lane.mixed = True
        if not self._scheduled:
            self._scheduled = True
            self._turns.soon(self._flush)

    def wake(self) -> None:
        """Run a turn soon though no job came, so that answers from elsewhere are written."""
        if not self._scheduled:
            self._scheduled = True
            self._turns.soon(self._flush)

    def idle(self) -> bool:
        """Return whether nothing waits or runs."""
        return not self._active and not self._running and not self._hits

    def _admit(self, lane: Lane, job: Job) -> None:
        if len(lane.waiting) >= MAX_WAITING:
            text = f"{MAX_WAITING} requests wait for model {lane.version.model!r}: try again later"
            raise ExhaustedError(text, code="queue.full", params={"retry_after_ms": 1024})
        if lane.pooled:
            # What is running is half done on average.
            ahead = lane.backlog_s() + lane.running * lane.cost.of(lane.limit) / 2
            ready = ahead / self._workers + lane.cost.of(job.rows)
        else:
            ready = sum([one.backlog_s() for one in self._active if not one.pooled]) / self._yield
        left = (job.deadline - time.monotonic()) * _SHARE
        if ready > left > 0:
            refusal = _refusal(lane.version.model, max(0, int((ready - left) * 1000)).bit_length())
            if lane.waiting:
                # Until the turn's end the line only grows: who comes with no more time than this need not ask again. A
                # lane where nobody waits is not looked at in a turn, and would refuse for ever.
                lane.shed_s = max(lane.shed_s, job.deadline - job.arrived)
                lane.shed = refusal
            # Raised again and again, it would collect a trace for each time.
            raise refusal.with_traceback(None)

    def _flush(self) -> None:
        self._scheduled = False
        now = time.monotonic()
        lanes = self._active
        until = now + self._turn_s(lanes, now)
        if len(lanes) > 1:
            lanes.sort(key=_price)
        left: list[Lane] = []
        if self._hits:
            hits, self._hits = self._hits, []
            for lane, job, found in hits:
                self._delivery.hit(lane, job, found)
        for lane in lanes:
            _drop_dead(lane, now + lane.next_run_s())
            if lane.version.asleep:
                if lane.waiting:
                    self.rouse(lane)
            elif lane.pooled:
                self._dispatch(lane)
            else:
                self._drain(lane, until)
            lane.shed_s = 0.0
            if lane.waiting:
                left.append(lane)
        self._active = left
        self._note_yield(now, busy=bool(left))
        self.on_turn()
        if any(not lane.version.asleep and (not lane.pooled or self._running < self._workers) for lane in left):
            self.wake()

    def _turn_s(self, lanes: Sequence[Lane], now: float) -> float:
        """Return how long runs may take before the sockets' turn: longer if no other model can wait there."""
        if len(lanes) > 1 or (lanes and lanes[0] is not self._only):
            self._only = lanes[0]
            self._mixed_until = now + _MIXED_S
        return TURN_S if now < self._mixed_until else TURN_ALONE_S

    def _note_yield(self, began: float, *, busy: bool) -> None:
        """Learn how much of the time runs get while work waits; the rest goes to sockets and to others."""
        ended = time.monotonic()
        if busy and self._turned:
            got = (ended - began) / max(ended - self._turned, _INSTANT_S)
            self._yield += _WEIGHT * (max(_LEAST, min(1.0, got)) - self._yield)
        self._turned = ended if busy else 0.0

    def rouse(self, lane: Lane, done: Callable[[OnecodeError | None], None] | None = None) -> None:
        """Load a version again that left the memory; those who wait for it are answered afterwards."""
        if done is not None:
            lane.roused.append(done)
        if lane.waking:
            return
        lane.waking = True
        self._pool.submit(self._rouse_in_thread, lane)

    def _rouse_in_thread(self, lane: Lane) -> None:
        error: OnecodeError | None = None
        try:
            if lane.source is not None and lane.version.asleep:
                lane.version.wake(lane.source())
        except OnecodeError as failure:
            error = failure
        self._turns.from_thread(lambda: self._roused(lane, error))

    def _roused(self, lane: Lane, error: OnecodeError | None) -> None:
        lane.waking = False
        told, lane.roused = lane.roused, []
        for done in told:
            done(error)
        if error is not None:
            waiting, lane.waiting = lane.waiting, []
            lane.tally.waiting -= len(waiting)
            lane.tally.fail += len(waiting)
            for job in waiting:
                text = f"model {lane.version.model!r} could not be loaded again: {error.message}"
                job.refuse(UnavailableError(text, code="model.not_loaded"))
        self.wake()

    def _drain(self, lane: Lane, until: float) -> None:
        """Run on the loop until nothing waits or the turn is over."""
        lane.order()
        while lane.waiting:
            jobs = lane.take()
            for outcome in run_batch(lane.version, jobs):
                self._settle(lane, outcome)
            now = time.monotonic()
            if now > until:
                return
            if lane.waiting:
                _drop_dead(lane, now + lane.next_run_s())

    def _dispatch(self, lane: Lane) -> None:
        """Hand batches to free threads; what waits longer collects into the next batch."""
        lane.order()
        while lane.waiting and self._running < self._workers:
            jobs = lane.take()
            lane.running += 1
            self._running += 1
            self._pool.submit(self._in_thread, lane, jobs)

    def _in_thread(self, lane: Lane, jobs: Sequence[Job]) -> None:
        outcomes = run_batch(lane.version, jobs)
        self._turns.from_thread(lambda: self._finished(lane, outcomes))

    def _finished(self, lane: Lane, outcomes: Sequence[Ran | Refused]) -> None:
        lane.running -= 1
        self._running -= 1
        for outcome in outcomes:
            self._settle(lane, outcome)
        self.wake()

    def _settle(self, lane: Lane, outcome: Ran | Refused) -> None:
        if isinstance(outcome, Refused):
            self._delivery.refused(lane, outcome)
            return
        if outcome.error is None:
            lane.learn(outcome.rows, outcome.infer_to - outcome.infer_from)
        self._delivery.ran(lane, outcome)
        if lane.shadowed is not None:
            lane.shadowed(outcome)


def _price(lane: Lane) -> float:
    return lane.cost.of(1)


def _drop_dead(lane: Lane, ready: float) -> None:
    """Let go of requests that nobody waits for and of those that would be late; neither reaches the model.

    Args:
        lane: Where they wait.
        ready: Monotonic seconds when the next run will have ended.
    """
    if not [job for job in lane.waiting if job.dead or job.deadline <= ready]:
        return
    now = time.monotonic()
    kept: list[Job] = []
    for job in lane.waiting:
        if not job.dead and job.deadline > ready:
            kept.append(job)
            continue
        lane.tally.waiting -= 1
        if not job.dead:
            lane.tally.fail += 1
            lane.tally.fail_s += now - job.arrived
            job.refuse(too_late("before the model ran"))
    lane.waiting = kept


@lru_cache(_REFUSALS)
def _refusal(model: str, bits: int) -> ExhaustedError:
    text = f"the queue of model {model!r} is longer than the time that is left: try again later"
    return ExhaustedError(text, code="queue.too_long", params={"retry_after_ms": 1 << bits})


def _nothing() -> None:
    return
