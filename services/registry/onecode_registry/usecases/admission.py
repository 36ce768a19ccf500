"""Decide which files become versions: our own training's, and foreign ones that were shown to be safe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onecode_common.canonical import Json, digest_of
from onecode_common.errors import InvalidError
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
from onecode_registry.domain.project import require_project
from onecode_registry.domain.version import GOLDEN_FILE, MODEL_FILE, Draft, File
from onecode_registry.ports import Ports
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.versions import Found, Versions

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
class ForeignFile:
    """An ONNX file from elsewhere; its golden set is given, or that of another version is taken over."""

    project: str
    request_id: str
    model: str
    model_sha256: str
    golden_sha256: str
    golden_from: str
    source: str


class Admission:
    """What a caller may do to make a version."""

    def __init__(self, ports: Ports, registration: Registration, versions: Versions) -> None:
        self._project = ports.project
        self._objects = ports.objects
        self._inspector = ports.inspector
        self._trial = ports.trial
        self._registration = registration
        self._versions = versions

    def register(self, candidate: Candidate, principal: str) -> Found:
        """Return the version with its release number; repeating the request returns the same one.

        Raises:
            InvalidError: The file, its contract or its golden set cannot be used.
            NotFoundError: A file was not stored before.
            ConflictError: The request id was used for something else.
        """
        self._check(candidate)
        body = _body(candidate, contract=contract_document(candidate.contract), metrics=_metrics(candidate.metrics))
        found = self._registration.earlier(candidate.project, candidate.request_id, "register", body)
        if found is None:
            found = self._registration.store(self._own_draft(candidate, body), "register", principal)
        return self._versions.with_aliases(found)

    def import_file(self, foreign: ForeignFile, principal: str) -> Found:
        """Return the version of a foreign file, once it was shown to be safe and to fit its golden set.

        Whether it gives the golden answers is proven where it will serve.

        Raises:
            InvalidError: The file or its golden set is refused; the code says why.
            NotFoundError: A file or the version to take the golden set from does not exist.
            ConflictError: The request id was used for something else.
        """
        self._check(foreign)
        body = _body(foreign)
        found = self._registration.earlier(foreign.project, foreign.request_id, "import", body)
        if found is None:
            found = self._registration.store(self._foreign_draft(foreign, body, principal), "import", principal)
        return self._versions.with_aliases(found)

    def _own_draft(self, candidate: Candidate, body: str) -> Draft:
        check_contract(candidate.contract)
        content = self._objects.get(hex_of(candidate.model_sha256))
        graph = self._inspector.inspect(content, foreign=False)
        require_graph(candidate.contract, graph)
        golden, golden_file = self._golden(candidate.golden_sha256)
        require_fit(golden, candidate.contract)
        return Draft(
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

    def _foreign_draft(self, foreign: ForeignFile, body: str, principal: str) -> Draft:
        require_accepted_name(foreign.source)
        like, golden_hex = self._golden_source(foreign)
        content = self._objects.get(hex_of(foreign.model_sha256))
        graph = self._inspector.inspect(content, foreign=True)
        golden, golden_file = self._golden(golden_hex)
        probed = self._trial.probe(content)
        # The runtime knows shapes that the file leaves open.
        contract = derive(replace(graph, inputs=probed.inputs, outputs=probed.outputs), like, golden.missing)
        check_contract(contract)
        require_fit(golden, contract)
        lineage = {
            "source": foreign.source[:_LONGEST_SOURCE],
            "created_by": principal,
            "imported": True,
            "golden_from": foreign.golden_from,
        }
        return Draft(
            project=foreign.project,
            request_id=foreign.request_id,
            body=body,
            model=foreign.model,
            files=(File(MODEL_FILE, hex_of(foreign.model_sha256), len(content)), golden_file),
            contract=contract,
            golden=_golden_document(golden),
            metrics={},
            parity={},
            lineage=lineage,
            runtime=_runtime(graph),
            p95_us=number_text(round(probed.p95_us, 2), "p95_us"),
        )

    def _golden_source(self, foreign: ForeignFile) -> tuple[Contract | None, str]:
        if bool(foreign.golden_sha256) == bool(foreign.golden_from):
            message = "an import needs a golden set: give its digest, or a version to take it from, not both"
            raise InvalidError(message, code="golden.missing", hint="--golden FILE or --golden from:VERSION")
        if foreign.golden_sha256:
            return None, foreign.golden_sha256
        version = self._versions.get(foreign.project, digest_=digest(foreign.golden_from)).version
        golden = next(file for file in version.files() if file.name == GOLDEN_FILE)
        return read_contract(version.document()["contract"]), golden.hex_digest

    def _golden(self, hex_digest: str) -> tuple[Golden, File]:
        if not hex_digest:
            message = "a version needs a golden set: store one and send its digest"
            raise InvalidError(message, code="golden.missing")
        digits = hex_of(hex_digest)
        size = self._objects.size(digits)
        if size > MAX_BYTES:
            message = f"the golden set cannot be used: it has {size} bytes, at most {MAX_BYTES} are read"
            raise InvalidError(message, code="golden.invalid", params={"line": 0})
        return read_golden(self._objects.get(digits)), File(GOLDEN_FILE, digits, size)

    def _check(self, request: Candidate | ForeignFile) -> None:
        require_project(request.project, self._project)
        check_name(request.model, "model")
        check_id(request.request_id, "request id")


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
