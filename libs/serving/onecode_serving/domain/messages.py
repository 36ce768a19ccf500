"""A request and its answer, free of the wire they came by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Parameter = bool | int | float | str
"""What a protocol parameter can hold."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input as it was received: exactly one of ``raw`` and ``values`` is set, or neither.

    Attributes:
        name: Input of the model.
        datatype: As the caller says.
        shape: As the caller says, with the batch axis.
        raw: Little-endian, row-major bytes.
        values: Typed values, flat or nested.
        field: Which typed field held them; empty for JSON, which has but one.
        fields: How many typed fields were filled.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview | None = None
    values: Sequence[Any] | None = None
    field: str = ""
    fields: int = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that the caller asks for, with ``classes`` > 0 as its top classes instead of numbers."""

    name: str
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One call.

    Attributes:
        model: Name.
        inputs: In the caller's order.
        version: Empty (routing decides), a release number, or ``sha256:<hex>``.
        request_id: Echoed.
        wanted: Outputs in the order wanted; empty means all.
        parameters: Of the request; unknown ones are ignored.
        unit: What the caller wants to be assigned by; None if nothing.
        deadline: On the data plane's monotonic clock; None means the default.
    """

    model: str
    inputs: tuple[Tensor, ...]
    version: str = ""
    request_id: str = ""
    wanted: tuple[Wanted, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    unit: str | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an answer; ``array`` holds strings in an object array for BYTES."""

    name: str
    datatype: str
    array: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class InferenceReply:
    """One answer, with the version that gave it.

    Attributes:
        arm: ``stable`` or ``candidate``; empty if the caller named a version.
    """

    model: str
    version: str
    request_id: str
    outputs: tuple[Output, ...]
    digest: str
    release: int
    arm: str
