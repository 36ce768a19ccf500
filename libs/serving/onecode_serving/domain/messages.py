"""A request and its answer, free of the wire they came by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

Parameter = bool | int | float | str
"""What a protocol parameter can hold."""


@dataclass(frozen=True, slots=True)
class RegionUse:
    """A part of a registered shared memory region that holds a tensor's raw bytes.

    Attributes:
        name: Of the region, as it was registered.
        byte_size: Bytes of the tensor, or of the room for it.
        offset: Of its first byte, from the start of the region.
    """

    name: str
    byte_size: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input as it was received: at most one of ``raw``, ``values`` and ``region`` is set.

    Attributes:
        name: Input of the model.
        datatype: As the caller says.
        shape: As the caller says, with the batch axis.
        raw: Little-endian, row-major bytes.
        values: Typed values, flat or nested.
        field: Which typed field held them; empty for JSON, which has but one.
        fields: How many typed fields were filled.
        region: Where its raw bytes lie in shared memory; replaced by ``raw`` before the request is run.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview | None = None
    values: Sequence[Any] | None = None
    field: str = ""
    fields: int = 1
    region: RegionUse | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that the caller asks for.

    Attributes:
        name: Output of the model.
        classes: Above 0: its top classes as texts instead of its numbers.
        region: Where to put it instead of into the answer.
    """

    name: str
    classes: int = 0
    region: RegionUse | None = None


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

    @property
    def sequence_id(self) -> str:
        """The sequence that this request belongs to, numbers as text; empty for none (0 and "" mean none)."""
        value = self.parameters.get("sequence_id")
        return str(value) if value else ""

    @property
    def sequence_start(self) -> bool:
        """Whether the sequence begins here."""
        return self.parameters.get("sequence_start") is True

    @property
    def sequence_end(self) -> bool:
        """Whether the sequence ends after this."""
        return self.parameters.get("sequence_end") is True

    @property
    def priority(self) -> int:
        """1 goes first, larger numbers later; 0 means the default."""
        value = self.parameters.get("priority")
        return value if isinstance(value, int) else 0

    @property
    def timeout_s(self) -> float | None:
        """Seconds from arrival within which the caller wants the answer, None if it does not say."""
        value = self.parameters.get("timeout")
        return value / 1e6 if isinstance(value, int) and value > 0 else None


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an answer; ``array`` holds strings in an object array for BYTES.

    Attributes:
        name: As in the model.
        datatype: Protocol name; BYTES for classes.
        array: The values.
        region: Where the bytes already are; the answer then only says so.
    """

    name: str
    datatype: str
    array: npt.NDArray[Any]
    region: RegionUse | None = None


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
