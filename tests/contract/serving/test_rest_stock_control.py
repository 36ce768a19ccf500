"""Everything that a stock HTTP client can ask beside predictions, by both of its kinds."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oip_stock import Server, features, headers, running
from rest_stock import HttpStock, tensor
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, shared_memory

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("rest")) as started:
        yield started


@pytest.fixture(scope="module")
def stock(server: Server) -> Iterator[HttpStock]:
    made = HttpStock(server.rest)
    yield made
    made.close()


@pytest.fixture(params=["thread", "aio"])
def ask(request: pytest.FixtureRequest, stock: HttpStock) -> Ask:
    """Return how to call a method of the client by its name, as an administrator."""

    def call(name: str, *arguments: Any, key: str = "admin", **more: Any) -> Any:
        more = {"headers": headers(key), **more}
        if request.param == "aio":
            return stock.run(getattr(stock.aio, name)(*arguments, **more))
        return getattr(stock.client, name)(*arguments, **more)

    return call


def refused(ask: Ask, *arguments: Any, **more: Any) -> str:
    with pytest.raises(InferenceServerException) as caught:
        ask(*arguments, **more)
    assert caught.value.message()
    return str(caught.value.status())


def test_health_is_told_to_everybody(ask: Ask, server: Server) -> None:
    assert ask("is_server_live", headers=None) is True
    assert ask("is_server_ready", headers=None) is True
    server.ready("a model is missing")
    assert ask("is_server_ready", headers=None) is False
    server.ready()
    assert ask("is_server_ready", headers=None) is True


@pytest.mark.parametrize(
    ("model", "version", "good"),
    [("plus", "", True), ("plus", "2", True), ("plus", "9", False), ("nobody", "", False), ("waiting", "", False)],
)
def test_a_model_is_ready_or_not(ask: Ask, model: str, version: str, good: bool) -> None:
    assert ask("is_model_ready", model, version) is good


def test_the_server_and_its_models_describe_themselves(ask: Ask) -> None:
    found = ask("get_server_metadata")
    assert found["name"] == "onecode"
    assert {"binary_tensor_data", "system_shared_memory", "statistics", "trace", "logging"} <= set(found["extensions"])
    model = ask("get_model_metadata", "dense")
    assert (model["name"], model["versions"], model["platform"]) == ("dense", ["1"], "onnx_onnxv1")
    assert model["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert ask("get_model_metadata", "plus", "1")["versions"] == ["1", "2"]
    assert refused(ask, "get_model_metadata", "nobody") == "404"
    assert refused(ask, "get_model_metadata", "plus", "9") == "404"
    assert refused(ask, "get_model_metadata", "waiting") == "503"


def test_a_model_s_configuration_is_that_of_an_onnx_model(ask: Ask) -> None:
    config = ask("get_model_config", "plus", "2")
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("plus", "onnxruntime", 1024)
    assert config["input"][0] == {"name": "features", "data_type": "TYPE_FP32", "dims": [4]}
    assert ask("get_model_config", "whole")["max_batch_size"] == 0
    assert refused(ask, "get_model_config", "nobody") == "404"


def test_statistics_count_what_was_asked(ask: Ask, stock: HttpStock) -> None:
    def success() -> int:
        (found,) = ask("get_inference_statistics", "gaps", "1")["model_stats"]
        return int(found["inference_stats"]["success"]["count"])

    before = success()
    for form in ("bytes", "json", "gzip", "aio") * 3:
        stock.infer(form, "gaps", {"features": ("FP32", features(2))})
    (found,) = ask("get_inference_statistics", "gaps")["model_stats"]
    assert found["inference_stats"]["success"]["count"] == before + 12
    assert found["inference_count"] >= 24
    assert sum(one["compute_infer"]["count"] for one in found["batch_stats"]) == found["execution_count"]
    assert len(ask("get_inference_statistics")["model_stats"]) >= 10
    assert refused(ask, "get_inference_statistics", "nobody") == "404"


def test_models_are_listed_loaded_and_unloaded(ask: Ask, stock: HttpStock) -> None:
    def states() -> dict[tuple[str, str], str]:
        return {(one["name"], one["version"]): one["state"] for one in ask("get_model_repository_index")}

    assert states()["labelled", "1"] == "READY"
    assert states()["waiting", ""] == "UNAVAILABLE"
    ask("unload_model", "labelled")
    assert states()["labelled", "1"] == "UNAVAILABLE"
    assert ask("is_model_ready", "labelled") is False
    with pytest.raises(InferenceServerException):
        stock.infer("bytes", "labelled", {"features": ("FP32", features())})
    ask("load_model", "labelled")
    assert states()["labelled", "1"] == "READY"
    assert stock.infer("bytes", "labelled", {"features": ("FP32", features())}).as_numpy("prediction").shape == (1, 4)
    ask("unload_model", "nobody", unload_dependents=True)
    assert refused(ask, "load_model", "nobody") == "404"
    assert refused(ask, "load_model", "plus", config="{}") == "403"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("load_model", ("plus",)), ("unload_model", ("plus",)),
        ("update_trace_settings", ("plus", {"trace_rate": "2"})),
        ("update_log_settings", ({"log_info": True},)), ("register_system_shared_memory", ("r", "/onecode_r", 8)),
        ("unregister_system_shared_memory", ()),
    ],
)  # fmt: skip
def test_only_administrators_change_the_server(ask: Ask, name: str, arguments: tuple[Any, ...]) -> None:
    assert refused(ask, name, *arguments, key="caller") == "403"
    assert refused(ask, name, *arguments, key="nobody") == "401"


def test_trace_settings_are_read_and_set_for_all_and_for_one(ask: Ask, server: Server, stock: HttpStock) -> None:
    before = ask("get_trace_settings")
    assert before["trace_level"] == ["OFF"]
    changed = ask("update_trace_settings", settings={"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1"})
    assert (set(changed["trace_level"]), changed["trace_rate"]) == ({"TIMESTAMPS", "TENSORS"}, "1")
    assert ask("update_trace_settings", "plus", {"log_frequency": "1"})["log_frequency"] == "1"
    size = len((server.folder / "traces.jsonl").read_text()) if (server.folder / "traces.jsonl").exists() else 0
    for form in ("bytes", "json", "bytes", "json", "bytes", "json"):
        stock.infer(form, "plus", {"features": ("FP32", features())})
    assert len((server.folder / "traces.jsonl").read_text()) > size
    assert ask("update_trace_settings", "plus", {"log_frequency": None})["log_frequency"] == "0"
    assert ask("update_trace_settings", settings={"trace_level": None, "trace_rate": None}) == before
    for wrong in ({"trace_rate": "no"}, {"trace_level": ["LOUD"]}, {"trace_file": "/tmp/x"}, {"strange": "1"}):  # noqa: S108 - refused
        assert refused(ask, "update_trace_settings", settings=wrong) == "400"
    assert refused(ask, "get_trace_settings", "nobody") == "404"


def test_log_settings_are_read_and_set(ask: Ask) -> None:
    before = ask("get_log_settings")
    assert ask("update_log_settings", {"log_verbose_level": 1, "log_format": "ISO8601"})["log_format"] == "ISO8601"
    assert ask("update_log_settings", before) == before
    for wrong in ({"log_info": "yes"}, {"log_verbose_level": -1}, {"log_file": "/tmp/x"}, {"strange": 1}):  # noqa: S108 - refused
        assert refused(ask, "update_log_settings", wrong) == "400"


def test_tensors_travel_through_shared_memory(ask: Ask, stock: HttpStock) -> None:
    array = features(3)
    key, name = f"/onecode_{uuid.uuid4().hex}", f"region-{uuid.uuid4().hex}"
    handle = shared_memory.create_shared_memory_region(name, key, 2 * array.nbytes)
    try:
        shared_memory.set_shared_memory_region(handle, [array])
        ask("register_system_shared_memory", name, key, 2 * array.nbytes)
        assert refused(ask, "register_system_shared_memory", name, key, 2 * array.nbytes) == "400"
        (region,) = ask("get_system_shared_memory_status", name)
        assert (region["key"], region["byte_size"], region["offset"]) == (key, 2 * array.nbytes, 0)
        one = InferInput("features", list(array.shape), "FP32")
        one.set_shared_memory(name, array.nbytes)
        wanted = InferRequestedOutput("prediction")
        wanted.set_shared_memory(name, array.nbytes, offset=array.nbytes)
        for _ in range(3):
            result = ask("infer", "plus", [one], outputs=[wanted])
            parameters = result.get_output("prediction")["parameters"]
            assert parameters["shared_memory_region"] == name
            found = shared_memory.get_contents_as_numpy(handle, np.float32, list(array.shape), offset=array.nbytes)
            assert found.tobytes() == (array + 2).tobytes()
        direct = ask("infer", "plus", [one], outputs=[InferRequestedOutput("prediction")])
        assert direct.as_numpy("prediction").tobytes() == (array + 2).tobytes()
        mixed = ask("infer", "plus", [tensor("features", array)], outputs=[wanted])
        assert mixed.get_output("prediction")["parameters"]["shared_memory_byte_size"] == array.nbytes
        wanted.set_shared_memory(name, 8)
        assert refused(ask, "infer", "plus", [one], outputs=[wanted]) == "400"
        ask("unregister_system_shared_memory", name)
        assert refused(ask, "infer", "plus", [one]) == "404"
        assert refused(ask, "get_system_shared_memory_status", name) == "404"
        assert stock.infer("bytes", "plus", {"features": ("FP32", array)}).as_numpy("prediction").shape == (3, 4)
    finally:
        shared_memory.destroy_shared_memory_region(handle)


def test_objects_of_others_and_parts_outside_cannot_be_registered(ask: Ask) -> None:
    assert refused(ask, "register_system_shared_memory", "r", "/somebody", 8) == "400"
    assert refused(ask, "register_system_shared_memory", "r", "/onecode_../x", 8) == "400"
    assert refused(ask, "register_system_shared_memory", "r", "/onecode_absent", 8) == "404"
    ask("unregister_system_shared_memory")
    assert ask("get_system_shared_memory_status") == []


def test_there_is_no_gpu(ask: Ask) -> None:
    assert ask("get_cuda_shared_memory_status") == []
    assert refused(ask, "register_cuda_shared_memory", "r", "aGk=", 0, 8) == "501"
    assert refused(ask, "unregister_cuda_shared_memory") == "501"
