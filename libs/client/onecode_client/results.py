"""Give what the server answers a type: frozen values with the fields one works with, and the whole document."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

RUN_ENDED = ("RUN_STATE_STOPPED", "RUN_STATE_INTERRUPTED", "RUN_STATE_FAILED", "RUN_STATE_SUCCEEDED")
"""States in which a run does nothing any more by itself."""

ROLLOUT_ENDED = ("succeeded", "rolled_back", "aborted", "superseded", "rejected", "canceled")
"""States that a rollout never leaves."""


@dataclass(frozen=True, slots=True)
class Result:
    """One answered thing.

    Attributes:
        document: All of it, as the server sent it; it grows with the server's release.
    """

    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return the result; fields this release does not know stay in :attr:`document`."""
        known = {one.name for one in fields(cls)} - {"document"}
        return cls(document=document, **{name: value for name, value in document.items() if name in known})


@dataclass(frozen=True, slots=True)
class Upload(Result):
    """An upload in progress: ``offset`` of ``length`` bytes are durable."""

    upload_id: str = ""
    file_name: str = ""
    length: int = 0
    offset: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class DatasetVersion(Result):
    """An immutable version of a data set; ``version_id`` follows from bytes, options and schema."""

    version_id: str = ""
    dataset: str = ""
    number: int = 0
    rows: int = 0
    dropped_rows: int = 0
    bytes: int = 0
    created: str = ""


@dataclass(frozen=True, slots=True)
class Run(Result):
    """A training run; ``state`` is a name of the contract's ``RunState``."""

    run_id: str = ""
    state: str = ""
    stage: str = ""
    progress: float = 0.0
    dataset_version: str = ""
    model: str = ""
    metric: str = ""
    best_score: float | None = None
    winner: int = 0
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    model_digest: str = ""
    model_release: int = 0
    error_code: str = ""
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether it does nothing any more by itself."""
        return self.state in RUN_ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it made a model."""
        return self.state == "RUN_STATE_SUCCEEDED"


@dataclass(frozen=True, slots=True)
class Progress(Result):
    """A point of a run's progress; ``sequence`` grows, so that watching goes on after a cut."""

    sequence: int = 0
    stage: str = ""
    progress: float = 0.0
    message: str = ""
    trial: int = 0
    score: float | None = None
    best_score: float | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion(Result):
    """A version of a model: ``release`` counts, ``digest`` identifies."""

    model: str = ""
    release: int = 0
    digest: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    golden_sha256: str = ""
    golden_rows: int = 0
    p95_us: float | None = None
    created: str = ""


@dataclass(frozen=True, slots=True)
class Segment(Result):
    """A group of gateways that get the same models."""

    name: str = ""
    gateways: int = 0
    generation: int = 0
    serving: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gateway(Result):
    """A gateway as it was heard of last."""

    gateway_id: str = ""
    segment: str = ""
    state: str = ""
    health: str = ""
    stale: bool = False
    generation: int = 0
    serving: Mapping[str, str] = field(default_factory=dict)
    last_heard: str = ""
    http_url: str = ""
    grpc_address: str = ""


@dataclass(frozen=True, slots=True)
class NewGateway(Result):
    """A gateway that was just made; ``token`` lets it enrol once and is not shown again."""

    gateway: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    expires: str = ""
    root_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Rollout(Result):
    """A gray release; ``sentence`` says what is going on and whether anything must be done."""

    rollout_id: str = ""
    state: str = ""
    reason: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    stable_release: int = 0
    candidate_release: int = 0
    sentence: str = ""
    next_actions: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it never changes again."""
        return self.state in ROLLOUT_ENDED

    @property
    def succeeded(self) -> bool:
        """Whether the candidate is what all serve now."""
        return self.state == "succeeded"


@dataclass(frozen=True, slots=True)
class Decision(Result):
    """One decision about a rollout, with the rule that made it and its evidence in the document."""

    number: int = 0
    time: str = ""
    kind: str = ""
    from_state: str = ""
    to_state: str = ""
    rule: str = ""
    by: str = ""
    sentence: str = ""
    replay_agrees: bool = False


@dataclass(frozen=True, slots=True)
class Prediction(Result):
    """Outputs by name, each a flat list with its shape, and which version answered."""

    outputs: Mapping[str, list[Any]] = field(default_factory=dict)
    shapes: Mapping[str, list[int]] = field(default_factory=dict)
    digest: str = ""
    release: int = 0
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Event(Result):
    """A fact of the platform; ``number`` lets a reader go on after a cut."""

    name: str = ""
    number: str = ""
