"""Say what a model takes and gives, as its signed manifest states it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onecode_common.errors import InvalidError
from onecode_serving.domain.datatypes import NUMPY


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: As in the graph.
        datatype: Protocol name, ``FP32``.
        shape: With -1 for each dynamic axis, the batch axis included.
        allow_nan: NaN means "missing" here; elsewhere it is refused.
        labels: Names of the classes along the last axis, for outputs that have them.
        minimum: Smallest value seen in training, by column; empty if unknown.
        maximum: Largest value seen, alike.
        optional: A request may leave this input out: the graph has a value of its own for it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    allow_nan: bool = False
    labels: tuple[str, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    optional: bool = False

    @property
    def batched(self) -> bool:
        """Whether the first axis counts rows."""
        return bool(self.shape) and self.shape[0] == -1


@dataclass(frozen=True, slots=True)
class Contract:
    """All inputs and outputs, in the order of the graph."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def input(self, name: str) -> TensorSpec | None:
        """Return the input of this name."""
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        """Return the output of this name."""
        return next((spec for spec in self.outputs if spec.name == name), None)


def parse_contract(document: Mapping[str, Any]) -> Contract:
    """Return the contract of a manifest.

    Raises:
        InvalidError: A part is missing, or a datatype is not one that can be served.
    """
    try:
        return Contract(
            tuple(_tensor(entry) for entry in document["inputs"]),
            tuple(_tensor(entry) for entry in document["outputs"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"the contract of the manifest cannot be read: {error!r}"
        raise InvalidError(message, code="contract.invalid") from error


def _tensor(entry: Mapping[str, Any]) -> TensorSpec:
    datatype = str(entry["datatype"])
    if datatype not in NUMPY:
        message = f"tensor {entry['name']!r} has datatype {datatype!r}: served are {', '.join(NUMPY)}"
        raise InvalidError(message, code="contract.datatype")
    return TensorSpec(
        name=str(entry["name"]),
        datatype=datatype,
        shape=tuple(int(size) for size in entry["shape"]),
        allow_nan=bool(entry.get("allow_nan", False)),
        labels=tuple(str(label) for label in entry.get("labels") or ()),
        minimum=_numbers(entry.get("minimum")),
        maximum=_numbers(entry.get("maximum")),
        optional=bool(entry.get("optional", False)),
    )


def _numbers(values: Sequence[Any] | None) -> tuple[float, ...]:
    """Read numbers, which the canonical manifest writes as text; one that is unknown makes the range unknown."""
    if not values or any(value in (None, "") for value in values):
        return ()
    return tuple(float(value) for value in values)
