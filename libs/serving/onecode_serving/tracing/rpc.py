"""Follow the predictions of one HTTP/2 connection: whose request is being passed on, and what is refused."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from onecode_common.errors import OnecodeError
from onecode_serving.domain.spans import GRPC, rpc_face
from onecode_serving.oip.calls import Method, Stream, StreamCall
from onecode_serving.oip.methods import METHODS
from onecode_serving.oip.service import OipService
from onecode_serving.oip.stream import InferStream
from onecode_serving.rpc import status
from onecode_serving.rpc.heads import Head
from onecode_serving.rpc.server import RpcApp
from onecode_serving.tracing.origin import Origin
from onecode_serving.tracing.recorder import Recorder

_NAMES: Mapping[int, str] = MappingProxyType(
    {number: name for name, number in vars(status).items() if name.isupper() and isinstance(number, int)}
)


def status_name(error: OnecodeError) -> str:
    """Return the name of an error's gRPC status, ``DEADLINE_EXCEEDED``."""
    return _NAMES.get(status.status_of(error), "UNKNOWN")


class FollowedMethods(NamedTuple):
    """The methods that are followed.

    Attributes:
        origins: Of requests without a traceparent, by path.
        stream: Opens streams that are followed.
        stream_path: Its path.
    """

    origins: Mapping[bytes, Origin]
    stream: Method
    stream_path: bytes


def followed_methods(recorder: Recorder) -> FollowedMethods:
    """Return what all connections of a server share."""

    def opener(service: OipService, call: StreamCall) -> Stream:
        return TracedInferStream(service, call, recorder)

    names = ("ModelInfer", "ModelStreamInfer")
    origins = {(GRPC + name).encode(): Origin(recorder, rpc_face(name), status_name) for name in names}
    path = (GRPC + names[1]).encode()
    return FollowedMethods(origins, replace(METHODS[path], stream=opener), path)


class _CarriedHead(Head):
    """What the engine needs of a head, the head that it shares with requests like it, and its own origin."""

    __slots__ = ("head", "origin")

    def __init__(self, head: Head, origin: Origin | None) -> None:
        self.streaming = head.streaming
        self.max_body = head.max_body
        self.cacheable = head.cacheable
        self.head = head
        self.origin = origin


class TracedRpcApp(RpcApp):
    """The calls of one connection; on the loop's thread only.

    Args:
        recorder: Follows predictions.
        methods: Which.
        more: As of :class:`RpcApp`.
    """

    def __init__(self, recorder: Recorder, methods: FollowedMethods, *more: Any) -> None:
        super().__init__(*more)
        self._recorder = recorder
        self._methods = methods

    def head(self, headers: list[tuple[bytes, bytes]]) -> Head:
        """Decide a call by its headers, and note where it came from."""
        head = super().head(headers)
        fields = dict(headers)
        path = fields.get(b":path", b"")
        origin = self._methods.origins.get(path)
        if origin is not None and b"traceparent" in fields:
            origin = origin.carrying(fields[b"traceparent"].decode("ascii", "replace"))
        if head.method is not None and path == self._methods.stream_path:
            head.method = self._methods.stream
        return _CarriedHead(head, origin)

    def carrying(self, route: Head, traceparent: bytes) -> Head:
        """Return the same head with another origin."""
        route = cast("_CarriedHead", route)
        origin = None if route.origin is None else route.origin.carrying(traceparent.decode())
        return _CarriedHead(route.head, origin)

    def whole(self, stream: int, route: Head, body: bytes) -> None:
        """Answer a unary call."""
        route = cast("_CarriedHead", route)
        self._recorder.current = route.origin
        try:
            super().whole(stream, route.head, body)
        finally:
            self._recorder.current = None

    def opened(self, stream: int, route: Head) -> None:
        """Begin a stream."""
        route = cast("_CarriedHead", route)
        self._recorder.current = route.origin
        try:
            super().opened(stream, route.head)
        finally:
            self._recorder.current = None

    def too_large(self, stream: int, route: Head) -> None:
        """Refuse a body that grew beyond the limit."""
        route = cast("_CarriedHead", route)
        self._recorder.current = route.origin
        try:
            super().too_large(stream, route.head)
        finally:
            self._recorder.current = None

    def refuse(self, stream: int, error: OnecodeError) -> None:
        """Write the error of a call; one that was in line told of itself."""
        self._recorder.refused(error)
        super().refuse(stream, error)


class TracedInferStream(InferStream):
    """One ``ModelStreamInfer`` call whose predictions are followed, each for itself.

    Args:
        service: Answers.
        call: Whose stream.
        recorder: Follows; while the stream is opened, its current origin is that of the stream.
    """

    def __init__(self, service: OipService, call: StreamCall, recorder: Recorder) -> None:
        super().__init__(service, call)
        self._recorder = recorder
        self._origin = recorder.current

    def _begin(self, body: bytes) -> None:
        self._recorder.current = self._origin
        try:
            super()._begin(body)
        finally:
            self._recorder.current = None

    def _fail(self, number: int, request_id: str, error: OnecodeError) -> None:
        self._recorder.refused(error)
        super()._fail(number, request_id, error)
