"""Registering, finding, naming and deleting versions over real gRPC."""

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from onecode.events.v1 import events_pb2 as events
from onecode.registry.v1 import registry_pb2 as pb
from onecode_common.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    PreconditionError,
)
from onecode_registry.adapters.tables import audit, outbox


def rows(bench: Any, table: Any) -> list[Any]:
    engine = create_engine(f"sqlite:///{bench.home / 'registry.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        found = list(connection.execute(select(table)).all())
    engine.dispose()
    return found


def test_a_version_is_named_by_the_digest_of_its_manifest_which_lists_its_files(bench: Any) -> None:
    version = bench.register()
    manifest = json.loads(version.manifest)
    assert version.digest == f"sha256:{hashlib.sha256(version.manifest.encode()).hexdigest()}"
    assert (manifest["schema"], manifest["project"], manifest["model"], manifest["release"]) == (
        1,
        "default",
        "shuttle",
        1,
    )
    assert [file["name"] for file in manifest["files"]] == ["model.onnx", "golden.jsonl"]
    assert manifest["files"][0]["sha256"] == hashlib.sha256(bench.models.good()).hexdigest()
    assert manifest["runtime"] == {"ir_version": 10, "opset": 18}
    assert manifest["golden"] == {"rows": 64, "atol": "0.0001", "rtol": "0.001"}
    assert manifest["metrics"] == {"average_precision": "0.9875"}
    assert manifest["parity"] == {"max_abs": "1.5e-07", "rows": 100}
    assert manifest["p95_us"] == "12.5"
    assert manifest["contract"]["inputs"][0] == {
        "name": "features",
        "datatype": "FP32",
        "shape": [-1, 3],
        "columns": ["s0", "s1", "s2"],
        "minimum": ["0.5"] * 3,
        "maximum": [""] * 3,
        "allow_nan": True,
    }
    assert version.state == "ready"
    assert version.golden_rows == 64
    assert version.contract.outputs[1].labels == ["0", "1"]


def test_a_repeated_request_returns_the_same_version_and_another_body_is_a_conflict(bench: Any) -> None:
    first, again = bench.register("r1"), bench.register("r1")
    assert first.digest == again.digest
    with pytest.raises(ConflictError) as caught:
        bench.register("r1", seed=1)
    assert caught.value.code == "request.mismatch"
    versions = bench.stub("console").ListVersions(pb.ListVersionsRequest(project="default", model="shuttle")).versions
    assert [one.digest for one in versions] == [first.digest]


def test_releases_only_grow_also_after_a_deletion(bench: Any) -> None:
    console = bench.stub("console")
    first = bench.register("r1")
    second = bench.register("r2", seed=1)
    console.DeleteVersion(pb.DeleteVersionRequest(project="default", digest=second.digest))
    console.DeleteVersion(pb.DeleteVersionRequest(project="default", digest=second.digest))
    third = bench.register("r3", seed=2)
    assert (first.release, second.release, third.release) == (1, 2, 3)
    with pytest.raises(NotFoundError):
        console.GetVersion(pb.GetVersionRequest(project="default", digest=second.digest))
    with pytest.raises(PreconditionError):
        bench.register("r2", seed=1)
    model = console.ListModels(pb.ListModelsRequest(project="default")).models[0]
    assert (model.name, model.versions, model.latest.release) == ("shuttle", 2, 3)


def test_an_alias_moves_only_from_where_the_caller_saw_it(bench: Any) -> None:
    console = bench.stub("console")
    first, second = bench.register("r1"), bench.register("r2", seed=1)

    def move(digest: str, expected: str) -> pb.Version:
        request = pb.SetAliasRequest(
            project="default", model="shuttle", alias="champion", digest=digest, expected_digest=expected
        )
        version: pb.Version = console.SetAlias(request).version
        return version

    assert list(move(first.digest, "").aliases) == ["champion"]
    with pytest.raises(ConflictError) as caught:
        move(second.digest, "")
    assert caught.value.params["current"] == first.digest
    assert move(second.digest, first.digest).release == 2
    # The answer was lost and the call is repeated.
    assert move(second.digest, first.digest).release == 2
    found = console.GetVersion(pb.GetVersionRequest(project="default", model="shuttle", alias="champion")).version
    assert found.digest == second.digest
    with pytest.raises(PreconditionError) as refused:
        console.DeleteVersion(pb.DeleteVersionRequest(project="default", digest=second.digest))
    assert refused.value.code == "version.in_use"
    assert not move("", second.digest).digest
    console.DeleteVersion(pb.DeleteVersionRequest(project="default", digest=second.digest))


def test_each_change_is_told_and_audited_once(bench: Any) -> None:
    version = bench.register("r1")
    bench.register("r1")
    request = pb.SetAliasRequest(project="default", model="shuttle", alias="champion", digest=version.digest)
    bench.stub("console").SetAlias(request)
    bench.stub("console").SetAlias(request)
    facts = [events.Envelope.FromString(row.payload) for row in rows(bench, outbox)]
    told = [fact.WhichOneof("body") for fact in facts if fact.WhichOneof("body") != "audit_recorded"]
    assert told == ["model_version_ready", "alias_changed"]
    trail = [(row.principal, row.action) for row in rows(bench, audit)]
    assert trail == [
        ("service:registry", "trust.create"),
        ("service:training", "version.create"),
        ("alice", "alias.set"),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"model": "../x"}, InvalidError, "name.invalid"),
        ({"request_id": ""}, InvalidError, "id.invalid"),
        ({"project": "other"}, NotFoundError, "project.missing"),
        ({"model_sha256": "0" * 64}, NotFoundError, "object.missing"),
        ({"model_sha256": "abc"}, InvalidError, "digest.invalid"),
        ({"golden_sha256": ""}, InvalidError, "golden.missing"),
        ({"metrics": {"ap": float("nan")}}, InvalidError, "number.not_finite"),
        ({"parity": "[1]"}, InvalidError, "json.invalid"),
        ({"lineage": '{"a": NaN'}, InvalidError, "json.invalid"),
        ({"lineage": "[" * 60_000}, InvalidError, "json.invalid"),
        ({"lineage": '"' + "x" * 70_000 + '"'}, InvalidError, "request.too_large"),
        ({"p95_us": float("inf")}, InvalidError, "number.not_finite"),
    ],
)
def test_what_cannot_be_registered_is_refused_by_name(
    shared: Any, changes: dict[str, Any], error: type[Exception], code: str
) -> None:
    request = shared.candidate("hostile")
    for name, value in changes.items():
        if name == "metrics":
            request.metrics.update(value)
        else:
            setattr(request, name, value)
    with pytest.raises(error) as caught:
        shared.stub("training").RegisterVersion(request)
    assert getattr(caught.value, "code", "") == code
    assert not shared.stub("console").ListModels(pb.ListModelsRequest(project="default")).models


