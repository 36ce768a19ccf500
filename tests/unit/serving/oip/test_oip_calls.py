"""Every call beside predictions says what is true, and only to whom it may."""

import json
import re
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from oip_face import Face, features, grant_of, request, tensor
from oip_models import versions
from tritonclient.grpc import InferRequestedOutput, service_pb2

from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant, Meters
from onecode_serving.domain.tenants import Tenant
from onecode_serving.oip.methods import METHODS
from onecode_serving.oip.options import OipOptions


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@pytest.fixture
def own() -> Face:
    return Face()


def code_of(face: Face, method: str, /, **fields: Any) -> tuple[str, str]:
    with pytest.raises(OnecodeError) as caught:
        face.ask(method, **fields)
    return caught.value.kind, caught.value.code


def test_live_and_ready(own: Face) -> None:
    assert own.ask("ServerLive").live
    assert own.ask("ServerReady").ready
    own.plane.announce({}, "models are missing")
    assert own.ask("ServerLive").live
    assert not own.ask("ServerReady").ready


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("dense", "", True), ("plus", "1", True), ("plus", "9", False), ("nobody", "", False), ("waiting", "", False),
        ("plus", "abc", False), ("", "", False),
    ],
)  # fmt: skip
def test_a_model_that_is_not_here_is_not_ready_which_is_no_error(
    face: Face, name: str, version: str, ready: bool
) -> None:
    assert face.ask("ModelReady", name=name, version=version).ready is ready


def test_the_server_names_the_extensions_that_work(face: Face, tmp_path: Any) -> None:
    found = face.ask("ServerMetadata")
    assert (found.name, bool(found.version)) == ("onecode", True)
    assert {"classification", "binary_tensor_data", "statistics", "model_repository"} <= set(found.extensions)
    assert not {"trace", "system_shared_memory", "cuda_shared_memory"} & set(found.extensions)
    more = Face(OipOptions(shared_memory=True, trace_file=tmp_path / "t")).ask("ServerMetadata").extensions
    assert set(more) - set(found.extensions) == {"trace", "system_shared_memory"}


def test_metadata_has_minus_one_for_free_axes_and_names_the_version(face: Face) -> None:
    found = face.ask("ModelMetadata", name="dense")
    tensors = [(one.name, one.datatype, list(one.shape)) for one in (*found.inputs, *found.outputs)]
    assert tensors == [("features", "FP32", [-1, 4]), ("label", "INT64", [-1]), ("probabilities", "FP32", [-1, 3])]
    assert (found.platform, list(found.versions)) == ("onnx_onnxv1", ["1"])
    assert list(face.ask("ModelMetadata", name="plus").versions) == ["1", "2"]


def test_another_dialect_reads_digest_and_release_from_the_properties(face: Face) -> None:
    from onecode_serving.oip.wire import pb

    body = face.bytes_of("/inference.GRPCInferenceService/ModelMetadata", b"\x0a\x04plus")
    digest = next(one.digest for one in versions() if (one.model, one.release) == ("plus", 2))
    expected = {"onecode_model_digest": digest, "onecode_release": "2"}
    assert dict(pb.ModelMetadataResponse.FromString(body).properties) == expected


@pytest.mark.parametrize("name", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize(
    ("model", "version", "kind"),
    [("nobody", "", "not_found"), ("plus", "9", "not_found"), ("plus", "x", "invalid"), ("waiting", "", "unavailable")],
)
def test_who_is_not_here_is_refused_as_in_predictions(
    face: Face, name: str, model: str, version: str, kind: str
) -> None:
    assert code_of(face, name, name=model, version=version)[0] == kind


def test_a_configuration_has_dims_without_the_batch_axis(face: Face) -> None:
    found = face.ask("ModelConfig", name="dense").config
    assert (found.name, found.platform, found.backend, found.max_batch_size) == (
        "dense", "onnx_onnxv1", "onnxruntime", 1024,
    )  # fmt: skip
    document = MessageToDict(found, preserving_proto_field_name=True)
    assert document["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": ["4"]}]
    assert [(one["name"], one["data_type"], one.get("dims")) for one in document["output"]] == [
        ("label", "TYPE_INT64", None),
        ("probabilities", "TYPE_FP32", ["3"]),
    ]
    assert document["instance_group"] == [{"name": "dense", "count": 1, "kind": "KIND_CPU"}]
    assert document["version_policy"] == {"specific": {"versions": ["1"]}}
    assert document["parameters"]["onecode_release"] == {"string_value": "1"}


