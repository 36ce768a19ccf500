"""Pack our errors into gRPC status details and unpack them again, in one place."""

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from onecode_common.errors import KINDS, InvalidError, OnecodeError, UnavailableError

_CODES: dict[str, int] = {
    "internal": code_pb2.INTERNAL,
    "invalid": code_pb2.INVALID_ARGUMENT,
    "unauthenticated": code_pb2.UNAUTHENTICATED,
    "denied": code_pb2.PERMISSION_DENIED,
    "not_found": code_pb2.NOT_FOUND,
    "conflict": code_pb2.ALREADY_EXISTS,
    "precondition": code_pb2.FAILED_PRECONDITION,
    "exhausted": code_pb2.RESOURCE_EXHAUSTED,
    "unavailable": code_pb2.UNAVAILABLE,
}
_HINT = "onecode-hint"


def pack(error: OnecodeError) -> status_pb2.Status:
    """Return the status that carries the error over the wire."""
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=error.kind, metadata=error.params)
    if error.hint:
        info.metadata[_HINT] = error.hint
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=_CODES[error.kind], message=error.message, details=[detail])


def abort(context: grpc.ServicerContext, error: OnecodeError) -> None:
    """End the call with the error; does not return."""
    context.abort_with_status(rpc_status.to_status(pack(error)))


def unpack(call: grpc.RpcError) -> OnecodeError:
    """Return the error that the other side raised, or what its status means to us."""
    answer: Any = call  # the errors of calls are calls as well, which grpc's types do not say
    status = rpc_status.from_call(answer) if hasattr(answer, "trailing_metadata") else None
    if status is not None:
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain in KINDS:
                params = dict(info.metadata)
                hint = params.pop(_HINT, "")
                return KINDS[info.domain](status.message, code=info.reason, hint=hint, params=params)
    code: grpc.StatusCode | None = answer.code() if hasattr(answer, "code") else None
    text = (answer.details() if hasattr(answer, "details") else None) or repr(call)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return InvalidError(text)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return UnavailableError(f"the service does not answer: {text}", code="service.unavailable")
    by_code = {number: kind for kind, number in _CODES.items()}
    kind = by_code.get(code.value[0], "internal") if code is not None else "internal"
    return KINDS[kind](text)
