"""Answer the requests that one HTTP/1 connection brings."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from onecode_common.errors import OnecodeError
from onecode_serving.access.access import Access
from onecode_serving.access.grant import Grant
from onecode_serving.domain.messages import InferenceReply, InferenceRequest
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.http1.answers import Answer
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.http1.head import Head
from onecode_serving.oip.service import OipService
from onecode_serving.oip.submission import Ticket
from onecode_serving.rest.body import Form
from onecode_serving.rest.control import Control
from onecode_serving.rest.encoding import COMPRESS_FROM, deflated, inflated, too_large
from onecode_serving.rest.errors import error_answer
from onecode_serving.rest.offload import INLINE_BYTES, Offload, attempted
from onecode_serving.rest.planned import Planned, Plans
from onecode_serving.rest.reading import read_request
from onecode_serving.rest.reply import Reply, infer_reply
from onecode_serving.rest.route import RestRoute

T = TypeVar("T")

_log = logging.getLogger(__name__)
_FAULT = "the server met a fault of its own; it is in its log"
_LENGTH = b"Content-Length: "


class RestApp:
    """The requests of one connection, one at a time; on the loop's thread only.

    Args:
        service: Answers inferences that need a look of their own.
        control: Answers everything else.
        plans: Shared by all connections.
        access: Lets in.
        certificate: Name in the caller's verified certificate, if it showed one.
        touch: Tells the connection that there is something to write.
        max_message: Bytes of a body, before and after decompression.
        offload: Where slow work goes; None: it stays on the loop.
        clock: Monotonic seconds, the data plane's.

    Attributes:
        engine: Set by whoever made both.
    """

    engine: Http1Engine[RestRoute]

    def __init__(
        self,
        service: OipService,
        control: Control,
        plans: Plans,
        access: Access,
        certificate: str | None,
        touch: Callable[[], None],
        max_message: int,
        offload: Offload | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._plane = service.plane
        self._control = control
        self._plans = plans
        self._access = access
        self._certificate = certificate
        self._touch = touch
        self._max_message = max_message
        self._offload = offload
        self._clock = clock
        # Of the request in hand:
        self._key = 0
        self._route: RestRoute | None = None
        self._planned: Planned | None = None
        self._cut = b""
        self._grant: Grant | None = None
        self._ticket: Ticket | None = None
        self._held: tuple[Grant, str] | None = None

    def head(self, head: Head) -> RestRoute:
        """Understand a head; who asks is asked when the request is whole, for that changes with time."""
        return RestRoute(head, self._max_message)

    def carrying(self, route: RestRoute, traceparent: bytes) -> RestRoute:
        """Return the same route: nobody is told of traces here."""
        del traceparent
        return route

    def begin(self, route: RestRoute) -> Answer | None:
        """Refuse before the body is kept: a stranger, a path that is not there, a method that is not answered."""
        try:
            self._admitted(route, self._clock())
        except OnecodeError as error:
            return error_answer(error)
        return None if route.refusal is None else error_answer(route.refusal)

    def too_large(self, route: RestRoute) -> Answer:
        """Refuse a body beyond the limit."""
        return error_answer(too_large(route.max_body))

    def whole(self, key: int, route: RestRoute, body: bytes) -> None:
        """Answer a request, now or later."""
        self._key = key
        self._route = route
        try:
            now = self._clock()
            grant = self._admitted(route, now)
            if route.refusal is not None:
                self.refused(key, route.refusal)
            elif route.infer:
                self._infer(key, route, body, grant, now)
            else:
                self._ask(key, route, body, grant)
        except OnecodeError as error:
            self.refused(key, error)
        except Exception:  # noqa: BLE001 - a fault of ours ends one request, not the connection
            _log.exception("a request failed")
            self.refused(key, OnecodeError(_FAULT, code="http.fault"))

    def answered(self, key: int, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> None:
        """Write the answer of a planned inference."""
        del plan
        planned, route = self._planned, self._route
        if key != self._key or planned is None or route is None:
            return
        try:
            head, parts = planned.answer(target, shapes, raws, self._cut)
        except OnecodeError as error:
            self.refused(key, error)
            return
        if route.accepts:
            self._send(key, route, head, parts)
            return
        if self._held is not None:
            self._give()
        self._key = 0
        self.engine.answer(key, head, *parts)
        self._touch()

    def refused(self, key: int, error: OnecodeError) -> None:
        """Write a refusal."""
        if key != self._key:
            return
        answer = error_answer(error)
        self._close(key, answer.head, (answer.body,))

    def gone(self, key: int) -> None:
        """Forget the request in hand; what has not run does not run."""
        if key != self._key:
            return
        self._key = 0
        if self._held is not None:
            self._give()
        if self._ticket is not None:
            self._ticket.cancel()
            self._ticket = None

    def wrote(self) -> None:
        """Have the connection written."""
        self._touch()

    def _admitted(self, route: RestRoute, now: float) -> Grant | None:
        """Return what the caller may do; None where nobody is asked."""
        grant = route.grant
        if grant is not None and grant.until > now:
            return grant
        if route.verb == "health":
            return None
        grant = route.grant = self._access.admit(route.authorization, self._certificate, now)
        return grant

    # -- inferences --

    def _infer(self, key: int, route: RestRoute, body: bytes, grant: Grant | None, now: float) -> None:
        # A request like an earlier one passes through here and nothing else.
        deadline = now + route.limit_s
        if grant is not None and not grant.free:
            grant.check("infer", route.model)
        if not route.encoding and len(body) <= INLINE_BYTES and not self._service.traces.active:
            found = self._plans.find(route.model, route.version, body, route.json_length)
            if found is not None:
                planned, raw, self._cut = found
                if grant is not None and not grant.free:
                    grant.take(route.model, now)
                    self._held = (grant, route.model)
                self._planned = planned
                self._ticket = self._plane.submit_planned(planned.plan, raw, deadline, route.unit, self, key, now)
                return
        self._planned = None
        self._grant = grant
        self._work(
            len(body),
            lambda: read_request(self._plane, route, body, deadline, self._max_message),
            lambda read: self._submit(key, read),
        )

    def _submit(self, key: int, read: tuple[InferenceRequest, Form] | OnecodeError) -> None:
        if key != self._key:
            return
        if isinstance(read, OnecodeError):
            self._fail(key, read)
            return
        request, form = read
        ticket = attempted(
            lambda: self._service.submit(request, self._grant, lambda reply: self._inferred(key, form, reply))
        )
        if isinstance(ticket, OnecodeError):
            self._fail(key, ticket)
        else:
            self._ticket = ticket

    def _inferred(self, key: int, form: Form, reply: InferenceReply | OnecodeError) -> None:
        if key != self._key:
            return
        if isinstance(reply, OnecodeError):
            self._fail(key, reply)
            return
        size = sum([output.array.nbytes for output in reply.outputs])
        self._work(size, lambda: infer_reply(reply, form), lambda written: self._reply(key, written))

    # -- everything else --

    def _ask(self, key: int, route: RestRoute, body: bytes, grant: Grant | None) -> None:
        plain = inflated(body, route.encoding, self._max_message)
        reply = self._control.answer(route, plain, grant, lambda later: self._reply(key, later))
        if reply is not None:
            self._reply(key, reply)

    # -- answers --

    def _work(self, size: int, work: Callable[[], T], done: Callable[[T | OnecodeError], None]) -> None:
        """Do work that grows with this many bytes: here, or in a thread where that pays."""
        if self._offload is not None and size > INLINE_BYTES:
            self._offload.run(work, done)
        else:
            done(attempted(work))

    def _reply(self, key: int, reply: Reply | OnecodeError) -> None:
        route = self._route
        if key != self._key or route is None:
            return
        if isinstance(reply, OnecodeError):
            self._fail(key, reply)
            return
        head = reply.head(sum(map(len, reply.parts)))
        if route.infer:
            self._send(key, route, head, reply.parts)
        else:
            # A stock client's library says that it takes gzip, and the client then reads other answers as they come.
            self._close(key, head, reply.parts)

    def _send(self, key: int, route: RestRoute, head: bytes, parts: Sequence[bytes]) -> None:
        """Answer, compressed if the caller wants that and it pays."""
        size = sum(map(len, parts))
        encoding = route.accepts
        if not encoding or size < COMPRESS_FROM:
            self._close(key, head, parts)
            return
        self._work(
            size, lambda: deflated(b"".join(parts), encoding), lambda body: self._compressed(key, head, encoding, body)
        )

    def _compressed(self, key: int, head: bytes, encoding: str, body: bytes | OnecodeError) -> None:
        if isinstance(body, OnecodeError):
            self._fail(key, body)
            return
        # The length is the last field of every head that is written here.
        start = head[: head.rindex(_LENGTH)]
        fields = b"Content-Encoding: %b\r\nVary: Accept-Encoding\r\n" % encoding.encode()
        self._close(key, b"%b%b%b%d\r\n" % (start, fields, _LENGTH, len(body)), (body,))

    def _fail(self, key: int, error: OnecodeError) -> None:
        if error.__cause__ is not None and error.code == "http.fault":
            _log.error("a request failed", exc_info=error.__cause__)
        self.refused(key, error)

    def _close(self, key: int, head: bytes, parts: Sequence[bytes]) -> None:
        if key != self._key:
            return
        if self._held is not None:
            self._give()
        self._key = 0
        self._ticket = None
        self.engine.answer(key, head, *parts)
        self._touch()

    def _give(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held[0].give(held[1])
