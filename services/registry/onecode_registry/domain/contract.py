"""Say what a model takes and gives, and whether its graph agrees."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onecode_common.errors import InvalidError

INTEGERS: Mapping[str, tuple[int, int]] = {
    "UINT8": (0, (1 << 8) - 1),
    "UINT16": (0, (1 << 16) - 1),
    "UINT32": (0, (1 << 32) - 1),
    "UINT64": (0, (1 << 64) - 1),
    "INT8": (-(1 << 7), (1 << 7) - 1),
    "INT16": (-(1 << 15), (1 << 15) - 1),
    "INT32": (-(1 << 31), (1 << 31) - 1),
    "INT64": (-(1 << 63), (1 << 63) - 1),
}
"""Smallest and largest value by datatype."""

FLOATS: Mapping[str, float] = {
    "FP16": 65504.0,
    "BF16": (2 - 2**-7) * 2.0**127,
    "FP32": (2 - 2**-23) * 2.0**127,
    "FP64": sys.float_info.max,
}
"""Largest finite value by datatype."""

DATATYPES = frozenset({*INTEGERS, *FLOATS, "BOOL", "BYTES"})
"""Protocol names of what can be served."""

TASKS = frozenset({"classification", "regression", "unknown"})

_MOST_TENSORS = 64
_MOST_COLUMNS = 65_536
_MOST_AXES = 8
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        shape: -1 for a free axis; the first axis counts rows.
        columns: What the last axis holds, in order; empty if unknown.
        minimum: Smallest value seen in training, by column; NaN where unknown.
        maximum: Largest value seen, alike.
        labels: Classes along the last axis of a probability output.
        allow_nan: NaN stands for a missing value.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    allow_nan: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """All inputs and outputs in the order of the graph, and what they are for."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    task: str = "unknown"


