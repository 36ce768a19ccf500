"""Translate between the protocol's gRPC messages and ours; no rule lives here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError

from onecode.oip.v2 import open_inference_pb2 as pb
from onecode_common.errors import InvalidError
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Parameter, Tensor
from onecode_serving.domain.tensors import encode_raw
from onecode_serving.domain.validation import wanted_output
from onecode_serving.faces.server_facts import PLATFORM
from onecode_serving.version import ServedVersion

_M = TypeVar("_M", pb.ModelInferRequest, pb.ModelMetadataRequest, pb.ModelReadyRequest)


def request_from_wire(body: bytes, unit: str | None, deadline: float) -> InferenceRequest:
    """Return the request.

    Raises:
        InvalidError: The bytes are no message, raw and typed contents are mixed, or their numbers differ.
    """
    message = parsed(pb.ModelInferRequest, body)
    return InferenceRequest(
        model=message.model_name,
        version=message.model_version,
        request_id=message.id,
        inputs=_inputs(message),
        wanted=tuple(wanted_output(item.name, _parameters(item.parameters)) for item in message.outputs),
        parameters=_parameters(message.parameters),
        unit=unit,
        deadline=deadline,
    )


def parsed(kind: type[_M], body: bytes) -> _M:
    """Return the message.

    Raises:
        InvalidError: The bytes are not one.
    """
    try:
        return kind.FromString(body)
    except DecodeError as error:
        text = f"the request cannot be parsed as inference.{kind.DESCRIPTOR.name}"
        raise InvalidError(text, code="rpc.undecodable") from error


def reply_to_wire(reply: InferenceReply) -> bytes:
    """Return the serialized answer, with raw contents only."""
    message = pb.ModelInferResponse(model_name=reply.model, model_version=reply.version, id=reply.request_id)
    message.parameters["onecode_model_digest"].string_param = reply.digest
    message.parameters["onecode_release"].int64_param = reply.release
    if reply.arm:
        message.parameters["onecode_arm"].string_param = reply.arm
    for output in reply.outputs:
        message.outputs.add(name=output.name, datatype=output.datatype, shape=output.array.shape)
        message.raw_output_contents.append(encode_raw(output.array, output.datatype))
    return message.SerializeToString()


def metadata_to_wire(version: ServedVersion, versions: Sequence[str]) -> bytes:
    """Return the serialized model metadata."""
    return pb.ModelMetadataResponse(
        name=version.model,
        versions=versions,
        platform=PLATFORM,
        inputs=_described(version.contract.inputs),
        outputs=_described(version.contract.outputs),
    ).SerializeToString()


def _described(specs: Iterable[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        for spec in specs
    ]


def _inputs(message: pb.ModelInferRequest) -> tuple[Tensor, ...]:
    raw = message.raw_input_contents
    if not raw:
        return tuple(_typed(item) for item in message.inputs)
    mixed = next((item.name for item in message.inputs if item.HasField("contents")), None)
    if mixed is not None:
        text = f"input {mixed[:80]!r} has typed contents beside raw_input_contents: send one form"
        raise InvalidError(text, code="input.contents", params={"field": mixed[:80]})
    if len(raw) != len(message.inputs):
        text = f"raw_input_contents: expected {len(message.inputs)}, one for each input, got {len(raw)}"
        params = {"field": "raw_input_contents", "expected": len(message.inputs), "got": len(raw)}
        raise InvalidError(text, code="input.contents", params=params)
    return tuple(
        Tensor(item.name, item.datatype, tuple(item.shape), raw=content)
        for item, content in zip(message.inputs, raw, strict=True)
    )


def _typed(item: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    filled = item.contents.ListFields() if item.HasField("contents") else []
    shape = tuple(item.shape)
    if not filled:
        return Tensor(item.name, item.datatype, shape)
    field, values = filled[0]
    return Tensor(item.name, item.datatype, shape, values=values, field=field.name, fields=len(filled))


def _parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    if not len(parameters):
        return {}
    values: dict[str, Parameter] = {}
    for name, item in parameters.items():
        choice = item.WhichOneof("parameter_choice")
        if choice is None:
            text = f"parameter {name[:80]!r} has no value"
            raise InvalidError(text, code="parameter.type", params={"field": name[:80]})
        values[name] = getattr(item, choice)
    return values
