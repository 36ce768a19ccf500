"""Run one batch: join the rows, ask the model once, and if that fails, find the one that is to blame."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from onecode_common.errors import OnecodeError
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.tensors import Array, require_finite
from onecode_serving.execution.job import Job
from onecode_serving.version import ServedVersion

_log = logging.getLogger(__name__)


class Ran(NamedTuple):
    """One run of the model.

    Attributes:
        jobs: Whose rows were in it, in order.
        outputs: All outputs, rows of all jobs one after the other; None if the run failed.
        error: Why it failed; belongs to the only job then.
        rows: How many.
        started: Monotonic seconds before the rows were joined; then before and after the model ran.
    """

    jobs: Sequence[Job]
    outputs: Sequence[Array] | None
    error: OnecodeError | None
    rows: int
    started: float
    infer_from: float
    infer_to: float


class Refused(NamedTuple):
    """A job whose input the model is not given."""

    job: Job
    error: OnecodeError


def run_batch(version: ServedVersion, jobs: Sequence[Job]) -> list[Ran | Refused]:
    """Return what became of each job: one run for all if that works, else a run for each.

    Args:
        version: Of all of them.
        jobs: Alike: of one signature, or a single one.
    """
    try:
        return _run_feeds(version, jobs) if jobs[0].plan is None else _run_raw(version, jobs)
    except Exception:  # noqa: BLE001 - a fault of ours must leave nobody without an answer, here or in the lanes beside it
        _log.exception("a batch of model %s failed", version.model)
        fault = OnecodeError("the server met a fault of its own; it is in its log", code="serving.fault")
        return [Refused(job, fault) for job in jobs]


def _run_raw(version: ServedVersion, jobs: Sequence[Job]) -> list[Ran | Refused]:
    started = time.monotonic()
    plan = jobs[0].plan
    assert plan is not None  # noqa: S101 - run_batch asked
    if len(jobs) == 1:
        raw, rows = jobs[0].raw, jobs[0].rows
    else:
        raw = b"".join([job.raw for job in jobs])
        rows = sum([job.rows for job in jobs])
    # A model without a row axis runs alone, and its first axis is one of its own.
    shape = plan.shape if len(jobs) == 1 else (rows, *plan.shape[1:])
    array = np.frombuffer(raw, plan.kind).reshape(shape)
    if plan.finite and not _finite(array, plan.finite):
        return _without_non_finite(version, jobs)
    return _run(version, jobs, {plan.name: array}, rows, started)


def _run_feeds(version: ServedVersion, jobs: Sequence[Job]) -> list[Ran | Refused]:
    started = time.monotonic()
    if len(jobs) == 1:
        return _run(version, jobs, jobs[0].feeds, jobs[0].rows, started)
    feeds = {name: np.concatenate([job.feeds[name] for job in jobs]) for name in jobs[0].feeds}
    return _run(version, jobs, feeds, sum(job.rows for job in jobs), started)


def _run(
    version: ServedVersion, jobs: Sequence[Job], feeds: Mapping[str, Array], rows: int, started: float
) -> list[Ran | Refused]:
    infer_from = time.monotonic()
    try:
        outputs = version.execute(feeds, rows)
        infer_to = time.monotonic()
        version.checked(outputs, rows)
    except OnecodeError as error:
        if len(jobs) == 1:
            return [Ran(jobs, None, error, rows, started, infer_from, time.monotonic())]
        # Only the guilty one fails: each is asked alone, once.
        return [outcome for job in jobs for outcome in run_batch(version, [job])]
    return [Ran(jobs, outputs, None, rows, started, infer_from, infer_to)]


def _finite(array: Array, rule: int) -> bool:
    return bool(np.isfinite(array).all()) if rule > 1 else not np.isinf(array).any()


def _without_non_finite(version: ServedVersion, jobs: Sequence[Job]) -> list[Ran | Refused]:
    """Refuse the jobs whose input is not finite, with their element's place, and run the others."""
    outcomes: list[Ran | Refused] = []
    good: list[Job] = []
    for job in jobs:
        plan = job.plan
        assert plan is not None  # noqa: S101 - a batch has plans or none
        spec: TensorSpec | None = version.contract.input(plan.name)
        try:
            if spec is not None:
                require_finite(np.frombuffer(job.raw, plan.kind), spec)
        except OnecodeError as error:
            outcomes.append(Refused(job, error))
        else:
            good.append(job)
    return outcomes + (run_batch(version, good) if good else [])
