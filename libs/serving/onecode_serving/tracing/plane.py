"""Have predictions followed: a data plane and a delivery that tell a recorder what passes through them.

They stand apart so that a server that follows nobody has none of this on its way.
"""

from concurrent.futures import Executor as Pool
from typing import Any

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_serving.counters import Counters
from onecode_serving.data_plane import Answered, DataPlane
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.execution.answer_cache import Cached
from onecode_serving.execution.delivery import Delivery
from onecode_serving.execution.executor import Turns
from onecode_serving.execution.job import Job, Plan, Sink
from onecode_serving.execution.lane import Lane
from onecode_serving.execution.run import Ran
from onecode_serving.tracing.recorder import Recorder


class TracedDelivery(Delivery):
    """Hands out answers, and has each run looked at.

    Args:
        counters: Of arms.
        clock: Of both kinds of time.
        recorder: Looks.
    """

    def __init__(self, counters: Counters, clock: Clock, recorder: Recorder) -> None:
        super().__init__(counters, clock)
        self._recorder = recorder

    def ran(self, lane: Lane, outcome: Ran) -> None:
        """Answer every job of a run, then choose among them."""
        now = self._clock.monotonic()
        self._recorder.begin(outcome)
        super().ran(lane, outcome)
        self._recorder.end(lane, outcome, now)

    def _failed(self, lane: Lane, job: Job, error: OnecodeError | None, now: float, wall: float) -> None:
        if job.dead and error is not None and job.trace is not None:
            # Its caller was told while the model ran, by the face; here it is known how far it came.
            job.trace.refused(job, error)
        super()._failed(lane, job, error, now, wall)

    def hit(self, lane: Lane, job: Job, found: Cached) -> None:
        """Answer a request as an equal one was answered before."""
        gone = job.dead
        super().hit(lane, job, found)
        if not gone:
            self._recorder.hit(job)


class TracedPlane(DataPlane):
    """Answers requests, and lets a recorder follow those that a face passes on.

    Args:
        recorder: Chooses among them.
        counters: Where outcomes of arms are counted.
        clock: Of both kinds of time.
        more: As of :class:`DataPlane`.
    """

    def __init__(self, recorder: Recorder, counters: Counters, clock: Clock, **more: Any) -> None:
        super().__init__(counters, clock, **more)
        self.recorder = recorder

    def attach(self, turns: Turns, pool: Pool, workers: int) -> None:
        """Run requests on this event loop, dear ones in this pool; called once, before any is submitted."""
        super().attach(turns, pool, workers)
        if self._executor is not None:
            self._executor.deliver_by(TracedDelivery(self.counters, self._clock, self.recorder))

    def submit_planned(
        self, plan: Plan, raw: bytes, deadline: float, unit: str | None, sink: Sink, key: int, arrived: float
    ) -> Job:
        """Put a planned request in line, as :meth:`DataPlane.submit_planned` does."""
        job = super().submit_planned(plan, raw, deadline, unit, sink, key, arrived)
        job.trace = self.recorder.current
        return job

    def submit(self, request: InferenceRequest, answer: Answered) -> Job:
        """Put a request in line, as :meth:`DataPlane.submit` does."""
        job = super().submit(request, answer)
        job.trace = self.recorder.current
        return job
