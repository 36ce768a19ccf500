"""Answer gRPC calls that one HTTP/2 connection brings."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from onecode_common.errors import OnecodeError, UnavailableError
from onecode_serving.access.access import Access
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DEADLINE, DataPlane
from onecode_serving.execution.job import Job, Plan, Shapes, Target
from onecode_serving.http2 import Http2Engine
from onecode_serving.oip.service import OipService
from onecode_serving.rpc.calls import StreamCall, UnaryCall
from onecode_serving.rpc.framing import PREFIX, only_message, too_large
from onecode_serving.rpc.heads import Head, Heads
from onecode_serving.rpc.predictions import encoded_head
from onecode_serving.rpc.status import DONE, HEAD, failed

_log = logging.getLogger(__name__)
_SURPRISE = "the server met a fault of its own; it is in its log"


class Open(Protocol):
    """What is open on a stream."""

    deadline: float

    def cancel(self) -> None:
        """Forget it."""
        ...


class RpcApp:
    """The calls of one connection; on the loop's thread only.

    Args:
        service: Answers everything but predictions that go the short way.
        plane: Answers those.
        access: Lets in.
        certificate: Name in the caller's verified certificate, if it showed one.
        touch: Tells the connection that there is something to write.
        max_message: Bytes of one message.

    Attributes:
        engine: Set by whoever made both.
    """

    engine: Http2Engine

    def __init__(
        self,
        service: OipService,
        plane: DataPlane,
        access: Access,
        certificate: str | None,
        touch: Callable[[], None],
        max_message: int,
    ) -> None:
        self._service = service
        self._plane = plane
        self._plans = service.plans
        self._traces = service.traces
        self._exact = service.plans.exact
        self._access = access
        self._heads = Heads(access, certificate, max_message)
        self._max_message = max_message
        self._open: dict[int, Open] = {}
        self._held: dict[int, tuple[Grant, str]] = {}
        self._ids: dict[int, bytes] = {}
        self._tail = 0
        self.touch = touch

    def head(self, headers: list[tuple[bytes, bytes]]) -> Head:
        """Decide a call by its headers."""
        return self._heads.head(headers, time.monotonic())

    def admitted(self, route: Head, now: float) -> Grant | None:
        """Return what the caller may do now; None where nobody is asked.

        Raises:
            UnauthenticatedError: It is nobody any more.
        """
        grant = route.grant
        if grant is not None and grant.until <= now:
            grant = self._heads.renewed(route, now)
        return grant

    def carrying(self, route: Head, traceparent: bytes) -> Head:
        """Return the same head: nobody is told of traces here."""
        del traceparent
        return route

    def whole(self, stream: int, route: Head, body: bytes) -> None:
        """Answer a unary call."""
        # The longest-travelled lines of the server: a known prediction passes through here and nothing else.
        if route.infer and not self._traces.active:
            now = time.monotonic()
            grant = route.grant
            try:
                if grant is None or grant.until <= now:
                    grant = self.admitted(route, now)
                start = len(body) - self._tail
                plan = self._exact.get(body[:start])
                if plan is None or plan.generation != self._plane.generation:
                    plan, start = self._looked_up(stream, body)
                if plan is not None:
                    if grant is None or not grant.free:
                        self._take(stream, grant, plan.request.model, now)
                    raw = body[start:]
                    self._open[stream] = self._plane.submit_planned(
                        plan, raw, now + route.timeout_s, route.unit, self, stream, now
                    )
                    return
            except OnecodeError as error:
                # A server that has too much to do passes here more often than it answers.
                if self._held or self._ids:
                    self._forget(stream)
                self.engine.send(stream, trailers=failed(error))
                self.touch()
                return
        self._unary(stream, route, body)

    def answered(self, key: int, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> None:
        """Write the answer of a planned prediction."""
        if self._open.pop(key, None) is None:
            return
        if self._held:
            self._give(key)
        note = plan.notes.get(target)
        if note is None or note.shapes != shapes:
            note = plan.notes[target] = encoded_head(plan, target, shapes, raws)
        parts = note.parts
        if self._ids and key in self._ids:
            parts = [note.with_id(self._ids.pop(key)), *parts[1:]]
        if len(parts) == 1:
            data = parts[0] + raws[0]
        elif len(parts) == 2:  # noqa: PLR2004 - a label and its scores: half the price of what follows
            data = parts[0] + raws[0] + parts[1] + raws[1]
        else:
            data = b"".join([piece for pair in zip(parts, raws, strict=True) for piece in pair])
        self.engine.send(key, HEAD, data, DONE)
        self.touch()

    def refused(self, key: int, error: OnecodeError) -> None:
        """Write the refusal of a planned prediction."""
        self.refuse(key, error)

    def refuse(self, stream: int, error: OnecodeError) -> None:
        """Write the error of a call."""
        self.close(stream, b"", failed(error))

    def close(self, stream: int, block: bytes, trailers: bytes, data: bytes = b"") -> None:
        """Write the end of a call and let go of it."""
        self._open.pop(stream, None)
        self._forget(stream)
        self.engine.send(stream, block, data, trailers)
        self.touch()

    def opened(self, stream: int, route: Head) -> None:
        """Begin a stream."""
        method = route.method
        if method is None or method.stream is None:
            self._refuse_head(stream, route)
            return
        now = time.monotonic()
        call = StreamCall(self, stream, route, now + route.timeout_s, self._max_message)
        try:
            self.admitted(route, now)
            call.handler = method.stream(self._service, call)
        except OnecodeError as error:
            self.refuse(stream, error)
            return
        self._open[stream] = call

    def piece(self, stream: int, data: bytes) -> None:
        """Pass on what a stream brings."""
        call = self._open.get(stream)
        if isinstance(call, StreamCall):
            call.feed(data)

    def ended(self, stream: int) -> None:
        """Pass on that a stream brings nothing more."""
        call = self._open.get(stream)
        if isinstance(call, StreamCall):
            call.half_close()

    def too_large(self, stream: int, route: Head) -> None:
        """Refuse a body that grew beyond the limit."""
        if route.method is None:
            self._refuse_head(stream, route)
        else:
            self.refuse(stream, too_large(self._max_message))

    def gone(self, stream: int) -> None:
        """Forget a call whose caller went away; what has not run does not run."""
        self._forget(stream)
        call = self._open.pop(stream, None)
        if call is not None:
            call.cancel()

    def writable(self, stream: int) -> None:
        """Let a stream go on that waited for its caller to take what was sent."""
        call = self._open.get(stream)
        if isinstance(call, StreamCall) and call.handler is not None:
            call.handler.resume()

    def expire(self, now: float) -> None:
        """Refuse calls that are late; predictions in line look at their deadlines themselves."""
        if not self._open:
            return
        late = [stream for stream, call in self._open.items() if call.deadline <= now and not isinstance(call, Job)]
        for stream in late:
            call = self._open[stream]
            call.cancel()
            error = UnavailableError("the deadline passed: allow more time", code=DEADLINE)
            self.refuse(stream, error)

    def _unary(self, stream: int, route: Head, body: bytes) -> None:
        method = route.method
        if method is None or method.answer is None:
            self._refuse_head(stream, route)
            return
        now = time.monotonic()
        call = UnaryCall(self, stream, route, now + route.timeout_s)
        self._open[stream] = call
        try:
            self.admitted(route, now)
            message = only_message(body, route.encoding, self._max_message)
            reply = method.answer(self._service, message, call)
        except OnecodeError as error:
            self.refuse(stream, error)
        except Exception:  # noqa: BLE001 - a fault of ours ends one call, not the connection
            _log.exception("method %s failed", method.path.decode())
            self.refuse(stream, OnecodeError(_SURPRISE, code="rpc.fault"))
        else:
            if reply is not None:
                call.reply(reply)

    def _refuse_head(self, stream: int, route: Head) -> None:
        if route.refusal is not None:
            self.close(stream, b"", route.refusal)
        else:
            self.refuse(stream, route.error or OnecodeError(_SURPRISE, code="rpc.fault"))

    def _looked_up(self, stream: int, body: bytes) -> tuple[Plan | None, int]:
        if len(body) < PREFIX or body[0] or int.from_bytes(body[1:PREFIX], "big") != len(body) - PREFIX:
            return None, 0
        found = self._plans.find(body[PREFIX:])
        if found is None:
            return None, 0
        start = found.start + PREFIX
        self._tail = len(body) - start
        if found.request_id:
            self._ids[stream] = found.request_id
        else:
            self._plans.remember(body[:start], found.plan)
        return found.plan, start

    def _take(self, stream: int, grant: Grant | None, model: str, now: float) -> None:
        if grant is None:
            return
        grant.check("infer", model)
        grant.take(model, now)
        self._held[stream] = (grant, model)

    def _forget(self, stream: int) -> None:
        if self._ids:
            self._ids.pop(stream, None)
        if self._held:
            self._give(stream)

    def _give(self, stream: int) -> None:
        held = self._held.pop(stream, None)
        if held is not None:
            held[0].give(held[1])