def contract_with(**change: Any) -> pb.Contract:
    spec: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [-1, 3], **change}
    return pb.Contract(
        inputs=[pb.TensorSpec(**spec)],
        outputs=[
            pb.TensorSpec(name="label", datatype="INT64", shape=[-1]),
            pb.TensorSpec(name="probabilities", datatype="FP32", shape=[-1, 2]),
        ],
    )


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (pb.Contract(), "contract.invalid"),
        (contract_with(name="other"), "contract.mismatch"),
        (contract_with(datatype="FP64"), "contract.mismatch"),
        (contract_with(shape=[-1, 4]), "contract.mismatch"),
        (contract_with(datatype="FP33"), "contract.invalid"),
        (contract_with(shape=[1, 3]), "model.fixed_batch"),
        (contract_with(shape=[-1, 0]), "contract.invalid"),
        (contract_with(columns=["a"]), "contract.invalid"),
    ],
)
def test_a_contract_that_the_graph_does_not_keep_is_refused(shared: Any, contract: pb.Contract, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        shared.register("hostile-contract", contract=contract)
    assert caught.value.code == code


def test_only_those_named_in_the_rules_may_call(shared: Any) -> None:
    empty = pb.ListModelsRequest(project="default")
    assert not shared.stub("rollout").ListModels(empty).models
    with pytest.raises(DeniedError):
        shared.stub("ingestion").ListModels(empty)
    with pytest.raises(DeniedError):
        shared.stub("console").RegisterVersion(pb.RegisterVersionRequest())
    with pytest.raises(DeniedError):
        shared.stub("training").DeleteVersion(pb.DeleteVersionRequest())
    with pytest.raises(DeniedError):
        shared.stub("training").PublishPolicy(pb.PublishPolicyRequest())


@pytest.mark.parametrize("alias", ["latest", "v1", "", "Ä", "a" * 64, "1x", "a.b", "../x"])
def test_an_alias_cannot_look_like_a_version(shared: Any, alias: str) -> None:
    request = pb.SetAliasRequest(project="default", model="shuttle", alias=alias)
    with pytest.raises(InvalidError) as caught:
        shared.stub("console").SetAlias(request)
    assert caught.value.code == "alias.invalid"