def test_a_configuration_without_a_batch_axis_has_whole_dims(face: Face) -> None:
    found = face.ask("ModelConfig", name="whole").config
    assert (found.max_batch_size, list(found.input[0].dims), list(found.output[1].dims)) == (0, [2, 3], [3, 2])


def test_a_configuration_names_every_datatype_and_what_is_optional(face: Face) -> None:
    kinds = [one.data_type for one in face.ask("ModelConfig", name="types").config.input]
    assert kinds == [1, 6, 7, 8, 9, 2, 3, 4, 5, 10, 11, 12, 13]
    assert face.ask("ModelConfig", name="brain").config.input[0].data_type == 14
    assert [one.optional for one in face.ask("ModelConfig", name="optional").config.input] == [False, True]


def test_statistics_count_requests_rows_and_runs(own: Face) -> None:
    for rows in (1, 3, 3):
        own.infer(request("plus", tensor("features", features(rows), "FP32")))
    with pytest.raises(OnecodeError):
        own.infer(request("plus", tensor("features", features(), "FP32"), outputs=[InferRequestedOutput("no")]))
    found = own.ask("ModelStatistics", name="plus", version="2").model_stats
    assert len(found) == 1
    one = found[0]
    assert (one.name, one.version, one.inference_count, one.execution_count) == ("plus", "2", 7, 3)
    assert (one.inference_stats.success.count, one.inference_stats.fail.count) == (3, 1)
    assert one.inference_stats.success.ns >= one.inference_stats.compute_infer.ns > 0
    assert {batch.batch_size: batch.compute_infer.count for batch in one.batch_stats} == {1: 1, 3: 2}
    assert one.last_inference > 1_700_000_000_000
    assert one.memory_usage[0].byte_size > 0


def test_statistics_of_all_models_come_for_an_empty_name(face: Face) -> None:
    found = [(one.name, one.version) for one in face.ask("ModelStatistics").model_stats]
    assert found == sorted((one.model, str(one.release)) for one in versions())
    assert [one.version for one in face.ask("ModelStatistics", name="plus").model_stats] == ["1", "2"]


CHANGES: list[tuple[str, Any]] = [
    ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name="plus")),
    ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name="plus")),
    ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="r")),
    ("SystemSharedMemoryUnregister", service_pb2.SystemSharedMemoryUnregisterRequest()),
    ("CudaSharedMemoryRegister", service_pb2.CudaSharedMemoryRegisterRequest(name="r")),
    ("TraceSetting", service_pb2.TraceSettingRequest(settings={"trace_rate": {"value": ["1"]}})),
    ("LogSettings", service_pb2.LogSettingsRequest(settings={"log_info": {"bool_param": False}})),
]


@pytest.mark.parametrize(("name", "message"), CHANGES)
def test_changes_are_for_administrators(own: Face, name: str, message: Any) -> None:
    own.grant = Grant(Tenant("anonymous"), Meters())
    with pytest.raises(OnecodeError) as caught:
        own.ask(name, message)
    assert caught.value.code in ("access.verb", "rpc.unimplemented")
    assert caught.value.kind in ("denied", "precondition")


