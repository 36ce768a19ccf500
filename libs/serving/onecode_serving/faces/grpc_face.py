"""Speak the Open Inference Protocol over gRPC."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from onecode.oip.v2 import open_inference_pb2 as pb
from onecode_common.errors import OnecodeError
from onecode_common.rpc.server import bind
from onecode_common.rpc.status import abort
from onecode_serving.data_plane import DEADLINE, DataPlane
from onecode_serving.faces.access import Access
from onecode_serving.faces.grpc_convert import metadata_to_wire, parsed, reply_to_wire, request_from_wire
from onecode_serving.faces.server_facts import EXTENSIONS, MAX_MESSAGE, SERVER_NAME, server_version

_log = logging.getLogger(__name__)
_SERVICE = "inference.GRPCInferenceService"
_WORKERS = 16
_STREAMS = 64
_NO_DEADLINE_S = 1e8

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


class GrpcFace:
    """The gRPC listener, as a part of a program.

    Args:
        plane: Answers.
        access: Lets in.
        address: host:port; port 0 picks a free one, see :attr:`port`.
        reuse_port: Share the port with another process of the same user, for a switch without a gap.
        grace_s: How long :meth:`stop` lets calls in hand finish.
        max_message: Bytes of a request.
    """

    name = "grpc"

    def __init__(
        self,
        plane: DataPlane,
        access: Access,
        address: str,
        *,
        reuse_port: bool = True,
        grace_s: float = 5.0,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._address = address
        self._grace_s = grace_s
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="oip-grpc"),
            handlers=[_Handlers(plane, access)],
            maximum_concurrent_rpcs=_WORKERS * _STREAMS,
            options=[
                ("grpc.max_receive_message_length", max_message),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.so_reuseport", int(reuse_port)),
                # Honest clients ping while they wait.
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        self.port = 0

    def start(self) -> None:
        """Listen.

        Raises:
            ConflictError: The port is taken.
        """
        self.port = bind(self._server, self._address)
        self._server.start()

    def stop(self) -> None:
        """Take no new calls and finish those in hand."""
        self._server.stop(self._grace_s).wait()

    def ready(self) -> str | None:
        """Return why it does not listen, or None."""
        return None if self.port else "not listening"


class _Handlers(grpc.GenericRpcHandler):
    """Finds the method once per name; whatever is not here is unimplemented."""

    def __init__(self, plane: DataPlane, access: Access) -> None:
        servicer = _Servicer(plane)
        everybody = {"ServerLive": servicer.ServerLive, "ServerReady": servicer.ServerReady}
        known = {
            "ServerMetadata": servicer.ServerMetadata,
            "ModelReady": servicer.ModelReady,
            "ModelMetadata": servicer.ModelMetadata,
            "ModelInfer": servicer.ModelInfer,
        }
        self._handlers = {
            **{f"/{_SERVICE}/{name}": _guarded(answer, None) for name, answer in everybody.items()},
            **{f"/{_SERVICE}/{name}": _guarded(answer, access) for name, answer in known.items()},
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handlers.get(handler_call_details.method)


class _Servicer:
    """The wire face of :class:`~onecode_serving.data_plane.DataPlane`."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._version = server_version()

    def ServerLive(self, _body: bytes, _context: grpc.ServicerContext) -> bytes:
        return pb.ServerLiveResponse(live=True).SerializeToString()

    def ServerReady(self, _body: bytes, _context: grpc.ServicerContext) -> bytes:
        return pb.ServerReadyResponse(ready=self._plane.ready() is None).SerializeToString()

    def ServerMetadata(self, _body: bytes, _context: grpc.ServicerContext) -> bytes:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=self._version, extensions=EXTENSIONS
        ).SerializeToString()

    def ModelReady(self, body: bytes, _context: grpc.ServicerContext) -> bytes:
        message = parsed(pb.ModelReadyRequest, body)
        ready = self._plane.model_ready(message.name, message.version)
        return pb.ModelReadyResponse(ready=ready).SerializeToString()

    def ModelMetadata(self, body: bytes, _context: grpc.ServicerContext) -> bytes:
        message = parsed(pb.ModelMetadataRequest, body)
        return metadata_to_wire(*self._plane.metadata(message.name, message.version))

    def ModelInfer(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        unit = _metadata(context, "x-onecode-unit")
        deadline = self._plane.deadline(_remaining_s(context))
        return reply_to_wire(self._plane.infer(request_from_wire(body, unit, deadline)))


def _guarded(answer: Answer, access: Access | None) -> "grpc.RpcMethodHandler[bytes, bytes]":
    def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            if access is not None:
                access.check(_metadata(context, "authorization"))
            return answer(body, context)
        except OnecodeError as error:
            failure = error
        except Exception:  # noqa: BLE001 - the outermost frame of a call: nothing of it may reach the peer.
            _log.exception("a call failed")
            failure = OnecodeError("the server failed on this call: see its log")
        if failure.code == DEADLINE:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, failure.message)
        abort(context, failure)
        return b""

    return grpc.unary_unary_rpc_method_handler(handle)


def _remaining_s(context: grpc.ServicerContext) -> float | None:
    remaining = context.time_remaining()
    # Without a deadline grpcio tells of one in the far future.
    return None if remaining is None or remaining > _NO_DEADLINE_S else remaining


def _metadata(context: grpc.ServicerContext, name: str) -> str | None:
    for key, value in context.invocation_metadata():
        if key == name and isinstance(value, str):
            return value
    return None
