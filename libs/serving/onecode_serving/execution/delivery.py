"""Give each request its rows of the batch's answer, and count how it went."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_serving.call_log import CallLog, LoggedCall
from onecode_serving.counters import Counters
from onecode_serving.domain.tensors import Array
from onecode_serving.execution.answer_cache import AnswerCache, Cached
from onecode_serving.execution.job import DEADLINE, Job, Plan, Shapes, Target, too_late
from onecode_serving.execution.lane import Lane
from onecode_serving.execution.latency import place_of, spread
from onecode_serving.execution.run import Ran, Refused
from onecode_serving.execution.work import count_run


class Delivery:
    """Hands out answers; used by the loop's thread only.

    Args:
        counters: Of arms.
        clock: Wall time for their intervals.
    """

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self.call_log: CallLog | None = None

    def refused(self, lane: Lane, outcome: Refused) -> None:
        """Tell a caller that its input was not given to the model."""
        tally = lane.tally
        tally.waiting -= 1
        tally.fail += 1
        outcome.job.refuse(outcome.error)

    def ran(self, lane: Lane, outcome: Ran) -> None:
        """Answer every job of a run, or tell its only job why it failed."""
        now = self._clock.monotonic()
        wall = self._clock.now().timestamp()
        tally = lane.tally
        jobs = outcome.jobs
        tally.waiting -= len(jobs)
        tally.last_s = wall
        if outcome.error is not None or outcome.outputs is None:
            self._failed(lane, jobs[0], outcome.error, now, wall)
            return
        late = [job for job in jobs if job.deadline <= now]
        if lane.log is not None and self.call_log is not None:
            self._write_down(lane, outcome, now, wall)
        if jobs[0].plan is not None:
            if lane.cache is not None:
                self._remember(lane.cache, lane, outcome, now)
            _hand_out(jobs, outcome.outputs, outcome.rows, now)
        else:
            _slice_out(jobs, outcome.outputs, now)
        input_s = outcome.infer_from - outcome.started
        infer_s = outcome.infer_to - outcome.infer_from
        tally.ran(outcome.rows, input_s, infer_s, now - outcome.infer_to)
        self._count(lane, [job for job in jobs if job.deadline > now] if late else jobs, outcome, now, wall)
        for job in late:
            self._failed(lane, job, too_late("while the model ran"), now, wall)

    def _write_down(self, lane: Lane, outcome: Ran, now: float, wall: float) -> None:
        """Have a sample of a run's calls written, with their rows only where the options allow it."""
        log, options = self.call_log, lane.log
        if log is None or options is None or outcome.outputs is None:
            return
        names = [spec.name for spec in lane.version.contract.outputs]
        start = 0
        for job in outcome.jobs:
            end = start + job.rows
            if log.chosen(options):
                target = job.target
                inputs = _inputs_of(job) if options.capture else {}
                outputs = {
                    name: output if len(outcome.jobs) == 1 else output[start:end]
                    for name, output in zip(names, outcome.outputs, strict=True)
                }
                log.add(
                    LoggedCall(
                        wall,
                        lane.version.model,
                        target.digest,
                        target.role,
                        job.rows,
                        now - job.arrived,
                        "ok" if job.deadline > now else DEADLINE,
                        inputs,
                        outputs if options.capture else {},
                    )
                )
            start = end

    def hit(self, lane: Lane, job: Job, found: Cached) -> None:
        """Answer a request as an equal one was answered before."""
        now = self._clock.monotonic()
        tally = lane.tally
        tally.waiting -= 1
        if job.dead or job.sink is None or job.plan is None:
            return
        seconds = now - job.arrived
        place = place_of(seconds)
        tally.success += 1
        tally.success_s += seconds
        tally.cache_hits += 1
        tally.cache_hit_s += seconds
        tally.total_places[place] += 1
        tally.queue_places[0] += 1
        self._arm(job.target, [(place, 1)], self._clock.now().timestamp())
        job.dead = True
        job.sink.answered(job.key, job.plan, job.target, found.shapes, found.raws)

    def _remember(self, cache: AnswerCache, lane: Lane, outcome: Ran, now: float) -> None:
        start = 0
        for job in outcome.jobs:
            plan = job.plan
            if plan is not None and outcome.outputs is not None:
                chosen = [outcome.outputs[pick] for pick in plan.picks]
                if len(outcome.jobs) > 1:
                    chosen = [output[start : start + job.rows] for output in chosen]
                shapes = tuple([output.shape for output in chosen])
                cache.put(cache_key(job), len(job.raw), shapes, [output.tobytes() for output in chosen], now)
                lane.tally.cache_misses += 1
                lane.tally.cache_miss_s += now - job.arrived
            start += job.rows

    def _count(self, lane: Lane, jobs: Sequence[Job], outcome: Ran, now: float, wall: float) -> None:
        if not jobs:
            return
        tally = lane.tally
        arrived = sorted([job.arrived for job in jobs])
        places = spread(arrived, now, tally.total_places)
        spread(arrived, outcome.started, tally.queue_places)
        total = sum(arrived)
        tally.success += len(jobs)
        tally.success_s += len(jobs) * now - total
        tally.queue_s += len(jobs) * outcome.started - total
        target = jobs[0].target
        if not [job for job in jobs if job.target is not target]:
            self._arm(target, places, wall)
            return
        for job in jobs:
            self._arm(job.target, [(place_of(now - job.arrived), 1)], wall)

    def _arm(self, target: Target, places: Sequence[tuple[int, int]], wall: float) -> None:
        if target.key is not None:
            self._counters.record_places(target.key, wall, places, assigned=target.assigned)

    def _failed(self, lane: Lane, job: Job, error: OnecodeError | None, now: float, wall: float) -> None:
        tally = lane.tally
        tally.fail += 1
        tally.fail_s += now - job.arrived
        failure = error or OnecodeError("the model gave nothing", code="model.failed")
        count_run(self._counters, job.target, wall, now - job.arrived, failure)
        if lane.log is not None and self.call_log is not None and self.call_log.chosen(lane.log):
            seconds = now - job.arrived
            about = (wall, lane.version.model, lane.version.digest, job.target.role, job.rows, seconds, failure.code)
            self.call_log.add(LoggedCall(*about, {}, {}))
        job.refuse(failure)


