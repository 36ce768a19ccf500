"""Answer a stream of predictions in the order in which they were asked, with many in hand at once."""

from collections import deque
from collections.abc import Sequence

from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DEFAULT_DEADLINE_S
from onecode_serving.domain.messages import InferenceReply, InferenceRequest
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.oip.calls import Stream, StreamCall
from onecode_serving.oip.convert import message_of, raw_field, reply_head, request_of, varint
from onecode_serving.oip.plans import StreamPlans
from onecode_serving.oip.service import OipService
from onecode_serving.oip.submission import Ticket
from onecode_serving.oip.wire import parsed, pb

__all__ = ["InferStream", "Stream"]

FINAL = "triton_enable_empty_final_response"
ENDS_AT_ERROR = "triton_grpc_error"
"""Metadata of a stream whose first error ends it with the real status."""

_HIGH_BYTES = 256 << 10
"""Answers that wait for the caller; above, no more requests are begun."""

_REPLY_TAG = b"\x12"
_ID_TAG = b"\x1a"


class InferStream:
    """One ``ModelStreamInfer`` call; on the loop's thread only.

    Each request has a number; answers are sent in the order of numbers. A bad request is answered by a message with its
    error, and the stream goes on, unless the caller wants the first error to end it.

    Args:
        service: Answers.
        call: Whose stream.
    """

    def __init__(self, service: OipService, call: StreamCall) -> None:
        self._service = service
        self._call = call
        self._grant = call.grant
        self._unit = call.unit
        self._plans = StreamPlans(service.plane, service.plans)
        self._submit_raw = service.plane.submit_planned
        self._traces = service.traces
        self._now = service.clock.monotonic
        self._most = service.options.max_in_stream
        self._strict = call.metadata.get(ENDS_AT_ERROR, "").lower() == "true"
        self._waiting: deque[bytes] = deque()
        self._tickets: dict[int, Ticket] = {}
        self._ids: dict[int, bytes] = {}
        self._held: dict[int, tuple[Grant, str]] = {}
        self._ready: dict[int, bytes | OnecodeError] = {}
        self._number = 0
        self._next = 0
        self._closing = False
        self._paused = False
        self._going = False
        self._over = False

    def message(self, body: bytes) -> None:
        """Begin a request, or keep it while too many are in hand."""
        if self._over:
            return
        if self._waiting or self._number - self._next >= self._most or self._call.pending() > _HIGH_BYTES:
            self._waiting.append(body)
            self._pause()
        else:
            self._begin(body)

    def half_close(self) -> None:
        """End when everything is answered."""
        self._closing = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Drop what has not run."""
        self._over = True
        for ticket in self._tickets.values():
            ticket.cancel()
        for grant, model in self._held.values():
            grant.give(model)
        for kept in (self._tickets, self._held, self._waiting, self._ready, self._ids):
            kept.clear()

    def resume(self) -> None:
        """Go on after the caller took what was sent."""
        self._go_on()

    def answered(self, key: int, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> None:
        """Take the answer of a planned request."""
        if self._tickets.pop(key, None) is None:
            return
        data = _encoded(self._ids.pop(key, b"") if self._ids else b"", plan, target, shapes, raws)
        if key != self._next or self._held or self._ready or self._waiting or self._paused or self._closing:
            self._done(key, data)
        else:
            # The usual case: in order, and nobody waits for its end.
            self._next = key + 1
            self._call.send(data)

    def refused(self, key: int, error: OnecodeError) -> None:
        """Take the refusal of a planned request."""
        if key in self._tickets:
            self._fail(key, self._ids.pop(key, b"").decode(), error)

    def _begin(self, body: bytes) -> None:
        number = self._number
        self._number += 1
        now = self._now()
        request_id = b""
        try:
            planned = None if self._traces.active else self._plans.find(body)
            request_id = parsed(pb.ModelInferRequest, body).id.encode() if planned is None else planned[1]
            if self._grant is not None and self._grant.until <= now:
                self._grant = self._call.admitted(now)
            if planned is not None:
                self._submit_planned(number, planned, body, now)
                return
            request = request_of(body, self._unit, self._service.plane.deadline(None))
            self._submit(number, request)
        except OnecodeError as error:
            self._fail(number, request_id.decode(), error)

    def _submit(self, number: int, request: InferenceRequest) -> None:
        final = request.parameters.get(FINAL) is True

        def told(outcome: InferenceReply | OnecodeError) -> None:
            if number not in self._tickets:
                return
            if isinstance(outcome, OnecodeError):
                self._fail(number, request.request_id, outcome)
            else:
                message = pb.ModelStreamInferResponse(infer_response=message_of(outcome, final=final))
                self._done(number, message.SerializeToString())

        self._tickets[number] = self._service.submit(request, self._grant, told)

    def _submit_planned(self, number: int, planned: tuple[Plan, bytes, int], body: bytes, now: float) -> None:
        plan, request_id, start = planned
        grant = self._grant
        if grant is not None and not grant.free:
            grant.check("infer", plan.request.model)
            grant.take(plan.request.model, now)
            self._held[number] = (grant, plan.request.model)
        if request_id:
            self._ids[number] = request_id
        self._tickets[number] = self._submit_raw(
            plan, body[start:], now + DEFAULT_DEADLINE_S, self._unit, self, number, now
        )

    def _fail(self, number: int, request_id: str, error: OnecodeError) -> None:
        if self._strict:
            self._done(number, error)
            return
        message = pb.ModelStreamInferResponse(error_message=error.message.encode("utf-8", "backslashreplace").decode())
        message.infer_response.id = request_id
        self._done(number, message.SerializeToString())

    def _done(self, number: int, outcome: bytes | OnecodeError) -> None:
        self._tickets.pop(number, None)
        self._ids.pop(number, None)
        held = self._held.pop(number, None)
        if held is not None:
            held[0].give(held[1])
        self._ready[number] = outcome
        while not self._over and self._next in self._ready:
            outcome = self._ready.pop(self._next)
            self._next += 1
            if isinstance(outcome, OnecodeError):
                self.cancelled()
                self._call.finish(outcome)
            else:
                self._call.send(outcome)
        self._go_on()

    def _go_on(self) -> None:
        # A bad request is answered while it is begun, which comes back here: the first of these calls does the work.
        if self._going:
            return
        self._going = True
        while self._waiting and not self._over and not self._full():
            self._begin(self._waiting.popleft())
        self._going = False
        if self._paused and not self._waiting and not self._full():
            self._paused = False
            self._call.unpause()
        self._end_if_done()

    def _full(self) -> bool:
        return self._number - self._next >= self._most or self._call.pending() > _HIGH_BYTES

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._call.pause()

    def _end_if_done(self) -> None:
        if self._closing and not self._over and not self._waiting and self._next == self._number:
            self._over = True
            self._call.finish()


def _encoded(request_id: bytes, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> bytes:
    """Return the message of a planned answer.

    For equal shapes and an id of equal length everything but the id and the numbers is the same for ever.
    """
    note = plan.notes.get((target, len(request_id)))
    if note is None or note[0] != shapes:
        note = plan.notes[target, len(request_id)] = (shapes, *_parts(len(request_id), plan, target, shapes, raws))
    _, before, after = note
    if len(after) == 1:
        return b"".join((before, request_id, after[0], raws[0]))
    return b"".join([before, request_id, *(piece for pair in zip(after, raws, strict=True) for piece in pair)])


def _parts(
    id_size: int, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]
) -> tuple[bytes, tuple[bytes, ...]]:
    """Return what stands before the id, and what stands before each output's bytes."""
    outputs = [(spec.name, spec.datatype, shape) for spec, shape in zip(plan.wanted, shapes, strict=True)]
    version = target.version
    final = plan.request.parameters.get(FINAL) is True
    head = reply_head(
        version.model, version.version, target.digest, target.release, target.role, outputs, final=final
    ) + (_ID_TAG + varint(id_size) if id_size else b"")
    fields = tuple(raw_field(len(raw)) for raw in raws)
    size = len(head) + id_size + sum(map(len, fields)) + sum(map(len, raws))
    return _REPLY_TAG + varint(size) + head, fields