@dataclass(frozen=True, slots=True)
class Graph:
    """What the file itself states.

    Attributes:
        outputs: Their shapes may be incomplete; an output may state no rank, then its shape is empty.
        opset: Version of the standard operators.
        opset_ml: Version of the classic machine-learning operators; 0 if there are none.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ir_version: int
    opset: int
    opset_ml: int = 0


def check_contract(contract: Contract) -> None:
    """Refuse a contract that no server could keep.

    Raises:
        InvalidError: With the first tensor that does not fit.
    """
    for kind, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        if not 1 <= len(tensors) <= _MOST_TENSORS:
            raise _invalid(f"{len(tensors)} {kind}s: 1 to {_MOST_TENSORS} can be served")
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise _invalid(f"two {kind}s have the same name")
        for tensor in tensors:
            _check_tensor(kind, tensor)
    if contract.task not in TASKS:
        raise _invalid(f"task {contract.task[:40]!r}: use {', '.join(sorted(TASKS))}")


def _check_tensor(kind: str, tensor: Tensor) -> None:
    where = f"{kind} {tensor.name[:80]!r}"
    if not 1 <= len(tensor.name) <= _LONGEST_NAME or not tensor.name.isprintable():
        raise _invalid(f"{where} has no usable name")
    if tensor.datatype not in DATATYPES:
        raise _invalid(f"{where} has datatype {tensor.datatype[:40]!r}: served are {', '.join(sorted(DATATYPES))}")
    if not 1 <= len(tensor.shape) <= _MOST_AXES or any(size == 0 or size < -1 for size in tensor.shape):
        raise _invalid(f"{where} has shape {list(tensor.shape)}: use 1 to {_MOST_AXES} axes of -1 or more than 0")
    if tensor.shape[0] != -1:
        message = f"{where} has the fixed batch {tensor.shape[0]}: the first axis must be free"
        hint = "export it again with a dynamic batch axis (example batch of at least 2 rows)"
        raise InvalidError(message, code="model.fixed_batch", hint=hint, params={"tensor": tensor.name})
    for name in ("columns", "minimum", "maximum", "labels"):
        values: Sequence[object] = getattr(tensor, name)
        if len(values) > _MOST_COLUMNS or (values and tensor.shape[-1] not in (-1, len(values))):
            raise _invalid(f"{where} has {len(values)} {name} for a last axis of {tensor.shape[-1]}")


def require_graph(contract: Contract, graph: Graph) -> None:
    """Refuse a contract that its graph does not keep.

    Raises:
        InvalidError: With the first difference.
    """
    for kind, stated, found in (
        ("input", contract.inputs, graph.inputs),
        ("output", contract.outputs, graph.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in found}
        if {tensor.name for tensor in stated} != set(by_name):
            raise _differs(f"{kind}s", sorted(tensor.name for tensor in stated), sorted(by_name))
        for tensor in stated:
            other = by_name[tensor.name]
            if tensor.datatype != other.datatype:
                raise _differs(f"{kind} {tensor.name!r}", tensor.datatype, other.datatype)
            # A graph may leave an output's shape open; what serves will find it out.
            if other.shape and not _fits(tensor.shape, other.shape):
                raise _differs(f"{kind} {tensor.name!r}", list(tensor.shape), list(other.shape))


def derive(graph: Graph, like: Contract | None, missing: frozenset[str]) -> Contract:
    """Return the contract of a foreign graph.

    Args:
        graph: What it takes and gives.
        like: Contract of a version whose answers it must give; names of columns, ranges and labels are taken
            over for tensors that are the same.
        missing: Inputs whose golden rows hold missing values.
    """
    known = {_identity(tensor): tensor for tensor in (*(like.inputs if like else ()), *(like.outputs if like else ()))}
    inputs = tuple(
        replace(found, allow_nan=found.allow_nan or tensor.name in missing)
        for tensor in graph.inputs
        for found in (known.get(_identity(tensor), tensor),)
    )
    outputs = tuple(known.get(_identity(tensor), tensor) for tensor in graph.outputs)
    return Contract(inputs, outputs, guess_task(outputs))


def guess_task(outputs: Sequence[Tensor]) -> str:
    """Return what the outputs look like: labels with scores, one number, or neither."""
    labels = [one for one in outputs if one.datatype in ("INT64", "BYTES") and len(one.shape) == 1]
    scores = [one for one in outputs if one.datatype in FLOATS and len(one.shape) == 2]  # noqa: PLR2004 - rows, columns
    if labels and scores:
        return "classification"
    if len(outputs) == 1 and scores and scores[0].shape[1] == 1:
        return "regression"
    return "unknown"


def contract_document(contract: Contract) -> dict[str, Any]:
    """Return the contract as it stands in a manifest, numbers as text; an unknown bound is an empty text."""
    return {
        "task": contract.task,
        "inputs": [_tensor_document(tensor) for tensor in contract.inputs],
        "outputs": [_tensor_document(tensor) for tensor in contract.outputs],
    }


def read_contract(document: Mapping[str, Any]) -> Contract:
    """Return the contract of a manifest that this registry wrote."""
    return Contract(
        tuple(_read_tensor(entry) for entry in document["inputs"]),
        tuple(_read_tensor(entry) for entry in document["outputs"]),
        document["task"],
    )


def _tensor_document(tensor: Tensor) -> dict[str, Any]:
    document: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    if tensor.columns:
        document["columns"] = list(tensor.columns)
    for name in ("minimum", "maximum"):
        values: tuple[float, ...] = getattr(tensor, name)
        if values:
            document[name] = [repr(float(value)) if math.isfinite(value) else "" for value in values]
    if tensor.labels:
        document["labels"] = list(tensor.labels)
    if tensor.allow_nan:
        document["allow_nan"] = True
    return document


def _read_tensor(entry: Mapping[str, Any]) -> Tensor:
    return Tensor(
        name=entry["name"],
        datatype=entry["datatype"],
        shape=tuple(entry["shape"]),
        columns=tuple(entry.get("columns", ())),
        minimum=_bounds(entry.get("minimum", ())),
        maximum=_bounds(entry.get("maximum", ())),
        labels=tuple(entry.get("labels", ())),
        allow_nan=bool(entry.get("allow_nan", False)),
    )


def _bounds(values: Sequence[str]) -> tuple[float, ...]:
    return tuple(float(value) if value else math.nan for value in values)


def _identity(tensor: Tensor) -> tuple[str, str, tuple[int, ...]]:
    return tensor.name, tensor.datatype, tensor.shape


def _fits(stated: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return len(stated) == len(found) and all(theirs in (-1, ours) for ours, theirs in zip(stated, found, strict=True))


def _invalid(text: str) -> InvalidError:
    return InvalidError(f"the contract cannot be kept: {text}", code="contract.invalid")


def _differs(what: str, expected: object, found: object) -> InvalidError:
    message = f"the contract states {expected} for {what}, the graph has {found}"
    return InvalidError(message, code="contract.mismatch", params={"expected": expected, "found": found})
