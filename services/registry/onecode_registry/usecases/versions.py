"""Register, import, find and delete model versions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onecode_common.canonical import Json, digest_of
from onecode_common.errors import InvalidError, NotFoundError, PreconditionError
from onecode_common.ids import check_id, check_name, digest, hex_of
from onecode_registry.domain.contract import (
    Contract,
    Graph,
    check_contract,
    contract_document,
    derive,
    read_contract,
    require_graph,
)
from onecode_registry.domain.formats import require_accepted_name
from onecode_registry.domain.golden import MAX_BYTES, Golden, read_golden, require_fit
from onecode_registry.domain.numbers import json_object, number_text
from onecode_registry.domain.version import DELETED, GOLDEN_FILE, MODEL_FILE, READY, Alias, Draft, File, Version
from onecode_registry.ports import Ports
from onecode_registry.rows import Unit
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.signed import SignedMetadata

_MOST_METRICS = 200
_LONGEST_SOURCE = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that our own training asks to register.

    Attributes:
        parity: Text of a JSON object: how the file compares with the trained model.
        lineage: Text of a JSON object: where it came from.
    """

    project: str
    request_id: str
    model: str
    model_sha256: str
    golden_sha256: str
    contract: Contract
    metrics: Mapping[str, float]
    parity: str
    lineage: str
    p95_us: float | None


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
    """What a caller may do with model versions."""

    def __init__(self, ports: Ports, signed: SignedMetadata, registration: Registration) -> None:
        self._project = ports.project
        self._records = ports.records
        self._objects = ports.objects
        self._inspector = ports.inspector
        self._trial = ports.trial
        self._signed = signed
        self._registration = registration

    def register(self, candidate: Candidate, principal: str) -> Found:
        """Return the version with its release number; repeating the request returns the same one.

        Raises:
            InvalidError: The file, its contract or its golden set cannot be used.
            NotFoundError: A file was not stored before.
            ConflictError: The request id was used for something else.
        """
        check_name(candidate.model, "model")
        self._check_request(candidate.project, candidate.request_id)
        body = _body(candidate, contract=contract_document(candidate.contract), metrics=_metrics(candidate.metrics))
        found = self._registration.earlier(candidate.project, candidate.request_id, "register", body)
        if found is None:
            check_contract(candidate.contract)
            content = self._objects.get(hex_of(candidate.model_sha256))
            graph = self._inspector.inspect(content, foreign=False)
            require_graph(candidate.contract, graph)
            golden, golden_file = self._golden(candidate.golden_sha256)
            require_fit(golden, candidate.contract)
            draft = Draft(
                project=candidate.project,
                request_id=candidate.request_id,
                body=body,
                model=candidate.model,
                files=(File(MODEL_FILE, hex_of(candidate.model_sha256), len(content)), golden_file),
                contract=candidate.contract,
                golden=_golden_document(golden),
                metrics=_metrics(candidate.metrics),
                parity=json_object(candidate.parity, "parity"),
                lineage=json_object(candidate.lineage, "lineage"),
                runtime=_runtime(graph),
                p95_us="" if candidate.p95_us is None else number_text(candidate.p95_us, "p95_us"),
            )
            found = self._registration.store(draft, "register", principal)
        return self._found(found)

    def get(self, project: str, digest_: str = "", model: str = "", release: int = 0, alias: str = "") -> Found:
        """Return the version by its digest, or by its model and a release or alias (or the latest).

        Raises:
            NotFoundError: There is none.
        """
        self._check_project(project)
        with self._records.transaction() as unit:
            version = self._named(unit, digest_, Alias(project, model, alias, ""), release)
            if version is None or version.state != READY or version.project != project:
                what = digest_ or f"{model} {alias or release or 'latest'}"
                message = f"there is no version {what[:120]!r}"
                raise NotFoundError(message, code="version.missing", params={"value": what[:120]})
            return _with_aliases(version, unit.aliases.all(project, version.model))

    def of_model(self, project: str, model: str) -> list[Found]:
        """Return a model's versions, newest first; none if there is no such model."""
        self._check_project(project)
        with self._records.transaction() as unit:
            aliases = unit.aliases.all(project, model)
            return [_with_aliases(version, aliases) for version in unit.versions.ready(project, model)]

    def models(self, project: str) -> list[ModelSummary]:
        """Return all models by name."""
        self._check_project(project)
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
        self._check_project(project)
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

    def _named(self, unit: Unit, digest_: str, alias: Alias, release: int) -> Version | None:
        if digest_:
            return unit.versions.by_digest(digest(digest_))
        if alias.alias:
            named = unit.aliases.find(alias.project, alias.model, alias.alias)
            return None if named is None or not named.digest else unit.versions.by_digest(named.digest)
        if release:
            return unit.versions.by_release(alias.project, alias.model, release)
        return next(iter(unit.versions.ready(alias.project, alias.model)), None) if alias.model else None

    def _found(self, version: Version) -> Found:
        with self._records.transaction() as unit:
            return _with_aliases(version, unit.aliases.all(version.project, version.model))

    def _check_request(self, project: str, request_id: str) -> None:
        self._check_project(project)
        check_id(request_id, "request id")

    def _check_project(self, project: str) -> None:
        if project != self._project:
            message = f"there is no project {project[:80]!r}"
            raise NotFoundError(message, code="project.missing", params={"value": project[:80]})


def _body(request: Candidate | ForeignFile, **more: Json) -> str:
    fields: dict[str, Any] = {name: getattr(request, name) for name in request.__dataclass_fields__}
    if fields.get("p95_us") is not None:
        fields["p95_us"] = number_text(fields["p95_us"], "p95_us")
    return digest_of({**fields, **more}).removeprefix("sha256:")


def _metrics(metrics: Mapping[str, float]) -> dict[str, str]:
    if len(metrics) > _MOST_METRICS:
        message = f"a version may carry {_MOST_METRICS} metrics, not {len(metrics)}"
        raise InvalidError(message, code="request.too_large")
    return {name: number_text(value, f"metric {name[:80]!r}") for name, value in metrics.items()}


def _golden_document(golden: Golden) -> dict[str, Any]:
    return {"rows": len(golden.rows), "atol": repr(golden.atol), "rtol": repr(golden.rtol)}


def _runtime(graph: Graph) -> dict[str, int]:
    runtime = {"ir_version": graph.ir_version, "opset": graph.opset}
    return runtime | ({"opset_ml": graph.opset_ml} if graph.opset_ml else {})


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
