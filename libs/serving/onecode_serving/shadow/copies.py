"""Keep a live run's inputs and outputs until there is time to show them to another version."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from onecode_serving.domain.tensors import Array
from onecode_serving.execution.job import Job, Plan
from onecode_serving.execution.run import Ran

_TEXT = 64
"""Bytes of a text beside its letters, about."""


class Copy(NamedTuple):
    """Requests of one run and the answers they got.

    Attributes:
        rows: Of each request.
        plan: Of planned requests; None if the inputs are arrays.
        raws: Bytes of each planned request.
        inputs: Arrays of each general request.
        outputs: All outputs, rows of all requests one after the other.
        size: Bytes that it holds.
    """

    rows: tuple[int, ...]
    plan: Plan | None
    raws: tuple[bytes, ...]
    inputs: tuple[Mapping[str, Array], ...]
    outputs: tuple[Array, ...]
    size: int

    def feeds(self) -> Mapping[str, Array]:
        """Return what a model is given: the requests joined as the run that answered them joined them."""
        plan = self.plan
        if plan is not None:
            shape = plan.shape if len(self.rows) == 1 else (sum(self.rows), *plan.shape[1:])
            return {plan.name: np.frombuffer(b"".join(self.raws), plan.kind).reshape(shape)}
        if len(self.rows) == 1:
            return self.inputs[0]
        return {name: np.concatenate([one[name] for one in self.inputs]) for name in self.inputs[0]}

    def part(self, first: int, end: int) -> "Copy":
        """Return the copy of some of its requests."""
        if end - first == len(self.rows):
            return self
        start = sum(self.rows[:first])
        stop = start + sum(self.rows[first:end])
        outputs = tuple([output[start:stop] for output in self.outputs])
        raws, inputs = self.raws[first:end], self.inputs[first:end]
        return Copy(self.rows[first:end], self.plan, raws, inputs, outputs, size_of(raws, inputs, outputs))


def size_of_run(ran: Ran) -> int:
    """Return the bytes that a run's copy would hold; 0 if there is nothing to compare with."""
    if ran.outputs is None:
        return 0
    jobs = ran.jobs
    planned = jobs[0].plan is not None
    raws = [job.raw for job in jobs] if planned else []
    return size_of(raws, [] if planned else [job.feeds for job in jobs], ran.outputs)


def copy_of(ran: Ran, size: int) -> Copy:
    """Return the copy of a run that went well.

    Bytes and outputs are shared, for nobody changes them. Arrays are copied: they may lie in memory that the caller
    writes to again once it has its answer.
    """
    jobs = ran.jobs
    rows = tuple([job.rows for job in jobs])
    outputs = tuple(ran.outputs or ())
    if jobs[0].plan is not None:
        return Copy(rows, jobs[0].plan, tuple([job.raw for job in jobs]), (), outputs, size)
    return Copy(rows, None, (), tuple([_own(job) for job in jobs]), outputs, size)


def size_of(raws: Sequence[bytes], inputs: Sequence[Mapping[str, Array]], outputs: Sequence[Array]) -> int:
    """Return the bytes of inputs and outputs together."""
    arrays = [array for feeds in inputs for array in feeds.values()]
    return sum(map(len, raws)) + sum(map(_bytes, arrays)) + sum(map(_bytes, outputs))


def _own(job: Job) -> Mapping[str, Array]:
    return {name: array.copy() for name, array in job.feeds.items()}


def _bytes(array: Array) -> int:
    if array.dtype != object:
        return array.nbytes
    return sum([len(text) for text in array.ravel().tolist()]) + array.size * _TEXT
