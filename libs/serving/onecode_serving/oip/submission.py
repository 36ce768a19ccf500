"""Take one prediction through everything that stands around the model: the caller's limits, shared memory, traces."""

import math
from collections.abc import Callable
from typing import Protocol

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain import bfloat16
from onecode_serving.domain.contract import Contract
from onecode_serving.domain.datatypes import BYTES, NUMPY
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, RegionUse
from onecode_serving.domain.validation import wanted_of
from onecode_serving.oip.shared_memory import SharedMemory, no_room
from onecode_serving.oip.traces import Trace, Traces


class Ticket(Protocol):
    """A prediction in line."""

    def cancel(self) -> None:
        """Forget it: it does not run if it has not, and nobody is told."""
        ...


class Submission:
    """One prediction on its way; on the loop's thread only.

    Args:
        plane: Runs it.
        memory: Where tensors may lie.
        traces: Where it may be written down.
        clock: Of limits.
        grant: Of the caller, if it has one.
        answer: Told once.
    """

    __slots__ = (
        "_answer",
        "_clock",
        "_grant",
        "_memory",
        "_over",
        "_plane",
        "_request",
        "_ticket",
        "_trace",
        "_traces",
    )

    def __init__(
        self,
        plane: DataPlane,
        memory: SharedMemory,
        traces: Traces,
        clock: Clock,
        grant: Grant | None,
        answer: Callable[[InferenceReply | OnecodeError], None],
    ) -> None:
        self._plane = plane
        self._memory = memory
        self._traces = traces
        self._clock = clock
        self._grant = grant
        self._answer = answer
        self._over = False
        self._request: InferenceRequest
        self._trace: Trace | None = None
        self._ticket: Ticket | None = None

    def start(self, request: InferenceRequest) -> "Submission":
        """Put the request in line.

        Raises:
            OnecodeError: It is refused.
        """
        self._request = request
        if self._grant is not None and not self._grant.free:
            self._grant.check("infer", request.model)
            self._grant.take(request.model, self._clock.monotonic())
        if self._traces.active:
            self._trace = self._traces.begin(request)
        try:
            filled = self._memory.filled(request)
            self._require_room(filled)
            self._ticket = self._plane.submit(filled, self._told)
        except OnecodeError as error:
            self._end(error)
            raise
        return self

    def cancel(self) -> None:
        """Forget it."""
        if self._over:
            return
        self._end(OnecodeError("the caller went away", code="cancelled"))
        if self._ticket is not None:
            self._ticket.cancel()

    def _told(self, outcome: InferenceReply | OnecodeError) -> None:
        if self._over:
            return
        if isinstance(outcome, InferenceReply) and self._request.wanted:
            try:
                outcome = self._memory.placed(outcome, self._request.wanted)
            except OnecodeError as error:
                outcome = error
        self._end(outcome)
        self._answer(outcome)

    def _end(self, outcome: InferenceReply | OnecodeError) -> None:
        self._over = True
        if self._grant is not None:
            self._grant.give(self._request.model)
        if self._trace is not None:
            self._traces.end(self._trace, outcome)

    def _require_room(self, request: InferenceRequest) -> None:
        """Refuse, before the model runs, outputs that cannot fit; where only the run tells, it is asked after it."""
        if all(item.region is None for item in request.wanted):
            return
        version = self._plane.metadata(request.model, request.version)[0]
        contract = version.contract
        # Rows of a window make one row for the model.
        rows = 1 if self._plane.state.lanes[version.digest].windows is not None else _rows(request, contract)
        chosen = wanted_of(request.wanted, contract)
        for (spec, _), wanted in zip(chosen, request.wanted, strict=True):
            shape = (rows, *spec.shape[1:]) if spec.batched else spec.shape
            if wanted.region is not None and spec.datatype != BYTES and min(shape, default=0) >= 0:
                _require_fit(wanted.name, wanted.region, spec.datatype, shape)


def _rows(request: InferenceRequest, contract: Contract) -> int:
    for tensor in request.inputs:
        spec = contract.input(tensor.name)
        if spec is not None and spec.batched and tensor.shape:
            return tensor.shape[0]
    return 1


def _require_fit(name: str, region: RegionUse, datatype: str, shape: tuple[int, ...]) -> None:
    needed = math.prod(shape) * (bfloat16.SIZE if datatype == "BF16" else NUMPY[datatype].itemsize)
    if needed > region.byte_size:
        raise no_room(name, region, needed)
