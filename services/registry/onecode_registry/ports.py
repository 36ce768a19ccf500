"""Say what the registry needs from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from onecode_common.clock import Clock
from onecode_common.objects import Objects
from onecode_registry.domain.contract import Graph, Tensor
from onecode_registry.domain.run import Point, Run
from onecode_registry.domain.version import Version
from onecode_registry.rows import Records


@dataclass(frozen=True, slots=True)
class Target:
    """A signed name for a manifest."""

    path: str
    hex_digest: str
    length: int
    name: str
    release: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Verified metadata of role fleet: its own counter, and (hex digest, length) of each policy by path."""

    version: int
    policies: Mapping[str, tuple[str, int]]


class Signing(Protocol):
    """Signs TUF metadata; knows keys and formats, keeps no state."""

    def first(self, now: datetime) -> dict[str, bytes]:
        """Make keys where there are none, and return version 1 of root, targets, models, snapshot, timestamp."""
        ...

    def require_keys(self, root: bytes) -> None:
        """Refuse to go on without the keys that every day needs, or with others than the root trusts.

        Raises:
            InvalidError: One is missing or damaged, or ``trust.keys``.
        """
        ...

    def successor(self, root: bytes) -> bytes | None:
        """Return the root that an operator made to follow this one; None where there is nothing newer.

        Raises:
            InvalidError: ``trust.root``: not signed by this one and by itself, not the next number, or not this one
                under the same number.
        """
        ...

    def entrusting(self, targets: bytes, now: datetime) -> bytes:
        """Return the next version of targets that trusts the key of models in use."""
        ...

    def models(self, current: bytes, add: Sequence[Target], remove: Sequence[str], now: datetime) -> bytes:
        """Return the next version of the list of models."""
        ...

    def renewed(self, role: str, current: bytes, now: datetime) -> bytes:
        """Return the next version of root, targets or models with the same content, valid from now."""
        ...

    def advanced(self, role: str, current: bytes, by: int, now: datetime) -> bytes:
        """Return the same content of any role but root under a number that is higher by ``by``, valid from now."""
        ...

    def delegating(self, targets: bytes, now: datetime) -> bytes | None:
        """Return the next version of targets that trusts the fleet key in use; None if it does already."""
        ...

    def snapshot(self, current: bytes, versions: Mapping[str, int], now: datetime) -> bytes:
        """Return the next snapshot; a role's version never goes down."""
        ...

    def timestamp(self, current: bytes, snapshot: bytes, now: datetime) -> bytes:
        """Return the next timestamp."""
        ...

    def version(self, content: bytes) -> int:
        """Return the version of any metadata."""
        ...

    def is_due(self, role: str, content: bytes, now: datetime) -> bool:
        """Return whether it should be signed again by now, long before it expires."""
        ...

    def policies(self, content: bytes) -> Mapping[str, tuple[str, int]]:
        """Return (hex digest, length) by path of fleet metadata that was checked before."""
        ...

    def check_fleet(self, targets: bytes, fleet: bytes, now: datetime) -> Fleet:
        """Verify metadata of role fleet against the key that targets delegates to.

        Raises:
            InvalidError: ``policy.metadata``, ``policy.signature`` or ``policy.expired``.
        """
        ...


class Inspector(Protocol):
    """Looks into an ONNX file without running it, in a child with limits."""

    def inspect(self, content: bytes, *, foreign: bool) -> Graph:
        """Return what the graph states.

        Args:
            content: The file.
            foreign: Control flow is then refused too.

        Raises:
            InvalidError: ``model.not_onnx``, ``model.external_data``, ``model.op_not_allowed``,
                ``model.unsupported`` or ``model.over_budget``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Probed:
    """What a model takes and gives when it runs, and how long one row takes."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    p95_us: float


class Trial(Protocol):
    """Loads a model and runs it on zeros, ones and random rows, in a child with limits."""

    def probe(self, content: bytes) -> Probed:
        """Return what was found.

        Raises:
            InvalidError: ``model.unsupported``, ``model.over_budget``, ``model.crashed`` or ``model.nan_on_probe``.
        """
        ...


class Tracking(Protocol):
    """MLflow, as far as the registry speaks to it.

    A call that cannot be made raises ``UnavailableError``, one that MLflow refuses ``InvalidError``.
    """

    def find_run(self, run_id: str) -> str:
        """Return MLflow's id of a run, or an empty text."""
        ...

    def create_run(self, run: Run) -> str:
        """Return MLflow's id of the new run."""
        ...

    def log(
        self, mlflow_run: str, points: Sequence[Point], parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Add to a run; what is there already stays once."""
        ...

    def set_state(self, mlflow_run: str, state: str, ended: datetime | None) -> None:
        """Set the state of a run, and when it ended if it did."""
        ...

    def find_version(self, model: str, digest: str) -> str:
        """Return MLflow's number of a version, or an empty text."""
        ...

    def create_version(self, version: Version, mlflow_run: str) -> str:
        """Return MLflow's number of the new version."""
        ...

    def withdraw_version(self, model: str, number: str) -> None:
        """Mark a version that was deleted."""
        ...

    def set_alias(self, model: str, alias: str, number: str) -> None:
        """Point an alias to a version; an empty number removes it."""
        ...


class Ports(NamedTuple):
    """Everything the use cases are given."""

    project: str
    records: Records
    objects: Objects
    signing: Signing
    inspector: Inspector
    trial: Trial
    tracking: Tracking
    clock: Clock
