"""Read an inference request from a body: JSON, JSON with the tensors' bytes behind it, or bytes alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onecode_common.errors import InvalidError
from onecode_serving.domain.contract import Contract
from onecode_serving.domain.datatypes import BYTES, NUMPY
from onecode_serving.domain.messages import InferenceRequest, Parameter, Tensor
from onecode_serving.domain.validation import region_of, wanted_output
from onecode_serving.rest.document import objects_of, parameters_of, parse_object, text_of

HEADER_LENGTH = "inference-header-content-length"
_BF16_BYTES = 2


@dataclass(frozen=True, slots=True)
class Form:
    """In which form the caller wants outputs: as bytes behind the JSON, or in it.

    Attributes:
        default: Bytes for those that :attr:`by_name` does not name.
        by_name: Bytes or JSON, by output.
    """

    default: bool
    by_name: Mapping[str, bool]

    def binary(self, output: str) -> bool:
        """Return whether this output is wanted as bytes."""
        return self.by_name.get(output, self.default)


def header_length(text: str | None) -> int | None:
    """Return the number in ``Inference-Header-Content-Length``, None without one.

    Raises:
        InvalidError: It is not a whole number from 0.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # noqa: PLR2004 - beyond any body
        message = f"{HEADER_LENGTH}: expected a whole number from 0, got {text[:40]!r}"
        raise InvalidError(message, code="body.header_length", params={"field": HEADER_LENGTH, "got": text[:40]})
    return int(text)


def request_from_body(
    model: str, version: str, body: bytes, json_length: int | None, unit: str | None, deadline: float | None
) -> tuple[InferenceRequest, Form]:
    """Return the request of a JSON body with or without bytes behind it, and the form of its answer.

    Args:
        model: From the path.
        version: From the path, empty for none.
        body: Decompressed.
        json_length: Bytes of the JSON at its beginning; None: all.
        unit: From the head.
        deadline: On the data plane's clock.

    Raises:
        InvalidError: Not the protocol's JSON, or the binary parts do not add up.
    """
    split = len(body) if json_length is None else json_length
    if split > len(body):
        message = f"{HEADER_LENGTH}: expected at most {len(body)}, the bytes of the body, got {split}"
        raise InvalidError(message, code="body.header_length", params={"field": HEADER_LENGTH, "got": split})
    document = parse_object(body[:split] if split < len(body) else body)
    parameters = parameters_of(document)
    outputs = [(text_of(item, "name"), parameters_of(item)) for item in objects_of(document, "outputs")]
    request = InferenceRequest(
        model=model,
        version=version,
        request_id=text_of(document, "id"),
        inputs=_inputs(objects_of(document, "inputs"), memoryview(body)[split:]),
        wanted=tuple([wanted_output(name, values) for name, values in outputs]),
        parameters=parameters,
        unit=unit,
        deadline=deadline,
    )
    return request, _form(parameters, outputs)


def request_from_raw(
    model: str, version: str, body: bytes, contract: Contract, unit: str | None, deadline: float | None
) -> tuple[InferenceRequest, Form]:
    """Return the request whose whole body is the one input, one row; all outputs are answered as bytes.

    Args:
        model: From the path.
        version: From the path, empty for none.
        body: Decompressed.
        contract: Of the version that answers.
        unit: From the head.
        deadline: On the data plane's clock.

    Raises:
        InvalidError: The model has several inputs or several free axes, or the bytes do not fill its shape.
    """
    if len(contract.inputs) != 1:
        message = f"a body without JSON needs a model with one input: {model[:80]!r} has {len(contract.inputs)}"
        raise InvalidError(message, code="body.raw", params={"field": HEADER_LENGTH})
    spec = contract.inputs[0]
    fixed = spec.shape[1:] if spec.batched else spec.shape
    row = (1,) if spec.batched else ()
    if spec.datatype == BYTES:
        # The one text is the body; its length, which the raw form has before each text, is known.
        shape = row + tuple(1 if size == -1 else size for size in fixed)
        if math.prod(shape) != 1:
            message = f"a body without JSON holds one text, but input {spec.name!r} has shape {list(spec.shape)}"
            raise InvalidError(message, code="body.raw", params={"field": spec.name})
        body = len(body).to_bytes(4, "little") + body
    else:
        shape = row + _filled(spec.name, spec.datatype, fixed, len(body))
    tensor = Tensor(spec.name, spec.datatype, shape, raw=body)
    return InferenceRequest(model, (tensor,), version, unit=unit, deadline=deadline), Form(default=True, by_name={})