def _inputs_of(job: Job) -> Mapping[str, Array]:
    plan = job.plan
    if plan is None:
        return job.feeds
    return {plan.name: np.frombuffer(job.raw, plan.kind).reshape(plan.shape)}


def cache_key(job: Job) -> Hashable:
    """Return everything that decides a planned request's answer within one version."""
    plan = job.plan
    return None if plan is None else (plan.picks, plan.shape, job.raw)


def _hand_out(jobs: Sequence[Job], outputs: Sequence[Array], rows: int, now: float) -> None:
    """Answer planned requests in bytes: each output becomes bytes once, and each job a slice of them."""
    blobs = [output.tobytes() for output in outputs]
    if len(jobs) == 1:
        job = jobs[0]
        plan = job.plan
        if plan is not None and job.sink is not None and not job.dead and job.deadline > now:
            shapes = tuple([outputs[pick].shape for pick in plan.picks])
            job.dead = True
            job.sink.answered(job.key, plan, job.target, shapes, [blobs[pick] for pick in plan.picks])
        return
    sizes = [len(blob) // rows for blob in blobs]
    if rows == len(jobs):
        _hand_out_rows(jobs, outputs, blobs, sizes, now)
        return
    start = 0
    for job in jobs:
        plan, count = job.plan, job.rows
        if plan is not None and job.sink is not None and not job.dead and job.deadline > now:
            end = start + count
            job.dead = True
            raws = [blobs[pick][start * sizes[pick] : end * sizes[pick]] for pick in plan.picks]
            job.sink.answered(job.key, plan, job.target, _shapes(plan, outputs, count), raws)
        start += count


def _hand_out_rows(
    jobs: Sequence[Job], outputs: Sequence[Array], blobs: Sequence[bytes], sizes: Sequence[int], now: float
) -> None:
    """Answer planned requests of one row each, nearly always all of one plan."""
    picks: Sequence[int] | None = None
    shapes: Shapes = ()
    chosen: Sequence[tuple[bytes, int]] = ()
    for index, job in enumerate(jobs):
        plan = job.plan
        if plan is None or job.sink is None or job.dead or job.deadline <= now:
            continue
        if plan.picks is not picks:
            picks = plan.picks
            shapes = _shapes(plan, outputs, 1)
            chosen = [(blobs[pick], sizes[pick]) for pick in picks]
        job.dead = True
        if len(chosen) == 1:
            blob, size = chosen[0]
            raws: Sequence[bytes] = (blob[index * size : index * size + size],)
        else:
            raws = [blob[index * size : index * size + size] for blob, size in chosen]
        job.sink.answered(job.key, plan, job.target, shapes, raws)


def _shapes(plan: Plan, outputs: Sequence[Array], rows: int) -> Shapes:
    return tuple([(rows, *outputs[pick].shape[1:]) for pick in plan.picks])


def _slice_out(jobs: Sequence[Job], outputs: Sequence[Array], now: float) -> None:
    """Answer general requests in arrays: views of the batch's outputs."""
    start = 0
    for job in jobs:
        if job.answer is not None and not job.dead and job.deadline > now:
            job.dead = True
            whole = len(jobs) == 1
            job.answer(outputs if whole else [output[start : start + job.rows] for output in outputs])
        start += job.rows
