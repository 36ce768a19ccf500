"""Everything beside predictions that a stock gRPC client may ask is answered, and changes what it says it changes."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from oip_stock import Server, Stock, features, headers, running, tensor
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

ADMIN = headers("admin")
CALLER = headers()
Ask = Callable[..., Any]
WAIT_S = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("oip")) as started:
        yield started


@pytest.fixture(scope="module")
def stock(server: Server) -> Iterator[Stock]:
    made = Stock(server.grpc)
    yield made
    made.close()


@pytest.fixture(params=["plain", "aio"])
def ask(request: pytest.FixtureRequest, stock: Stock) -> Ask:
    """Return a call of a method of the stock client by name, threads or asyncio."""
    if request.param == "plain":
        return lambda name, *arguments, **more: getattr(stock.client, name)(*arguments, **{"headers": ADMIN, **more})
    return lambda name, *arguments, **more: stock.run(
        getattr(stock.aio, name)(*arguments, **{"headers": ADMIN, **more})
    )


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as made:
        yield made


def status_of(call: Callable[[], Any]) -> str:
    with pytest.raises(InferenceServerException) as caught:
        call()
    return str(caught.value.status()).removeprefix("StatusCode.")


def test_live_ready_and_model_ready(ask: Ask, server: Server) -> None:
    assert (ask("is_server_live"), ask("is_server_ready"), ask("is_model_ready", "plus")) == (True, True, True)
    assert (ask("is_model_ready", "plus", "1"), ask("is_model_ready", "plus", "9")) == (True, False)
    assert (ask("is_model_ready", "nobody"), ask("is_model_ready", "waiting")) == (False, False)
    server.ready("models are missing")
    assert (ask("is_server_live"), ask("is_server_ready")) == (True, False)
    server.ready()


def test_health_needs_no_credential(ask: Ask) -> None:
    assert ask("is_server_live", headers={})
    assert status_of(lambda: ask("is_model_ready", "plus", headers={})) == "UNAUTHENTICATED"


def test_server_metadata(ask: Ask) -> None:
    found = ask("get_server_metadata")
    assert found.name == "onecode"
    assert {"classification", "system_shared_memory", "trace", "logging", "statistics"} <= set(found.extensions)
    assert ask("get_server_metadata", as_json=True)["name"] == "onecode"


def test_model_metadata(ask: Ask) -> None:
    found = ask("get_model_metadata", "plus")
    assert (found.platform, list(found.versions), list(found.inputs[0].shape)) == ("onnx_onnxv1", ["1", "2"], [-1, 4])
    assert ask("get_model_metadata", "dense", "1", as_json=True)["outputs"][0]["name"] == "label"


@pytest.mark.parametrize("name", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
@pytest.mark.parametrize(
    ("model", "version", "code"),
    [
        ("nobody", "", "NOT_FOUND"), ("plus", "9", "NOT_FOUND"), ("plus", "abc", "INVALID_ARGUMENT"),
        ("waiting", "", "UNAVAILABLE"),
    ],
)  # fmt: skip
def test_who_is_not_here_has_its_status(ask: Ask, name: str, model: str, version: str, code: str) -> None:
    assert status_of(lambda: ask(name, model, version)) == code


@pytest.mark.parametrize(("model", "rows"), [("dense", 1024), ("whole", 0), ("optional", 0)])
def test_model_config(ask: Ask, model: str, rows: int) -> None:
    config = ask("get_model_config", model).config
    assert (config.name, config.backend, config.max_batch_size) == (model, "onnxruntime", rows)
    document = ask("get_model_config", model, as_json=True)["config"]
    assert document["platform"] == "onnx_onnxv1"
    assert document["instance_group"][0]["kind"] == "KIND_CPU"


def test_statistics_grow_with_what_is_asked(ask: Ask, stock: Stock) -> None:
    def counts() -> tuple[int, int, int]:
        (one,) = ask("get_inference_statistics", "labelled", "1").model_stats
        return one.inference_count, one.inference_stats.success.count, one.inference_stats.fail.count

    before = counts()
    for form in ("plain", "stream"):
        stock.infer(form, "labelled", [tensor("features", features(3))])
    with pytest.raises(InferenceServerException):
        stock.infer(
            "plain", "labelled", [tensor("features", features(3), "FP32")], outputs=[InferRequestedOutput("no")]
        )
    after = counts()
    assert tuple(b - a for a, b in zip(before, after, strict=True)) == (6, 2, 1)


def test_statistics_of_all_models(ask: Ask) -> None:
    found = ask("get_inference_statistics").model_stats
    assert {("plus", "1"), ("plus", "2"), ("dense", "1")} <= {(one.name, one.version) for one in found}
    assert len(ask("get_inference_statistics", "plus", as_json=True)["model_stats"]) == 2


def test_the_repository_is_listed(ask: Ask) -> None:
    found = {(one.name, one.version): one.state for one in ask("get_model_repository_index").models}
    assert (found["plus", "2"], found["waiting", ""]) == ("READY", "UNAVAILABLE")


def test_unload_and_load(ask: Ask, stock: Stock) -> None:
    for _ in range(2):
        ask("unload_model", "gaps")
        assert not ask("is_model_ready", "gaps")
        assert status_of(lambda: stock.infer("plain", "gaps", [tensor("features", features())])) == "UNAVAILABLE"
        ask("load_model", "gaps")
        assert ask("is_model_ready", "gaps")
        stock.infer("plain", "gaps", [tensor("features", features())])
    ask("unload_model", "gaps", unload_dependents=True)
    ask("unload_model", "nobody")
    ask("load_model", "gaps")


@pytest.mark.parametrize(
    ("model", "more", "code"),
    [
        ("nobody", {}, "NOT_FOUND"),
        ("waiting", {}, "FAILED_PRECONDITION"),
        ("", {}, "INVALID_ARGUMENT"),
        ("plus", {"config": "{}"}, "PERMISSION_DENIED"),
        ("plus", {"config": "{}", "files": {"file:1/model.onnx": b"onnx"}}, "PERMISSION_DENIED"),
        ("plus", {"headers": CALLER}, "PERMISSION_DENIED"),
    ],
)
def test_what_cannot_be_loaded_has_its_status(ask: Ask, model: str, more: dict[str, Any], code: str) -> None:
    assert status_of(lambda: ask("load_model", model, **more)) == code
    assert ask("is_model_ready", "plus")


def test_the_dialect_with_the_model_in_field_one(channel: grpc.Channel, stock: Stock) -> None:
    path = "/inference.GRPCInferenceService/RepositoryModel"
    for verb, ready in (("Unload", False), ("Load", True)):
        call = channel.unary_unary(path + verb)
        assert call(b"\x0a\x04gaps", metadata=list(ADMIN.items())) == b"\x0a\x04gaps\x10\x01"
        assert stock.client.is_model_ready("gaps", headers=ADMIN) is ready


def test_log_settings(ask: Ask) -> None:
    before = ask("get_log_settings", as_json=True)["settings"]
    assert {"log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"} == set(before)
    found = ask("update_log_settings", {"log_verbose_level": 1, "log_format": "ISO8601"}).settings
    assert (found["log_verbose_level"].uint32_param, found["log_format"].string_param) == (1, "ISO8601")
    ask("update_log_settings", {"log_verbose_level": 0, "log_format": "default"})


@pytest.mark.parametrize("settings", [{"log_file": "/etc/passwd"}, {"log_format": "x"}, {"strange": True}])
def test_log_settings_that_cannot_be(ask: Ask, settings: dict[str, Any]) -> None:
    assert status_of(lambda: ask("update_log_settings", settings)) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("form", ["plain", "aio", "stream"])
def test_predictions_are_traced_while_it_is_on(ask: Ask, stock: Stock, server: Server, form: str) -> None:
    file = server.folder / "traces.jsonl"
    stock.infer(form, "plus", [tensor("features", features())])
    ask("update_trace_settings", "plus", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "log_frequency": "1"})
    name = uuid.uuid4().hex
    for _ in range(3):
        stock.infer(form, "plus", [tensor("features", features())], request_id=name)
    found = ask("update_trace_settings", "plus", {"trace_level": None, "trace_rate": None, "log_frequency": None})
    assert list(found.settings["trace_level"].value) == ["OFF"]
    stock.infer(form, "plus", [tensor("features", features())], request_id=name)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["outcome"] for one in lines if one["request_id"] == name] == ["ok"] * 3


def test_trace_settings_of_all(ask: Ask, server: Server) -> None:
    found = ask("get_trace_settings", as_json=True)["settings"]
    assert found["trace_file"] == {"value": [str(server.folder / "traces.jsonl")]}
    changed = ask("update_trace_settings", settings={"trace_rate": "7"}).settings
    assert list(changed["trace_rate"].value) == ["7"]
    assert list(ask("get_trace_settings", "plus").settings["trace_rate"].value) == ["7"]
    ask("update_trace_settings", settings={"trace_rate": None})


@pytest.mark.parametrize(
    "settings", [{"trace_file": "/etc/passwd"}, {"trace_level": ["LOUD"]}, {"trace_rate": "0"}, {"strange": "1"}]
)
def test_trace_settings_that_cannot_be(ask: Ask, settings: dict[str, Any]) -> None:
    assert status_of(lambda: ask("update_trace_settings", settings=settings)) == "INVALID_ARGUMENT"
    assert status_of(lambda: ask("update_trace_settings", "nobody", {"trace_rate": "1"})) == "NOT_FOUND"


def test_changes_are_for_administrators(ask: Ask) -> None:
    for call in (
        lambda: ask("update_log_settings", {"log_info": True}, headers=CALLER),
        lambda: ask("update_trace_settings", settings={"trace_rate": "1"}, headers=CALLER),
        lambda: ask("unload_model", "plus", headers=CALLER),
        lambda: ask("register_system_shared_memory", "r", "onecode_x", 8, headers=CALLER),
        lambda: ask("unregister_system_shared_memory", headers=CALLER),
    ):
        assert status_of(call) == "PERMISSION_DENIED"


@pytest.fixture
def region(ask: Ask) -> Iterator[Any]:
    """Return a registered region ``r`` of 256 bytes."""
    name = f"/onecode_{uuid.uuid4().hex}"
    handle = shm.create_shared_memory_region("r", name, 256)
    ask("register_system_shared_memory", "r", name, 256)
    yield handle
    ask("unregister_system_shared_memory")
    shm.destroy_shared_memory_region(handle)


def in_region(offset: int = 0, size: int = 16) -> list[InferInput]:
    one = InferInput("features", [1, 4], "FP32")
    one.set_shared_memory("r", size, offset)
    return [one]


def placed(name: str, size: int, offset: int) -> InferRequestedOutput:
    one = InferRequestedOutput(name)
    one.set_shared_memory("r", size, offset)
    return one


@pytest.mark.parametrize("form", ["plain", "gzip", "callback", "aio", "stream", "aio stream"])
def test_tensors_travel_through_shared_memory(stock: Stock, region: Any, form: str) -> None:
    for seed in range(3):
        shm.set_shared_memory_region(region, [features(1, seed)], offset=32)
        result = stock.infer(form, "plus", in_region(32), outputs=[placed("prediction", 32, 64)])
        assert shm.get_contents_as_numpy(region, np.float32, [1, 4], 64).tolist() == (features(1, seed) + 2).tolist()
        assert result.get_output("prediction").parameters["shared_memory_region"].string_param == "r"
        assert (
            stock.infer(form, "plus", in_region(32)).as_numpy("prediction").tolist() == (features(1, seed) + 2).tolist()
        )


@pytest.mark.parametrize("form", ["plain", "aio", "stream"])
def test_one_output_in_memory_and_one_in_the_message(stock: Stock, region: Any, form: str) -> None:
    inputs = [tensor("features", features())]
    plain = stock.infer(form, "dense", inputs)
    mixed = stock.infer(form, "dense", inputs, outputs=[placed("label", 8, 0), InferRequestedOutput("probabilities")])
    assert mixed.as_numpy("probabilities").tolist() == plain.as_numpy("probabilities").tolist()
    assert shm.get_contents_as_numpy(region, np.int64, [1], 0).tolist() == plain.as_numpy("label").tolist()


@pytest.mark.parametrize(
    ("inputs", "outputs", "code"),
    [
        (in_region(250), [], "INVALID_ARGUMENT"),
        (in_region(0, 15), [], "INVALID_ARGUMENT"),
        (in_region(), [placed("prediction", 15, 0)], "INVALID_ARGUMENT"),
        (in_region(), [placed("prediction", 16, 250)], "INVALID_ARGUMENT"),
    ],
)
def test_what_does_not_fit_into_memory(
    stock: Stock, region: Any, inputs: list[InferInput], outputs: list[InferRequestedOutput], code: str
) -> None:
    assert region is not None
    assert status_of(lambda: stock.infer("plain", "plus", inputs, outputs=outputs or None)) == code


def test_the_status_of_shared_memory(ask: Ask, region: Any) -> None:
    assert region is not None
    assert list(ask("get_system_shared_memory_status").regions) == ["r"]
    found = ask("get_system_shared_memory_status", "r").regions["r"]
    assert (found.name, found.offset, found.byte_size) == ("r", 0, 256)
    assert status_of(lambda: ask("get_system_shared_memory_status", "other")) == "NOT_FOUND"
    assert status_of(lambda: ask("register_system_shared_memory", "r", found.key, 8)) == "ALREADY_EXISTS"
    assert status_of(lambda: ask("register_system_shared_memory", "s", found.key, 257)) == "INVALID_ARGUMENT"
    assert status_of(lambda: ask("register_system_shared_memory", "s", "/etc/passwd", 8)) == "INVALID_ARGUMENT"
    assert status_of(lambda: ask("register_system_shared_memory", "s", "/onecode_no_such", 8)) == "NOT_FOUND"
    ask("unregister_system_shared_memory", "r")
    assert list(ask("get_system_shared_memory_status").regions) == []


def test_memory_of_a_gpu(ask: Ask) -> None:
    assert list(ask("get_cuda_shared_memory_status").regions) == []
    assert (
        status_of(lambda: ask("register_cuda_shared_memory", "r", base64.b64encode(bytes(64)), 0, 8)) == "UNIMPLEMENTED"
    )
    assert status_of(lambda: ask("unregister_cuda_shared_memory")) == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("service", "expected"), [("", 1), ("inference.GRPCInferenceService", 1), ("plus", 1), ("waiting", 2)]
)
def test_the_health_protocol_without_a_credential(channel: grpc.Channel, service: str, expected: int) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S).status == expected


def test_health_of_the_unknown_is_not_found(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=WAIT_S)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_is_told_each_change(channel: grpc.Channel, server: Server, stock: Stock) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    watches = {name: stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "gaps", "nobody")}
    assert {name: next(watch).status for name, watch in watches.items()} == {"": 1, "gaps": 1, "nobody": 3}
    server.ready("not now")
    assert next(watches[""]).status == 2
    server.ready()
    assert next(watches[""]).status == 1
    stock.client.unload_model("gaps", headers=ADMIN)
    assert next(watches["gaps"]).status == 2
    stock.client.load_model("gaps", headers=ADMIN)
    assert next(watches["gaps"]).status == 1
    for watch in watches.values():
        watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_what_is_spoken(channel: grpc.Channel, version: str) -> None:
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="nothing.proto"),
    ]
    services, files, nothing = list(call(iter(questions), metadata=list(CALLER.items()), timeout=WAIT_S))
    assert len(services.list_services_response.service) == 4
    names = [FileDescriptorProto.FromString(one).name for one in files.file_descriptor_response.file_descriptor_proto]
    assert Path(names[0]).name == "open_inference.proto"
    assert nothing.error_response.error_code == 5
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter(questions), timeout=WAIT_S))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/nothing.Here/ModelInfer", "/a"])
def test_an_unknown_method_is_unimplemented(channel: grpc.Channel, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"", metadata=list(CALLER.items()), timeout=WAIT_S)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x09short", b"\x0a\x01\xff"])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelConfig"])
def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel, method: str, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(
            body, metadata=list(CALLER.items()), timeout=WAIT_S
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_every_kind_of_call_may_be_compressed(channel: grpc.Channel, compression: grpc.Compression) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    metadata = list(CALLER.items())
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), compression=compression, timeout=WAIT_S).live
    found = stub.ModelStatistics(
        service_pb2.ModelStatisticsRequest(), compression=compression, metadata=metadata, timeout=WAIT_S
    )
    assert len(found.model_stats) >= 10


def test_the_client_that_keeps_alive_while_it_waits(server: Server) -> None:
    options = triton.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_permit_without_calls=True)
    with triton.InferenceServerClient(server.grpc, keepalive_options=options) as client:
        assert client.is_server_live()
