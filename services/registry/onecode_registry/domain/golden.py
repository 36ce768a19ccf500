"""Read a golden set strictly: a question that does not fit the model would refuse it on every gateway."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onecode_common.errors import InvalidError
from onecode_registry.domain.contract import FLOATS, INTEGERS, Contract, Tensor

MAX_BYTES = 1 << 20
FEWEST_ROWS, MOST_ROWS = 64, 200

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden set whose lines are well formed; whether they fit a model is :func:`require_fit`'s question.

    Attributes:
        rows: One document ``{"inputs": […], "outputs": […]}`` each.
        atol: Right is ``|a - b| <= atol + rtol * |b|``.
        missing: Names of inputs that hold missing values (null) in some row.
    """

    rows: tuple[Mapping[str, Any], ...]
    atol: float
    rtol: float
    missing: frozenset[str]


def read_golden(content: bytes) -> Golden:
    """Return the golden set of a ``golden.jsonl``.

    Raises:
        InvalidError: ``golden.invalid``, with the line.
    """
    if len(content) > MAX_BYTES:
        raise _invalid(0, f"it has {len(content)} bytes, at most {MAX_BYTES} are read")
    lines = content.splitlines()
    documents = [_line(number, line) for number, line in enumerate(lines, 1)]
    if not documents:
        raise _invalid(0, "it is empty")
    header, rows = documents[0], documents[1:]
    atol, rtol = _tolerance(header, "atol"), _tolerance(header, "rtol")
    if type(header.get("format")) is not int or header["format"] != _FORMAT:
        raise _invalid(1, f"format {header.get('format')!r} is not {_FORMAT}")
    if type(header.get("rows")) is not int or header["rows"] != len(rows):
        raise _invalid(1, f"it states {header.get('rows')!r} rows and has {len(rows)}")
    if not FEWEST_ROWS <= len(rows) <= MOST_ROWS:
        raise _invalid(1, f"it has {len(rows)} rows, {FEWEST_ROWS} to {MOST_ROWS} are needed")
    allowed = header.get("allowed_mismatch")
    if type(allowed) is not int or not 0 <= allowed < len(rows):
        raise _invalid(1, f"allowed_mismatch {allowed!r} is not within 0..{len(rows) - 1}")
    missing = frozenset(
        tensor["name"]
        for number, row in enumerate(rows, 2)
        for tensor in _tensors(number, row, "inputs")
        if None in tensor["data"]
    )
    for number, row in enumerate(rows, 2):
        _tensors(number, row, "outputs")
    return Golden(tuple(rows), atol, rtol, missing)


def require_fit(golden: Golden, contract: Contract) -> None:
    """Refuse a golden set that asks or expects what the model does not take or give.

    Raises:
        InvalidError: ``golden.invalid``, with the first line that does not fit.
    """
    inputs = {tensor.name: tensor for tensor in contract.inputs}
    outputs = {tensor.name: tensor for tensor in contract.outputs}
    for number, row in enumerate(golden.rows, 2):
        given = [tensor["name"] for tensor in row["inputs"]]
        if sorted(given) != sorted(inputs):
            raise _invalid(number, f"it gives inputs {sorted(given)}, the model takes {sorted(inputs)}")
        expected = [tensor["name"] for tensor in row["outputs"]]
        if not expected or len(set(expected)) != len(expected) or not set(expected) <= set(outputs):
            raise _invalid(number, f"it expects outputs {sorted(expected)}, the model gives {sorted(outputs)}")
        for tensor in row["inputs"]:
            _require_tensor(number, tensor, inputs[tensor["name"]])
        for tensor in row["outputs"]:
            _require_tensor(number, tensor, outputs[tensor["name"]])


def _line(number: int, line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid(number, f"it is not JSON: {str(error)[:120]}") from error
    if not isinstance(document, dict):
        raise _invalid(number, "it is not a JSON object")
    return document


def _no_constant(text: str) -> object:
    message = f"{text} is not a JSON number: write null for a missing value"
    raise ValueError(message)


def _tolerance(header: Mapping[str, Any], name: str) -> float:
    value = header.get(name)
    # A bool is an int too, but no number of a golden set; NaN fails the comparison.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise _invalid(1, f"{name} {value!r} is not within 0..1")
    return float(value)


def _tensors(number: int, row: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    tensors = row.get(kind)
    if not isinstance(tensors, list) or not tensors:
        raise _invalid(number, f"it has no {kind}")
    for tensor in tensors:
        good = (
            isinstance(tensor, dict)
            and isinstance(tensor.get("name"), str)
            and isinstance(tensor.get("datatype"), str)
            and isinstance(tensor.get("shape"), list)
            and all(type(size) is int and 0 < size <= MAX_BYTES for size in tensor["shape"])
            and isinstance(tensor.get("data"), list)
        )
        if not good:
            raise _invalid(number, f"one of its {kind} is not {{name, datatype, shape, data}}")
        if math.prod(tensor["shape"]) != len(tensor["data"]):
            raise _invalid(number, f"{tensor['name'][:80]!r} has {len(tensor['data'])} values for {tensor['shape']}")
    return tensors


def _require_tensor(number: int, given: Mapping[str, Any], spec: Tensor) -> None:
    where = f"{spec.name!r}"
    if given["datatype"] != spec.datatype:
        raise _invalid(number, f"{where} is {given['datatype'][:40]}, the model has {spec.datatype}")
    shape = given["shape"]
    if len(shape) != len(spec.shape) or any(own not in (-1, size) for own, size in zip(spec.shape, shape, strict=True)):
        raise _invalid(number, f"{where} has shape {shape}, the model has {list(spec.shape)}")
    wrong = next((value for value in given["data"] if not _is_value(value, spec)), _RIGHT)
    if wrong is not _RIGHT:
        raise _invalid(number, f"{where} holds {str(wrong)[:40]!r}, which is no {spec.datatype}")


_RIGHT = object()


def _is_value(value: object, spec: Tensor) -> bool:
    if spec.datatype in FLOATS:
        if value is None:
            return spec.allow_nan
        return type(value) in (int, float) and abs(value) <= FLOATS[spec.datatype]  # type: ignore[arg-type]
    if spec.datatype in INTEGERS:
        low, high = INTEGERS[spec.datatype]
        return type(value) is int and low <= value <= high
    if spec.datatype == "BOOL":
        return type(value) is bool
    return type(value) is str and _is_askable(value)


def _is_askable(text: str) -> bool:
    """Return whether a model can be given this text: UTF-8 without NUL."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _invalid(line: int, text: str) -> InvalidError:
    where = f"line {line} of the golden set" if line else "the golden set"
    message = f"{where} cannot be used: {text}"
    hint = "a header line, then one row a line: see the reference of golden sets"
    return InvalidError(message, code="golden.invalid", hint=hint, params={"line": line})
