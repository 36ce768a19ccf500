"""Translate between the wire and the registry's own values."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from onecode.registry.v1 import registry_pb2 as pb
from onecode_registry.domain.contract import Contract, Tensor, read_contract
from onecode_registry.domain.run import Point, RunLog
from onecode_registry.domain.version import GOLDEN_FILE
from onecode_registry.usecases.admission import Candidate, ForeignFile
from onecode_registry.usecases.policies import Publication
from onecode_registry.usecases.versions import Found, ModelSummary


def candidate_from_wire(request: pb.RegisterVersionRequest) -> Candidate:
    """Return what training asks to register."""
    return Candidate(
        project=request.project,
        request_id=request.request_id,
        model=request.model,
        model_sha256=request.model_sha256,
        golden_sha256=request.golden_sha256,
        contract=Contract(
            tuple(_tensor(spec) for spec in request.contract.inputs),
            tuple(_tensor(spec) for spec in request.contract.outputs),
            request.contract.task or "unknown",
        ),
        metrics=dict(request.metrics),
        parity=request.parity,
        lineage=request.lineage,
        p95_us=request.p95_us if request.HasField("p95_us") else None,
    )


def foreign_from_wire(request: pb.ImportVersionRequest) -> ForeignFile:
    """Return what somebody asks to import."""
    return ForeignFile(
        project=request.project,
        request_id=request.request_id,
        model=request.model,
        model_sha256=request.model_sha256,
        golden_sha256=request.golden_sha256,
        golden_from=request.golden_from,
        source=request.source,
    )


def log_from_wire(request: pb.LogRunRequest) -> RunLog:
    """Return what training tells of a run."""
    return RunLog(
        project=request.project,
        run_id=request.run_id,
        batch=request.batch,
        state=request.state,
        parameters=dict(request.parameters),
        tags=dict(request.tags),
        points=[
            Point(point.key, point.value, point.step, _time(point.time.seconds, point.time.nanos))
            for point in request.metrics
        ],
    )


def publication_from_wire(request: pb.PublishPolicyRequest) -> Publication:
    """Return what rollout asks to publish."""
    return Publication(request.project, request.generation, request.fleet_metadata, dict(request.policies))


def version_to_wire(found: Found) -> pb.Version:
    """Return a version with everything that its manifest says."""
    version, document = found.version, found.version.document()
    files = {entry["name"]: entry for entry in document["files"]}
    wire = pb.Version(
        project=version.project,
        model=version.model,
        release=version.release,
        digest=version.digest,
        manifest=version.manifest,
        files=[pb.File(name=one.name, sha256=one.hex_digest, length=one.length) for one in version.files()],
        contract=_contract_to_wire(read_contract(document["contract"])),
        metrics={name: float(value) for name, value in document["metrics"].items()},
        golden_sha256=files.get(GOLDEN_FILE, {}).get("sha256", ""),
        golden_rows=document["golden"].get("rows", 0),
        parity=_text(document["parity"]),
        lineage=_text(document["lineage"]),
        aliases=list(found.aliases),
        mlflow_version=version.mlflow_version,
        state=version.state,
    )
    wire.created.FromDatetime(version.created)
    if document.get("p95_us"):
        wire.p95_us = float(document["p95_us"])
    return wire


def model_to_wire(model: ModelSummary) -> pb.Model:
    """Return a model with its latest version."""
    return pb.Model(
        name=model.name, versions=model.versions, latest=version_to_wire(model.latest), aliases=dict(model.aliases)
    )


def _tensor(spec: pb.TensorSpec) -> Tensor:
    return Tensor(
        name=spec.name,
        datatype=spec.datatype,
        shape=tuple(spec.shape),
        columns=tuple(spec.columns),
        minimum=tuple(spec.minimum),
        maximum=tuple(spec.maximum),
        labels=tuple(spec.labels),
        allow_nan=spec.allow_nan,
    )


def _contract_to_wire(contract: Contract) -> pb.Contract:
    return pb.Contract(
        inputs=[_tensor_to_wire(tensor) for tensor in contract.inputs],
        outputs=[_tensor_to_wire(tensor) for tensor in contract.outputs],
        task=contract.task,
    )


def _tensor_to_wire(tensor: Tensor) -> pb.TensorSpec:
    return pb.TensorSpec(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tensor.shape,
        columns=tensor.columns,
        minimum=tensor.minimum,
        maximum=tensor.maximum,
        labels=tensor.labels,
        allow_nan=tensor.allow_nan,
    )


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False) if document else ""


def _time(seconds: int, nanos: int) -> datetime:
    # A time that no calendar has must not end the call; MLflow needs some time for each point.
    bounded = min(max(seconds, 0), 253_402_300_799)
    return datetime.fromtimestamp(bounded, UTC).replace(microsecond=min(max(nanos, 0), 999_999_999) // 1000)