@pytest.mark.parametrize("name", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_a_model_that_the_caller_may_not_know_is_refused(own: Face, name: str) -> None:
    own.grant = grant_of(models=re.compile("plus"))
    assert code_of(own, name, name="dense") == ("denied", "access.model")
    own.ask(name, name="plus")


def test_secret_names_are_in_no_list(own: Face) -> None:
    tenant = Tenant("press-3", models=re.compile("plus"))
    own.grant = Grant(tenant, Meters(), secret_names=True)
    assert {one.name for one in own.ask("RepositoryIndex").models} == {"plus"}
    assert {one.name for one in own.ask("ModelStatistics").model_stats} == {"plus"}
    own.plane.announce({}, None)
    for model in ("dense", "nobody"):
        assert code_of(own, "ModelMetadata", name=model) == ("not_found", "model.unknown")
        assert not own.ask("ModelReady", name=model).ready
    tenant = Tenant("press-3", models=re.compile("plus"), verbs=frozenset({"read", "admin"}))
    own.grant = Grant(tenant, Meters(), secret_names=True)
    for model in ("dense", "nobody"):
        own.ask("RepositoryModelUnload", model_name=model)
    own.grant = None
    assert own.ask("ModelReady", name="dense").ready


@pytest.mark.parametrize("path", sorted(METHODS))
def test_every_call_refuses_bytes_that_are_no_message(face: Face, path: bytes) -> None:
    if METHODS[path].answer is None or b"CudaSharedMemory" in path:
        return
    with pytest.raises(OnecodeError) as caught:
        face.bytes_of(path.decode(), b"\xff")
    assert caught.value.code == "rpc.undecodable"


def test_answers_for_both_faces_are_plain_json(face: Face) -> None:
    service = face.service
    for document in (
        service.server_metadata(),
        service.model_config("dense", ""),
        service.statistics("", ""),
        service.trace_settings(),
        service.log_settings(),
    ):
        assert json.loads(json.dumps(document)) == document


def test_a_call_whose_caller_went_away_does_not_run(own: Face) -> None:
    body = request("plus", tensor("features", features(), "FP32")).SerializeToString()
    own.grant = grant_of(concurrency=1)
    call = own.begin("/inference.GRPCInferenceService/ModelInfer", body)
    for cancel in call.cancels:
        cancel()
    own.turns.run()
    assert call.answer is None
    assert own.plane.statistics("plus", "2")[0].execution_count == 0
    own.infer(request("plus", tensor("features", features(), "FP32")))


def test_the_callers_limits_hold_for_single_calls(own: Face) -> None:
    own.grant = grant_of(concurrency=1)
    path = "/inference.GRPCInferenceService/ModelInfer"
    body = request("plus", tensor("features", features(), "FP32")).SerializeToString()
    for _ in range(2):
        first, second = own.begin(path, body), own.begin(path, body)
        own.turns.run()
        assert isinstance(first.answer, bytes)
        assert isinstance(second.answer, OnecodeError)
        assert second.answer.code == "limit.concurrency"


def test_the_unit_of_the_call_and_of_the_request_are_the_same(own: Face) -> None:
    from onecode_serving.domain.routing import Arm, Route

    digests = {one.release: one.digest for one in versions() if one.model == "plus"}
    arms = (Arm(0, 5000, digests[1], 1, "candidate"), Arm(5000, 10_000, digests[2], 2, "stable"))
    own.plane.set_routes({**own.plane.routes(), "plus": Route("plus", "r", 1, "key", "salt", arms)})
    seen = set()
    for number in range(40):
        asked = request("plus", tensor("features", np.zeros((1, 4), np.float32), "FP32"))
        by_call = own.infer(asked, unit=f"press-{number}").get_response()
        asked.parameters["onecode_unit"].string_param = f"press-{number}"
        by_request = own.infer(asked, unit="somebody else").get_response()
        assert by_call.model_version == by_request.model_version
        seen.add(by_call.parameters["onecode_arm"].string_param)
    assert seen == {"stable", "candidate"}
