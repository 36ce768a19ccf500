"""Ask over gRPC, with ``grpcio``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from onecode_client.oip_messages import Reply, infer_reply, infer_request, metadata_inputs, metadata_request
from onecode_client.tensors import Spec, Tensor
from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)

_SERVICE = "/inference.GRPCInferenceService/"
_OPTIONS = (("grpc.max_receive_message_length", 64 << 20), ("grpc.enable_http_proxy", 0))
_KINDS: Mapping[grpc.StatusCode, type[OnecodeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.UNIMPLEMENTED: PreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
}


class GrpcFace:
    """One channel.

    Args:
        address: ``host:port``.
        token: Bearer token; empty sends none.
        tls: Encrypt.
        authority_file: PEM certificates to trust instead of the system's.
    """

    def __init__(self, address: str, token: str, *, tls: bool, authority_file: Path | None) -> None:
        self._address = address
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        if tls:
            authorities = authority_file.read_bytes() if authority_file else None
            credentials = grpc.ssl_channel_credentials(root_certificates=authorities)
            self._channel = grpc.secure_channel(address, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, _OPTIONS)
        self._infer: Any = self._channel.unary_unary(f"{_SERVICE}ModelInfer")
        self._look: Any = self._channel.unary_unary(f"{_SERVICE}ModelMetadata")

    def inputs(self, model: str, version: str, timeout_s: float) -> list[Spec]:
        """Return what a model takes. Raises as :meth:`infer`."""
        return metadata_inputs(self._call(self._look, metadata_request(model, version), timeout_s))

    def infer(
        self, model: str, version: str, tensors: Sequence[Tensor], outputs: Sequence[str], unit: str, timeout_s: float
    ) -> Reply:
        """Return what it answers.

        Raises:
            OnecodeError: What the server refused with; UnavailableError if it did not answer in time.
        """
        return infer_reply(self._call(self._infer, infer_request(model, version, tensors, outputs, unit), timeout_s))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _call(self, method: Any, message: bytes, timeout_s: float) -> bytes:
        try:
            reply: bytes = method(message, timeout=timeout_s, metadata=self._metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            raise self._refusal(error) from error
        return reply

    def _refusal(self, error: Any) -> OnecodeError:
        code: grpc.StatusCode = error.code()
        text = str(error.details() or code.name.lower())
        params = {"server": self._address, "status": code.name}
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"{self._address} did not answer in time: {text}"
            hint = "allow more time with timeout_s, or look whether it listens there"
            return UnavailableError(message, code="client.timeout", hint=hint, params=params)
        return _KINDS.get(code, OnecodeError)(text, code=f"grpc.{code.name.lower()}", params=params)
