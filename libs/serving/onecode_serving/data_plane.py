"""Answer requests: the one object behind all faces, in the cloud and on every gateway."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool
from dataclasses import replace
from typing import TYPE_CHECKING

from onecode_common.assignment import BUCKETS
from onecode_common.clock import Clock
from onecode_common.errors import (
    InvalidError,
    OnecodeError,
    UnavailableError,
)
from onecode_serving.call_log import CallLog
from onecode_serving.catalogue import Catalogue
from onecode_serving.counters import Counters
from onecode_serving.domain.messages import InferenceReply, InferenceRequest
from onecode_serving.domain.residency import leaving
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.domain.tensors import Array, wrong
from onecode_serving.domain.validation import Limits, unit_of
from onecode_serving.execution.executor import Executor, Turns
from onecode_serving.execution.job import DEADLINE, Job, Plan, Sink, Target, too_late
from onecode_serving.execution.planning import Planner
from onecode_serving.execution.targets import Chooser
from onecode_serving.execution.work import Work, count_run, work_of
from onecode_serving.session import trim_memory

if TYPE_CHECKING:
    from onecode_serving.tracing.tracing import Tracing

__all__ = ["DEADLINE", "DataPlane", "full_route"]

DEFAULT_DEADLINE_S = 5.0
LONGEST_DEADLINE_S = 30.0

Answered = Callable[[InferenceReply | OnecodeError], None]


class DataPlane(Catalogue):
    """Versions, routes and counters of one process.

    What changes it may be called from any thread; requests are submitted on the loop's thread, or answered in the
    caller's own by :meth:`infer`.

    Args:
        counters: Where outcomes of arms are counted.
        clock: Wall time for intervals, monotonic time for deadlines.
        source: Who serves: ``cloud`` or the gateway's id; decides routes by gateway.
        limits: Of one request.
        draw: Returns a random bucket for routes by request.
        call_log: Where calls are written of models whose options say so.
        resident_bytes: Of models in memory; those that nobody asked for longest leave first. 0: no bound.

    Attributes:
        tracing: What follows single predictions; None where nobody does.
    """

    def __init__(
        self,
        counters: Counters,
        clock: Clock,
        *,
        source: str = "cloud",
        limits: Limits | None = None,
        draw: Callable[[], int] | None = None,
        resident_bytes: int = 0,
        call_log: CallLog | None = None,
    ) -> None:
        super().__init__(source, draw or _random_bucket)
        self.counters = counters
        self._clock = clock
        self._limits = limits or Limits()
        self._resident_bytes = resident_bytes
        self.call_log = call_log
        self.tracing: Tracing | None = None
        self._planner = Planner(self._limits)
        self._executor: Executor | None = None
        self._on_turn: Callable[[], None] | None = None

    def attach(self, turns: Turns, pool: Pool, workers: int) -> None:
        """Run requests on this event loop, dear ones in this pool; called once, before any is submitted."""
        self._call_watchers = turns.from_thread
        self._executor = Executor(turns, pool, workers, self.counters, self._clock)
        self.shadows.attach(turns, self._executor.idle, self.counters, self._clock)
        if self.call_log is not None:
            self._executor.log_calls(self.call_log)
        if self._on_turn is not None:
            self._executor.on_turn = self._on_turn

    def set_on_turn(self, callback: Callable[[], None]) -> None:
        """Call this at the end of each turn, when answers are to be written."""
        self._on_turn = callback
        if self._executor is not None:
            self._executor.on_turn = callback

    def tick(self) -> None:
        """Look at deadlines of what waits for a thread, and at what may leave the memory; to be called now and then."""
        if self._executor is None:
            return
        if not self._executor.idle():
            self._executor.wake()
        self.shadows.tick()
        gone = leaving(self.residents(), self._resident_bytes)
        for digest in gone:
            self.state.lanes[digest].version.sleep()
        if gone:
            trim_memory()

    def load(self, model: str, done: Callable[[OnecodeError | None], None]) -> None:
        """Answer for a model again that was unloaded; one that answers needs no work. On the loop's thread.

        ``done`` is told None once it is in memory, or why the model does not answer (not known, or not loadable).
        """
        error = self.show(model)
        route = self.state.table.routes.get(model)
        lane = None if route is None else self.state.lanes.get(route.stable.digest)
        if error is not None or lane is None or not lane.version.asleep or self._executor is None:
            done(error)
            return
        self._executor.rouse(lane, done)

    def idle(self) -> bool:
        """Return whether no request waits or runs."""
        return self._executor is None or self._executor.idle()

    def deadline(self, remaining_s: float | None) -> float:
        """Return the moment by which a request with this time left must be answered."""
        left = DEFAULT_DEADLINE_S if remaining_s is None else min(remaining_s, LONGEST_DEADLINE_S)
        return self._clock.monotonic() + left

    def plan(self, request: InferenceRequest) -> Plan | None:
        """Return what stays the same when only the bytes of the request's one input change; None if more may.

        Raises:
            OnecodeError: As :meth:`submit`: the request itself is bad.
        """
        target, chooser = self._chosen(request)
        targets = (target,) if chooser is None else chooser.targets
        plan = self._planner.plan(request, targets, self.generation)
        if plan is None:
            return None
        unit = unit_of(replace(request, unit=None))
        if chooser is None:
            plan.fixed = target
        elif chooser.fixed is not None:
            plan.fixed = chooser.fixed
        elif unit is not None and self.state.table.routes[request.model].unit != "request":
            plan.fixed = chooser(unit)
        plan.choose = chooser
        return plan

    def submit_planned(
        self, plan: Plan, raw: bytes, deadline: float, unit: str | None, sink: Sink, key: int, arrived: float
    ) -> Job:
        """Put a planned request in line; its sink is told on the loop's thread, later.

        Raises:
            InvalidError: The bytes are not as many as the plan says.
            ExhaustedError: Too many wait, or it could not be answered in time.
            UnavailableError: It is late already.
        """
        if len(raw) != plan.size:
            raise wrong(plan.name, "bytes", plan.size, len(raw))
        if plan.timeout_s < deadline - arrived:
            deadline = arrived + plan.timeout_s
        target = plan.fixed or plan.choose(unit)
        lane = target.lane
        if 0.0 < deadline - arrived <= lane.shed_s and lane.shed is not None:
            raise lane.shed.with_traceback(None)
        job = Job(
            target, plan.rows, arrived, deadline, plan.signature,
            plan.priority, plan, raw, sink, key,
        )  # fmt: skip
        self._executor.add(job)  # type: ignore[union-attr]  # attached before the first request
        return job

    def submit(self, request: InferenceRequest, answer: Answered) -> Job:
        """Put a request in line; ``answer`` is called once, on the loop's thread, later.

        Raises:
            InvalidError: The request does not fit the model's contract.
            NotFoundError: Unknown model or version.
            ExhaustedError: Too many wait, or it could not be answered in time.
            UnavailableError: Known and not loaded, or late already (code ``deadline.exceeded``).
        """
        executor = self._executor
        if executor is None:
            message = "the server is not listening yet: try again"
            raise UnavailableError(message, code="serving.starting")
        arrived = self._clock.monotonic()
        target, _ = self._chosen(request)
        work = self._work(request, target, arrived)

        def told(arrays: Sequence[Array] | OnecodeError) -> None:
            answer(arrays if isinstance(arrays, OnecodeError) else work.reply(arrays))

        job = Job(target, work.rows, arrived, work.deadline, self._planner.signature(work.feeds))
        job.feeds = work.feeds
        job.answer = told
        job.priority = work.priority
        executor.add(job)
        return job

    def infer(self, request: InferenceRequest) -> InferenceReply:
        """Answer one request in the caller's thread.

        Raises:
            OnecodeError: As :meth:`submit`; or the model failed or broke its contract, counted for its arm.
        """
        arrived = self._clock.monotonic()
        target, _ = self._chosen(request)
        work = self._work(request, target, arrived)
        error: OnecodeError | None = None
        try:
            arrays = target.version.run(work.feeds)
            if self._clock.monotonic() >= work.deadline:
                error = too_late("while the model ran")
        except OnecodeError as failure:
            error = failure
        count_run(self.counters, target, self._clock.now().timestamp(), self._clock.monotonic() - arrived, error)
        if error is not None:
            raise error
        return work.reply(arrays)

    def _work(self, request: InferenceRequest, target: Target, arrived: float) -> Work:
        try:
            work = work_of(request, target, self._limits, arrived, DEFAULT_DEADLINE_S)
        except OnecodeError:
            target.lane.tally.fail += 1
            raise
        if self._clock.monotonic() >= work.deadline:
            target.lane.tally.fail += 1
            raise too_late("before the model ran")
        return work

    def _chosen(self, request: InferenceRequest) -> tuple[Target, Chooser | None]:
        """Return the target, and what chose it unless the caller named a version."""
        if not request.model:
            message = "the request names no model: set model_name"
            raise InvalidError(message, code="model.unnamed", params={"field": "model_name"})
        table, _, named, choosers = self.state
        if request.version:
            return named[table.find(request.model, request.version).digest], None
        table.route(request.model)
        chooser = choosers[request.model]
        return chooser(unit_of(request)), chooser


def _random_bucket() -> int:
    return int(random.random() * BUCKETS)  # noqa: S311 - a fair draw, no secret


def full_route(model: str, digest: str, release: int) -> Route:
    """Return the route of a model outside of any rollout: one version answers everything."""
    return Route(model, "", 0, "request", "", (Arm(0, BUCKETS, digest, release, "stable"),))
