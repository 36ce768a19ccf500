"""Translate between the protocol's inference messages and ours; no rule lives here."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence

from onecode_common.errors import InvalidError
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Parameter, RegionUse, Tensor
from onecode_serving.domain.tensors import encode_raw
from onecode_serving.domain.validation import region_of, wanted_output
from onecode_serving.oip.wire import parsed, pb

_ID_TAG = b"\x1a"
_RAW_TAG = b"\x32"
_MORE = 0x80
_FINAL = "triton_final_response"


def request_of(body: bytes, unit: str | None, deadline: float) -> InferenceRequest:
    """Return the request.

    Args:
        body: Serialized ``ModelInferRequest``.
        unit: What the call's metadata wants to be assigned by.
        deadline: On the data plane's monotonic clock.

    Raises:
        InvalidError: The bytes are no message, raw and typed contents are mixed, their numbers differ, or a parameter
            of a tensor is not what it should be.
    """
    message = parsed(pb.ModelInferRequest, body)
    return InferenceRequest(
        model=message.model_name,
        version=message.model_version,
        request_id=message.id,
        inputs=_inputs(message),
        wanted=tuple([wanted_output(item.name, _parameters(item.parameters)) for item in message.outputs]),
        parameters=_parameters(message.parameters),
        unit=unit,
        deadline=deadline,
    )


def reply_of(reply: InferenceReply, *, final: bool = False) -> bytes:
    """Return the serialized ``ModelInferResponse``, with raw contents only.

    Args:
        reply: The answer; outputs with a region are named and bring no bytes.
        final: Say that nothing more comes for this request, as callers of streams may ask.
    """
    return message_of(reply, final=final).SerializeToString()


def message_of(reply: InferenceReply, *, final: bool = False) -> pb.ModelInferResponse:
    """Return the answer as a message."""
    message = pb.ModelInferResponse(model_name=reply.model, model_version=reply.version, id=reply.request_id)
    _provenance(message, reply.digest, reply.release, reply.arm)
    if final:
        message.parameters[_FINAL].bool_param = True
    raw = message.raw_output_contents
    for place, output in enumerate(reply.outputs):
        entry = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.array.shape)
        if output.region is not None:
            _name_region(entry.parameters, output.region)
            continue
        # Stock clients find an output's bytes by its place among all outputs: an empty entry stands for each output
        # in shared memory that comes before one that is not.
        raw.extend([b""] * (place - len(raw)))
        raw.append(encode_raw(output.array, output.datatype))
    return message


def reply_head(
    model: str,
    version: str,
    digest: str,
    release: int,
    arm: str,
    outputs: Iterable[tuple[str, str, Sequence[int]]],
    *,
    final: bool = False,
) -> bytes:
    """Return everything of an answer that does not change from call to call: no id, no contents.

    Fields may come in any order on the wire, so an answer is this, :func:`id_field` and :func:`raw_field` for each
    output, joined.

    Args:
        model: Name.
        version: The one that answers.
        digest: Of that version.
        release: Its number.
        arm: Its role, empty for none.
        outputs: Name, datatype and full shape of each, in the wanted order.
        final: As in :func:`reply_of`.
    """
    message = pb.ModelInferResponse(model_name=model, model_version=version)
    _provenance(message, digest, release, arm)
    if final:
        message.parameters[_FINAL].bool_param = True
    for name, datatype, shape in outputs:
        message.outputs.add(name=name, datatype=datatype, shape=shape)
    return message.SerializeToString()


def id_field(request_id: str) -> bytes:
    """Return the encoded ``id`` of an answer; nothing for an empty one."""
    if not request_id:
        return b""
    text = request_id.encode()
    return _ID_TAG + varint(len(text)) + text


def raw_field(size: int) -> bytes:
    """Return what stands before ``size`` bytes of one output's contents."""
    return _RAW_TAG + varint(size)


def varint(value: int) -> bytes:
    """Return a number from 0 as protobuf writes it."""
    parts = bytearray()
    while value >= _MORE:
        parts.append(value & 0x7F | _MORE)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _provenance(message: pb.ModelInferResponse, digest: str, release: int, arm: str) -> None:
    message.parameters["onecode_model_digest"].string_param = digest
    message.parameters["onecode_release"].int64_param = release
    if arm:
        message.parameters["onecode_arm"].string_param = arm


def _name_region(parameters: MutableMapping[str, pb.InferParameter], region: RegionUse) -> None:
    parameters["shared_memory_region"].string_param = region.name
    parameters["shared_memory_byte_size"].int64_param = region.byte_size
    if region.offset:
        parameters["shared_memory_offset"].int64_param = region.offset


def _inputs(message: pb.ModelInferRequest) -> tuple[Tensor, ...]:
    raw = message.raw_input_contents
    if not raw:
        return tuple([_typed(item) for item in message.inputs])
    contents = iter(raw)
    tensors = [_raw(item, contents) for item in message.inputs]
    count = sum([tensor.region is None for tensor in tensors])
    if len(raw) != count:
        text = f"raw_input_contents: expected {count}, one for each input outside of shared memory, got {len(raw)}"
        params = {"field": "raw_input_contents", "expected": count, "got": len(raw)}
        raise InvalidError(text, code="input.contents", params=params)
    return tuple(tensors)


def _raw(item: pb.ModelInferRequest.InferInputTensor, contents: Iterator[bytes]) -> Tensor:
    if item.HasField("contents") and item.contents.ListFields():
        raise _two_forms(item.name, "typed contents beside raw_input_contents")
    region = _region(item)
    content = next(contents, None) if region is None else None
    return Tensor(item.name, item.datatype, tuple(item.shape), raw=content, region=region)


def _typed(item: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    filled = item.contents.ListFields() if item.HasField("contents") else []
    region = _region(item)
    shape = tuple(item.shape)
    if not filled:
        return Tensor(item.name, item.datatype, shape, region=region)
    if region is not None:
        raise _two_forms(item.name, "typed contents beside shared memory")
    field, values = filled[0]
    return Tensor(item.name, item.datatype, shape, values=values, field=field.name, fields=len(filled))


def _two_forms(name: str, which: str) -> InvalidError:
    text = f"input {name[:80]!r} has {which}: send one form"
    return InvalidError(text, code="input.contents", params={"field": name[:80]})


def _region(item: pb.ModelInferRequest.InferInputTensor) -> RegionUse | None:
    if not len(item.parameters):
        return None
    return region_of(f"input {item.name[:80]!r}", item.name, _parameters(item.parameters))


def _parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    # Asking for the length is much cheaper than walking a map that is mostly empty.
    if not len(parameters):
        return {}
    values: dict[str, Parameter] = {}
    for name, item in parameters.items():
        choice = item.WhichOneof("parameter_choice")
        if choice is None:
            text = f"parameter {name[:80]!r} has no value: set one or leave it out"
            raise InvalidError(text, code="parameter.type", params={"field": name[:80]})
        values[name] = getattr(item, choice)
    return values
