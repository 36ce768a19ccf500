"""Ask any server of the Open Inference Protocol: a gateway, the cloud, or somebody else's.

gRPC where ``grpcio`` is installed, else REST with binary tensors; both give the same bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from onecode_client.oip_messages import Reply
from onecode_client.tensors import Spec, Tensor, array_of, tensors_of
from onecode_common.errors import InvalidError

if TYPE_CHECKING:
    from onecode_client.tensors import Array

TIMEOUT_S = 5.0
_GRPC, _REST = ("grpc", "grpcs"), ("http", "https")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said.

    Attributes:
        outputs: Arrays by name, in the model's order.
        model: Its name.
        version: The protocol's version: the number of the release.
        digest: ``sha256:<hex>`` of the version that answered; empty from other servers than ours.
        release: Number of the release; 0 from other servers.
        arm: ``stable`` or ``candidate`` while a rollout runs.
    """

    outputs: "Mapping[str, Array]"
    model: str = ""
    version: str = ""
    digest: str = ""
    release: int = 0
    arm: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Face(Protocol):
    """One way to talk to a server."""

    def inputs(self, model: str, version: str, timeout_s: float) -> list[Spec]:
        """Return what a model takes."""
        ...

    def infer(
        self, model: str, version: str, tensors: Sequence[Tensor], outputs: Sequence[str], unit: str, timeout_s: float
    ) -> Reply:
        """Return what it answers."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class Predictor:
    """One server; safe to use from several threads.

    Args:
        address: ``host:port`` lets the client choose; ``grpc://``, ``grpcs://``, ``http://`` or ``https://`` in front
            of it decide (through a proxy that knows HTTP/1 only, say ``https://``).
        token: Bearer token; empty sends none.
        authority_file: PEM certificates to trust instead of the system's.

    Raises:
        InvalidError: The address is none.
    """

    def __init__(self, address: str, *, token: str = "", authority_file: Path | None = None) -> None:
        self._face = _face(address, token, authority_file)
        self._inputs: dict[tuple[str, str], list[Spec]] = {}

    def predict(
        self,
        model: str,
        data: Any,
        *,
        unit: str = "",
        version: str = "",
        outputs: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Return the outputs for some rows.

        Args:
            model: Name.
            data: A numpy array, a pandas frame, lists, mappings by column, or a mapping of input names to arrays; see
                :func:`onecode_client.tensors.tensors_of`.
            unit: Who asks, for a sticky assignment; empty lets the server draw.
            version: Number or digest of a version; empty lets the server choose.
            outputs: Names of the outputs that are wanted; none means all.
            timeout_s: After which it is too late, on the server too.

        Raises:
            InvalidError: The data does not fit the model.
            NotFoundError: There is no such model or version.
            UnauthenticatedError: The token is missing or not known there.
            ExhaustedError: The server has more to do than it can, or the caller more than it may.
            UnavailableError: No answer in time.
        """
        inputs = self._inputs.get((model, version))
        if inputs is None:
            inputs = self._inputs[model, version] = self._face.inputs(model, version, timeout_s)
        try:
            tensors = tensors_of(model, inputs, data)
            reply = self._face.infer(model, version, tensors, outputs, unit, timeout_s)
        except InvalidError:
            # Another version may take other inputs: ask again next time.
            self._inputs.pop((model, version), None)
            raise
        return _answer(reply)

    def close(self) -> None:
        """Close connections."""
        self._face.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _face(address: str, token: str, authority_file: Path | None) -> Face:
    scheme, separator, place = address.rpartition("://")
    place = place.rstrip("/")
    if not separator:
        scheme = "grpc" if find_spec("grpc") else "http"
    if scheme not in (*_GRPC, *_REST) or ":" not in place:
        message = f"address {address!r} is none: expected host:port, http://host:port or grpc://host:port"
        raise InvalidError(message, code="client.address", params={"address": address})
    if scheme in _GRPC:
        from onecode_client.oip_grpc import GrpcFace  # noqa: PLC0415 - grpcio is optional

        return GrpcFace(place, token, tls=scheme == "grpcs", authority_file=authority_file)
    from onecode_client.oip_rest import RestFace  # noqa: PLC0415 - the other one may be all that is needed

    return RestFace(f"{scheme}://{place}", token, authority_file)


def _answer(reply: Reply) -> Answer:
    parameters = reply.parameters
    return Answer(
        outputs={tensor.name: array_of(tensor) for tensor in reply.outputs},
        model=reply.model,
        version=reply.version,
        digest=str(parameters.get("onecode_model_digest", "")),
        release=int(parameters.get("onecode_release", 0) or 0),
        arm=str(parameters.get("onecode_arm", "")),
        parameters=parameters,
    )
