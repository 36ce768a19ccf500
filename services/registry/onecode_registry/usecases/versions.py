"""Find and delete model versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from onecode_common.errors import NotFoundError, PreconditionError
from onecode_common.ids import digest
from onecode_registry.domain.project import require_project
from onecode_registry.domain.version import DELETED, READY, Alias, Version
from onecode_registry.ports import Ports
from onecode_registry.rows import Unit
from onecode_registry.usecases.signed import SignedMetadata


@dataclass(frozen=True, slots=True)
class Found:
    """A version with what names it now."""

    version: Version
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model: how many versions it has, the latest, and its aliases."""

    name: str
    versions: int
    latest: Found
    aliases: Mapping[str, str]


class Versions:
    """What a caller may do with versions that exist."""

    def __init__(self, ports: Ports, signed: SignedMetadata) -> None:
        self._project = ports.project
        self._records = ports.records
        self._signed = signed

    def get(self, project: str, digest_: str = "", model: str = "", release: int = 0, alias: str = "") -> Found:
        """Return the version by its digest, or by its model and a release or alias (or the latest).

        Raises:
            NotFoundError: There is none.
        """
        require_project(project, self._project)
        with self._records.transaction() as unit:
            version = self._named(unit, digest_, Alias(project, model, alias, ""), release)
            if version is None or version.state != READY or version.project != project:
                what = digest_ or f"{model} {alias or release or 'latest'}"
                message = f"there is no version {what[:120]!r}"
                raise NotFoundError(message, code="version.missing", params={"value": what[:120]})
            return _with_aliases(version, unit.aliases.all(project, version.model))

    def of_model(self, project: str, model: str) -> list[Found]:
        """Return a model's versions, newest first; none if there is no such model."""
        require_project(project, self._project)
        with self._records.transaction() as unit:
            aliases = unit.aliases.all(project, model)
            return [_with_aliases(version, aliases) for version in unit.versions.ready(project, model)]

    def models(self, project: str) -> list[ModelSummary]:
        """Return all models by name."""
        require_project(project, self._project)
        with self._records.transaction() as unit:
            versions, aliases = unit.versions.ready(project), unit.aliases.all(project)
        by_model: dict[str, list[Version]] = {}
        for version in versions:
            by_model.setdefault(version.model, []).append(version)
        return [
            ModelSummary(
                name=name,
                versions=len(found),
                latest=_with_aliases(found[0], aliases),
                aliases={alias.alias: alias.digest for alias in aliases if alias.model == name},
            )
            for name, found in sorted(by_model.items())
        ]

    def delete(self, project: str, digest_: str, principal: str) -> None:
        """Take a version out; its files are swept later. Deleting it again changes nothing.

        Raises:
            NotFoundError: There is none.
            PreconditionError: An alias or a published policy names it.
        """
        require_project(project, self._project)
        name = digest(digest_)
        with self._records.transaction() as unit:
            unit.turn()
            version = unit.versions.by_digest(name)
            if version is None or version.project != project or version.state not in (READY, DELETED):
                message = f"there is no version {name}"
                raise NotFoundError(message, code="version.missing", params={"value": name})
            if version.state == DELETED:
                return
            _require_unused(unit, version)
            self._signed.remove(unit, version)
            unit.versions.set_state(name, DELETED)
            unit.audit(principal, "version.delete", f"{version.model}/{version.release}", version.digest)

    def with_aliases(self, version: Version) -> Found:
        """Return a version with the aliases that name it now."""
        with self._records.transaction() as unit:
            return _with_aliases(version, unit.aliases.all(version.project, version.model))

    def _named(self, unit: Unit, digest_: str, alias: Alias, release: int) -> Version | None:
        if digest_:
            return unit.versions.by_digest(digest(digest_))
        if alias.alias:
            named = unit.aliases.find(alias.project, alias.model, alias.alias)
            return None if named is None or not named.digest else unit.versions.by_digest(named.digest)
        if release:
            return unit.versions.by_release(alias.project, alias.model, release)
        return next(iter(unit.versions.ready(alias.project, alias.model)), None) if alias.model else None


def _with_aliases(version: Version, aliases: list[Alias]) -> Found:
    return Found(version, tuple(alias.alias for alias in aliases if alias.digest == version.digest))


def _require_unused(unit: Unit, version: Version) -> None:
    for alias in unit.aliases.all(version.project, version.model):
        if alias.digest == version.digest:
            message = f"{version.model} release {version.release} is {alias.alias!r}: move that alias first"
            raise PreconditionError(message, code="version.in_use", params={"alias": alias.alias})
    segments = unit.trust.named_by(version.digest)
    if segments:
        message = (
            f"{version.model} release {version.release} is in the policy of segment {segments[0]!r}: release another"
        )
        raise PreconditionError(message, code="version.in_use", params={"segment": segments[0]})
