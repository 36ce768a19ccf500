"""Say what the registry keeps, table by table, whatever database keeps it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from onecode_registry.domain.run import Point, Run
from onecode_registry.domain.version import Alias, Version


class VersionRows(Protocol):
    """Model versions in one transaction."""

    def by_request(self, project: str, request_id: str) -> Version | None:
        """Return what this request made."""
        ...

    def by_digest(self, digest: str) -> Version | None:
        """Return the version in any state."""
        ...

    def by_release(self, project: str, model: str, release: int) -> Version | None:
        """Return the version in any state."""
        ...

    def ready(self, project: str, model: str = "") -> list[Version]:
        """Return what everybody sees, of one model or of all, newest release first."""
        ...

    def unfinished(self) -> list[Version]:
        """Return registrations that have begun and are neither ready nor deleted."""
        ...

    def next_release(self, project: str, model: str) -> int:
        """Return one more than any release the model ever had."""
        ...

    def add(self, version: Version) -> None:
        """Store a new version.

        Raises:
            ConflictError: Its request id or release is taken.
        """
        ...

    def remove(self, digest: str) -> None:
        """Take out a registration that cannot be finished."""
        ...

    def set_state(self, digest: str, state: str) -> None:
        """Change the state; MLflow has to hear of it again."""
        ...

    def referenced(self) -> set[str]:
        """Return the hex digests of all objects that a version needs."""
        ...

    def unmirrored(self, limit: int) -> list[Version]:
        """Return what MLflow has not heard of, oldest first."""
        ...

    def set_mirrored(self, digest: str, mlflow_version: str) -> None:
        """Note that MLflow has it."""
        ...


class AliasRows(Protocol):
    """Aliases in one transaction."""

    def all(self, project: str, model: str = "") -> list[Alias]:
        """Return aliases that name something, of one model or of all."""
        ...

    def find(self, project: str, model: str, alias: str) -> Alias | None:
        """Return the alias, also if it names nothing now."""
        ...

    def put(self, alias: Alias) -> None:
        """Store what it names now; MLflow has to hear of it."""
        ...

    def unmirrored(self, limit: int) -> list[Alias]:
        """Return what MLflow has not heard of."""
        ...

    def set_mirrored(self, alias: Alias) -> None:
        """Note that MLflow has it, unless it has moved on since."""
        ...


class TrustRows(Protocol):
    """Signed metadata and policies in one transaction."""

    def take_restored(self) -> bool:
        """Return whether these records come from a backup and nobody has acted on it yet; who asks does."""
        ...

    def current(self, role: str) -> bytes | None:
        """Return the newest metadata of a role."""
        ...

    def version(self, role: str, version: int) -> bytes | None:
        """Return one version of it."""
        ...

    def put(self, role: str, version: int, content: bytes, now: datetime) -> None:
        """Store a new version.

        Raises:
            ConflictError: There is such a version.
        """
        ...

    def prune(self, before: datetime) -> None:
        """Forget what was replaced and stored before a time, but never a root."""
        ...

    def put_policy(self, path: str, hex_digest: str, content: bytes, now: datetime) -> None:
        """Store a policy's bytes."""
        ...

    def policy(self, path: str, hex_digest: str) -> bytes | None:
        """Return a policy's bytes."""
        ...

    def serve(self, policies: Mapping[str, str], named: Mapping[str, frozenset[str]]) -> None:
        """Set the published policies (path to hex digest) and the versions that changed segments name."""
        ...

    def named_by(self, digest: str) -> list[str]:
        """Return the segments whose published policy names a version."""
        ...

    def may_fetch(self, segment: str, hex_digest: str) -> bool:
        """Return whether a version that the segment's policy names needs this object (or is it)."""
        ...


class RunRows(Protocol):
    """Runs on their way to MLflow, in one transaction."""

    def find(self, project: str, run_id: str) -> Run | None:
        """Return the run."""
        ...

    def put(self, run: Run) -> None:
        """Store it, new or changed."""
        ...

    def add_points(self, project: str, run_id: str, points: Sequence[Point]) -> None:
        """Append to its curves."""
        ...

    def unmirrored(self, limit: int) -> list[Run]:
        """Return runs of which MLflow lacks something, oldest change first."""
        ...

    def points(self, project: str, run_id: str, limit: int) -> list[tuple[int, Point]]:
        """Return points that MLflow lacks, with their row numbers."""
        ...

    def drop_points(self, numbers: Iterable[int]) -> None:
        """Forget points that MLflow has."""
        ...

    def set_mirrored(self, project: str, run_id: str, revision: int, parameters: int, mlflow_run: str) -> None:
        """Note what MLflow has."""
        ...


class Unit(Protocol):
    """One transaction: all of it happens or nothing."""

    @property
    def versions(self) -> VersionRows:
        """Model versions."""
        ...

    @property
    def aliases(self) -> AliasRows:
        """Aliases."""
        ...

    @property
    def trust(self) -> TrustRows:
        """Signed metadata."""
        ...

    @property
    def runs(self) -> RunRows:
        """Runs."""
        ...

    def turn(self) -> None:
        """Wait until no other writer is at work; each transaction that signs or audits begins with it."""
        ...

    def audit(self, principal: str, action: str, object_: str, detail: str) -> None:
        """Write down who changed what."""
        ...

    def tell_ready(self, version: Version) -> None:
        """Tell that a version can be used."""
        ...

    def tell_alias(self, alias: Alias) -> None:
        """Tell that an alias moved."""
        ...


class Records(Protocol):
    """The registry's own database."""

    def transaction(self) -> AbstractContextManager[Unit]:
        """Begin; commit at the end, roll back on any error."""
        ...
