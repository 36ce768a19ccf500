"""Hold one request from the moment it is found good until it is answered."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from onecode_common.errors import OnecodeError, UnavailableError
from onecode_serving.counters import CounterKey
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.domain.tensors import Array
from onecode_serving.version import ServedVersion

if TYPE_CHECKING:
    from onecode_serving.execution.lane import Lane

DEADLINE = "deadline.exceeded"

Shapes = tuple[tuple[int, ...], ...]
"""Full shapes of the wanted outputs, batch axis included."""


class Target:
    """Which version answers; one object for each arm of each route, so that it can be compared by identity.

    Attributes:
        role: ``stable`` or ``candidate``; empty if the caller named the version.
        key: What its answers count for; None for no arm.
        assigned: False where a key was wanted and none came.
        lane: Where its requests wait.
    """

    __slots__ = ("assigned", "digest", "key", "lane", "release", "role", "version")

    def __init__(
        self, version: ServedVersion, role: str, key: CounterKey | None, lane: "Lane", *, assigned: bool = True
    ) -> None:
        self.version = version
        self.digest = version.digest
        self.release = version.release
        self.role = role
        self.key = key
        self.assigned = assigned
        self.lane = lane


class Plan:
    """A request of which everything but the raw bytes of its one input is known to be good.

    Attributes:
        generation: Of the data plane's table; under another one the plan says nothing.
        request: The request that it was made of, without its bytes.
        name: The model's input.
        kind: Element type on the wire and in the model.
        shape: Of this request's input.
        rows: Along the batch axis.
        size: Bytes that must come.
        finite: 2 refuses NaN and infinities, 1 infinities only, 0 nothing.
        picks: Wanted outputs as indices into the contract's.
        wanted: Their specifications, in the wanted order.
        timeout_s: From the request's own parameter; infinite without one.
        fixed: The target, where assignment does not depend on the call.
        choose: Returns the target for a unit, where it does.
        signature: What requests of one batch must share; compared by identity.
        notes: Whatever a face keeps with the plan (its encoded head of the answer), by target and shapes.
    """

    __slots__ = (
        "choose", "finite", "fixed", "generation", "kind", "name", "notes", "picks", "priority", "request", "rows",
        "shape", "signature", "size", "timeout_s", "wanted",
    )  # fmt: skip

    def __init__(self, generation: int, request: InferenceRequest, spec: TensorSpec, kind: np.dtype[Any]) -> None:
        self.generation = generation
        self.request = request
        self.name = spec.name
        self.kind = kind
        self.shape: tuple[int, ...] = ()
        self.rows = 1
        self.size = 0
        self.finite = 0
        self.picks: tuple[int, ...] = ()
        self.wanted: Sequence[TensorSpec] = ()
        self.timeout_s = float("inf")
        self.priority = 0
        self.fixed: Target | None = None
        self.choose: Any = None
        self.signature: object = None
        self.notes: dict[Any, Any] = {}


class Sink(Protocol):
    """Whoever waits for planned answers; called on the loop's thread."""

    def answered(self, key: int, plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> None:
        """Take the wanted outputs as little-endian bytes, in the wanted order."""
        ...

    def refused(self, key: int, error: OnecodeError) -> None:
        """Take the refusal."""
        ...


class Answer(Protocol):
    """Whoever waits for one general answer; called on the loop's thread."""

    def __call__(self, arrays: Sequence[Array] | OnecodeError) -> None:
        """Take all outputs in the contract's order, or why there are none."""
        ...


class Trail(Protocol):
    """Whoever follows single requests; called on the loop's thread."""

    def refused(self, job: "Job", error: OnecodeError) -> None:
        """Learn that a request is refused before its caller does."""
        ...


_NO_FEEDS: Mapping[str, Array] = MappingProxyType({})


class Job:
    """One request in a lane: a plan and raw bytes, or feeds and an answer.

    Attributes:
        dead: Set when nobody waits any more; such a job never runs.
        signature: Jobs run together only if these are the same object.
        trace: Who follows it; None for nobody.
    """

    __slots__ = (
        "answer", "arrived", "dead", "deadline", "feeds", "key", "plan", "priority", "raw", "rows", "signature", "sink",
        "target", "trace",
    )  # fmt: skip

    def __init__(
        self,
        target: Target,
        rows: int,
        arrived: float,
        deadline: float,
        signature: object,
        priority: int = 0,
        plan: Plan | None = None,
        raw: bytes = b"",
        sink: Sink | None = None,
        key: int = 0,
        feeds: Mapping[str, Array] = _NO_FEEDS,
        answer: Answer | None = None,
    ) -> None:
        self.target = target
        self.rows = rows
        self.arrived = arrived
        self.deadline = deadline
        self.signature = signature
        self.priority = priority
        self.plan = plan
        self.raw = raw
        self.sink = sink
        self.key = key
        self.feeds = feeds
        self.answer = answer
        self.dead = False
        self.trace: Trail | None = None

    def refuse(self, error: OnecodeError) -> None:
        """Tell whoever waits, unless nobody does."""
        if self.dead:
            return
        self.dead = True
        if self.trace is not None:
            self.trace.refused(self, error)
        if self.sink is not None:
            self.sink.refused(self.key, error)
        elif self.answer is not None:
            self.answer(error)

    def cancel(self) -> None:
        """Forget the request: it does not run if it has not, and nobody is told."""
        self.dead = True


Ticket = Job
"""What a caller keeps to cancel a request."""


def too_late(when: str) -> UnavailableError:
    """Return the refusal of a request whose deadline passed."""
    return UnavailableError(f"the deadline passed {when}: allow more time", code=DEADLINE)
