"""Answer gRPC calls: a method without a rule stops the start, a caller without a right stops at the door."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from prometheus_client import Counter

from onecode_common.addresses import split_address
from onecode_common.errors import ConflictError, DeniedError, InvalidError, OnecodeError, UnauthenticatedError
from onecode_common.rpc.context import Caller, set_caller
from onecode_common.rpc.status import abort
from onecode_common.tokens import CALLER, INSIDE_AUDIENCE, PRINCIPAL, TokenVerifier, audience

_log = logging.getLogger(__name__)
_calls = Counter("onecode_rpc_calls_total", "Calls answered.", ["method", "outcome"])
_MAX_MESSAGE = 16 << 20
_WORKERS = 24
_GRACE_S = 3.0

PRINCIPAL_HEADER = "x-onecode-principal"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method.

    Attributes:
        callers: Names of services; nobody else gets in.
        needs_principal: The call must carry a person or key, signed by the console.
    """

    callers: frozenset[str]
    needs_principal: bool = False

    @classmethod
    def of(cls, *callers: str, needs_principal: bool = False) -> "Rule":
        """Return a rule for these services."""
        return cls(frozenset(callers), needs_principal)


class GrpcServer:
    """The listener of one service, as a part of its program.

    Args:
        service: Own name; the audience that tokens must carry.
        address: host:port; port 0 picks a free one, see :attr:`port`.
        verifier: Checks tokens.
        rules: By full method name ``/onecode.x.v1.XService/Method``.
    """

    name = "grpc"

    def __init__(self, service: str, address: str, verifier: TokenVerifier, rules: Mapping[str, Rule]) -> None:
        split_address(address)
        self._rules = rules
        self._gate = _Gate(service, verifier, rules)
        self.server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="rpc"),
            interceptors=[self._gate],
            maximum_concurrent_rpcs=256,
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE),
                ("grpc.max_concurrent_streams", 64),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._address = address
        self.port = 0

    def start(self) -> None:
        """Listen.

        Raises:
            InvalidError: A registered method has no rule.
            ConflictError: The port is taken.
        """
        self._require_rules()
        self.port = bind(self.server, self._address)
        self.server.start()

    def stop(self) -> None:
        """Finish the calls in hand, at most three seconds."""
        self.server.stop(_GRACE_S).wait()

    def ready(self) -> str | None:
        """Return why it does not listen, or None."""
        return None if self.port else "not listening"

    def _require_rules(self) -> None:
        registered = set()
        # grpcio keeps registered handlers private; the generated code registers them under their full names.
        for handler in self.server._state.generic_handlers:  # type: ignore[attr-defined]  # noqa: SLF001
            registered |= set(handler._method_handlers)  # noqa: SLF001
        missing = sorted(registered - set(self._rules))
        if missing:
            message = f"method {missing[0]} has no rule: say who may call it"
            raise InvalidError(message, code="rpc.no_rule")


def bind(server: grpc.Server, address: str) -> int:
    """Bind a port and return its number.

    Raises:
        ConflictError: It is taken.
    """
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        message = f"cannot listen on {address}: the port is taken or the address is not ours"
        raise ConflictError(message, code="port.taken", params={"address": address}) from error
    if port == 0:
        message = f"cannot listen on {address}: the port is taken"
        raise ConflictError(message, code="port.taken", params={"address": address})
    return port


class _Gate(grpc.ServerInterceptor):
    """Authenticates, authorises, parses, and turns our errors into status."""

    def __init__(self, service: str, verifier: TokenVerifier, rules: Mapping[str, Rule]) -> None:
        self._service = service
        self._verifier = verifier
        self._rules = rules

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        rule = self._rules.get(method)
        if handler is None or rule is None:
            return handler if handler is None else _refusing(method)
        if handler.response_streaming:

            def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[Message]:
                try:
                    yield from handler.unary_stream(self._enter(method, rule, handler, request, context), context)
                    _calls.labels(method, "ok").inc()
                except OnecodeError as error:
                    _calls.labels(method, error.kind).inc()
                    abort(context, error)

            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=handler.response_serializer)

        def unary(request: bytes, context: grpc.ServicerContext) -> Message | None:
            try:
                reply: Message = handler.unary_unary(self._enter(method, rule, handler, request, context), context)
            except OnecodeError as error:
                _calls.labels(method, error.kind).inc()
                abort(context, error)
                return None
            except Exception as error:  # The outermost frame of a call: nothing of it may reach the peer.
                if isinstance(error, grpc.RpcError) or not str(error):
                    raise
                _log.exception("%s failed", method)
                _calls.labels(method, "internal").inc()
                abort(context, OnecodeError("the service failed on this call: see its log"))
                return None
            _calls.labels(method, "ok").inc()
            return reply

        return grpc.unary_unary_rpc_method_handler(unary, response_serializer=handler.response_serializer)

    def _enter(
        self,
        method: str,
        rule: Rule,
        handler: Any,
        request: bytes,
        context: grpc.ServicerContext,
    ) -> Message:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        set_caller(self._authorised(method, rule, metadata))
        try:
            message: Message = handler.request_deserializer(request)
        except DecodeError as error:
            text = f"the request of {method} cannot be parsed"
            raise InvalidError(text, code="rpc.undecodable") from error
        return message

    def _authorised(self, method: str, rule: Rule, metadata: Mapping[str, str]) -> Caller:
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            message = "the call carries no caller token: send authorization: Bearer <token>"
            raise UnauthenticatedError(message, code="auth.missing")
        claims = self._verifier.verify(token, CALLER, audience(self._service))
        if claims.issuer not in rule.callers or claims.subject != audience(claims.issuer):
            message = f"{claims.issuer} may not call {method}"
            raise DeniedError(message, code="auth.caller", params={"caller": claims.issuer, "method": method})
        principal = metadata.get(PRINCIPAL_HEADER, "")
        if principal:
            person = self._verifier.verify(principal, PRINCIPAL, INSIDE_AUDIENCE)
            if person.issuer != "console":
                message = f"{person.issuer} may not speak for people"
                raise DeniedError(message, code="auth.principal")
            return Caller(claims.issuer, person.subject)
        if rule.needs_principal:
            message = f"{method} needs the person or key on whose behalf it is called"
            raise DeniedError(message, code="auth.principal_missing")
        return Caller(claims.issuer, f"service:{claims.issuer}")


def _refusing(method: str) -> Any:
    def refuse(_request: bytes, context: grpc.ServicerContext) -> None:
        abort(context, DeniedError(f"{method} has no rule", code="rpc.no_rule"))

    return grpc.unary_unary_rpc_method_handler(refuse)
