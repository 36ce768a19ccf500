"""Check a whole request against the contract before it may touch the model."""

from collections.abc import Mapping
from dataclasses import dataclass

from onecode_common.errors import InvalidError
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import RANKED
from onecode_serving.domain.messages import InferenceRequest, Parameter, RegionUse, Tensor, Wanted
from onecode_serving.domain.tensors import Array, decode, wrong

MAX_UNIT = 256
"""Characters of a unit key."""

_RESERVED: Mapping[str, tuple[type, ...]] = {
    "sequence_id": (int, str),
    "sequence_start": (bool,),
    "sequence_end": (bool,),
    "priority": (int,),
    "timeout": (int,),
    "binary_data_output": (bool,),
    "headers": (str,),
    "onecode_unit": (str,),
    "triton_enable_empty_final_response": (bool,),
}
_COUNTS = frozenset({"priority", "timeout"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for.

    Attributes:
        max_rows: Along the batch axis.
        max_elements: Of one input.
    """

    max_rows: int = 1024
    max_elements: int = 1 << 20


def feeds_of(
    inputs: tuple[Tensor, ...], contract: Contract, limits: Limits, *, finite: bool = True
) -> dict[str, Array]:
    """Return the arrays for the model, by input name; optional inputs that did not come are not among them.

    Raises:
        InvalidError: An input is missing, unknown, double or does not fit; batch axes differ; too many rows.
    """
    feeds: dict[str, Array] = {}
    rows: int | None = None
    for tensor in inputs:
        spec = contract.input(tensor.name)
        if spec is None:
            known = ", ".join(spec.name for spec in contract.inputs)
            raise wrong(tensor.name, "name", f"one of {known}", tensor.name)
        if tensor.name in feeds:
            raise wrong(tensor.name, "once", "one tensor of this name", "two")
        if spec.batched and tensor.shape:
            rows = _rows(tensor, rows, limits.max_rows)
        feeds[tensor.name] = decode(tensor, spec, limits.max_elements, finite=finite)
    missing = next((spec for spec in contract.inputs if spec.name not in feeds and not spec.optional), None)
    if missing is not None:
        raise wrong(missing.name, "tensor", f"{missing.datatype} {list(missing.shape)}", "no such input")
    return feeds


def _rows(tensor: Tensor, rows: int | None, max_rows: int) -> int:
    own = tensor.shape[0]
    if own > max_rows:
        message = f"input {tensor.name!r}: expected at most {max_rows} rows, got {own}"
        params = {"field": tensor.name, "expected": max_rows, "got": own}
        raise InvalidError(message, code="batch.too_large", params=params)
    if rows is not None and own != rows:
        raise wrong(tensor.name, "rows", rows, own)
    return own


def wanted_of(wanted: tuple[Wanted, ...], contract: Contract) -> list[tuple[TensorSpec, int]]:
    """Return the outputs to give, in order, each with its number of top classes (0: the numbers themselves).

    Raises:
        InvalidError: An output is unknown or asked for twice, or has no classes to rank.
    """
    if not wanted:
        return [(spec, 0) for spec in contract.outputs]
    chosen: dict[str, tuple[TensorSpec, int]] = {}
    for item in wanted:
        spec = contract.output(item.name)
        if spec is None or item.name in chosen:
            expected = ", ".join(spec.name for spec in contract.outputs)
            problem = "asked for twice" if spec else "unknown"
            message = f"output {item.name[:80]!r} is {problem}: expected each at most once of {expected}"
            raise InvalidError(message, code="output.name", params={"field": item.name[:80], "expected": expected})
        if item.classes and spec.datatype not in RANKED:
            message = f"output {item.name!r} has datatype {spec.datatype}: classification needs integers, FP32 or FP64"
            raise InvalidError(message, code="output.classification", params={"field": item.name})
        chosen[item.name] = (spec, item.classes)
    return list(chosen.values())


def wanted_output(name: str, parameters: Mapping[str, Parameter]) -> Wanted:
    """Return an output that is asked for: with the number of its top classes, or its place in shared memory.

    Raises:
        InvalidError: ``classification`` is not a whole number above 0, or comes with shared memory, or the place is
            not one.
    """
    classes = parameters.get("classification")
    region = region_of(f"output {name[:80]!r}", name, parameters)
    if classes is None:
        return Wanted(name, region=region)
    if type(classes) is not int or classes <= 0:
        message = f"output {name[:80]!r}: parameter classification: expected a whole number above 0, got {classes!r}"
        raise InvalidError(message, code="output.classification", params={"field": name[:80], "got": classes})
    if region is not None:
        message = f"output {name[:80]!r}: classes cannot be put into shared memory: leave one of the two out"
        raise InvalidError(message, code="output.classification", params={"field": name[:80]})
    return Wanted(name, classes)


def region_of(what: str, name: str, parameters: Mapping[str, Parameter]) -> RegionUse | None:
    """Return the shared memory that a tensor's parameters name, or None.

    Args:
        what: The tensor, as an error names it.
        name: Of the tensor.
        parameters: Its own.

    Raises:
        InvalidError: One of region and size is missing, or a value is not what it should be.
    """
    region = parameters.get("shared_memory_region")
    size = parameters.get("shared_memory_byte_size")
    offset = parameters.get("shared_memory_offset")
    if region is None and size is None and offset is None:
        return None
    if not isinstance(region, str) or not region:
        raise _no_region(what, name, "shared_memory_region as text", region)
    if type(size) is not int or size < 0:
        raise _no_region(what, name, "shared_memory_byte_size as a whole number from 0", size)
    if offset is not None and (type(offset) is not int or offset < 0):
        raise _no_region(what, name, "shared_memory_offset as a whole number from 0", offset)
    return RegionUse(region, size, offset or 0)


def _no_region(what: str, name: str, expected: str, got: object) -> InvalidError:
    text = "nothing" if got is None else repr(got)[:80]
    params = {"field": name[:80], "expected": expected, "got": text}
    return InvalidError(f"{what}: expected parameter {expected}, got {text}", code="shared_memory.use", params=params)


def check_parameters(parameters: Mapping[str, Parameter]) -> None:
    """Refuse reserved parameters that are unknown, of the wrong type or below 0; all others pass.

    Raises:
        InvalidError: Named with the expected type; or a sequence is begun or ended without an id.
    """
    if not parameters:
        return
    for name, value in parameters.items():
        kinds = _RESERVED.get(name)
        if kinds is None:
            if name.startswith("triton_"):
                message = f"parameter {name[:80]!r} is reserved: leave it out"
                raise InvalidError(message, code="parameter.reserved", params={"field": name[:80]})
            continue
        if type(value) not in kinds:
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise _parameter(name, expected, type(value).__name__)
        if name in _COUNTS and isinstance(value, int) and value < 0:
            raise _parameter(name, "a number from 0", value)
    if not parameters.get("sequence_id"):
        for name in ("sequence_start", "sequence_end"):
            if parameters.get(name) is True:
                raise _parameter(name, "a sequence_id beside it", "none")


def _parameter(name: str, expected: str, got: object) -> InvalidError:
    message = f"parameter {name!r}: expected {expected}, got {got}"
    return InvalidError(message, code="parameter.type", params={"field": name, "expected": expected, "got": got})


def unit_of(request: InferenceRequest) -> str | None:
    """Return what the caller wants to be assigned by: the parameter, else the header.

    Raises:
        InvalidError: It is too long.
    """
    unit = request.parameters.get("onecode_unit") or request.unit
    if unit is None:
        return None
    text = str(unit)
    if len(text) > MAX_UNIT:
        message = f"the unit has {len(text)} characters: expected at most {MAX_UNIT}"
        raise InvalidError(message, code="unit.too_long", params={"field": "onecode_unit", "expected": MAX_UNIT})
    return text