def _filled(name: str, datatype: str, fixed: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return the shape of one row, its one free axis filled by the bytes there are."""
    free = fixed.count(-1)
    if free > 1:
        message = f"a body without JSON needs a shape with one free axis at most: input {name!r} has {list(fixed)}"
        raise InvalidError(message, code="body.raw", params={"field": name})
    if not free:
        return fixed
    item = _BF16_BYTES if datatype == "BF16" else NUMPY[datatype].itemsize
    step = item * math.prod(length for length in fixed if length != -1)
    if not step or size % step or not size:
        message = f"input {name!r}: expected a multiple of {step} bytes, got {size}"
        raise InvalidError(message, code="input.bytes", params={"field": name, "expected": step, "got": size})
    return tuple(size // step if length == -1 else length for length in fixed)


def _form(parameters: Mapping[str, Parameter], outputs: list[tuple[str, dict[str, Parameter]]]) -> Form:
    by_name: dict[str, bool] = {}
    for name, values in outputs:
        asked = values.get("binary_data")
        if asked is None:
            continue
        if not isinstance(asked, bool):
            message = f"output {name[:80]!r}: parameter binary_data: expected bool, got {type(asked).__name__}"
            raise InvalidError(message, code="parameter.type", params={"field": "binary_data", "got": str(asked)[:80]})
        by_name[name] = asked
    # A wrong type is refused with the other parameters of the request.
    return Form(parameters.get("binary_data_output") is True, by_name)


def _inputs(entries: list[dict[str, Any]], rest: memoryview) -> tuple[Tensor, ...]:
    tensors: list[Tensor] = []
    position = 0
    for entry in entries:
        name = text_of(entry, "name")
        parameters = parameters_of(entry)
        size = parameters.get("binary_data_size")
        region = region_of(f"input {name[:80]!r}", name, parameters)
        values = _data(entry, name)
        if (size is not None) + (region is not None) + (values is not None) > 1:
            message = f"input {name[:80]!r} comes as more than one of data, binary_data_size and shared memory: choose"
            raise InvalidError(message, code="input.contents", params={"field": name[:80]})
        raw = None
        if size is not None:
            raw = rest[position : position + _size(name, size, len(rest) - position)].tobytes()
            position += len(raw)
        shape = _shape(entry, name)
        tensors.append(Tensor(name, text_of(entry, "datatype"), shape, raw=raw, values=values, region=region))
    if position != len(rest):
        message = f"{len(rest) - position} bytes are left after the last binary input: expected none"
        raise InvalidError(message, code="body.binary_size", params={"expected": position, "got": len(rest)})
    return tuple(tensors)


def _size(name: str, size: Parameter, left: int) -> int:
    if type(size) is not int or not 0 <= size <= left:
        message = f"input {name[:80]!r}: binary_data_size {str(size)[:40]} does not fit the {left} bytes that are left"
        raise InvalidError(message, code="body.binary_size", params={"field": name[:80], "got": str(size)[:40]})
    return size


def _data(entry: dict[str, Any], name: str) -> list[Any] | None:
    data = entry.get("data")
    if data is not None and not isinstance(data, list):
        message = f"input {name[:80]!r}: expected data as a list, got {type(data).__name__}"
        raise InvalidError(message, code="input.contents", params={"field": name[:80], "expected": "list"})
    return data


def _shape(entry: dict[str, Any], name: str) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        message = f"input {name[:80]!r}: expected shape as a list of whole numbers, got {str(shape)[:80]}"
        raise InvalidError(message, code="input.shape", params={"field": name[:80], "got": str(shape)[:80]})
    return tuple(shape)
