"""Everything beside predictions that a stock gRPC client may ask is answered, and changes what it says it changes."""

import json
import uuid
from typing import Any

import pytest
from oip_stock import Ask, Server, Stock, features, headers, status_of, tensor
from tritonclient.grpc import InferRequestedOutput
from tritonclient.utils import InferenceServerException

ADMIN = headers("admin")
CALLER = headers()
WAIT_S = 30


def test_live_ready_and_model_ready(ask: Ask, oip_server: Server) -> None:
    assert (ask("is_server_live"), ask("is_server_ready"), ask("is_model_ready", "plus")) == (True, True, True)
    assert (ask("is_model_ready", "plus", "1"), ask("is_model_ready", "plus", "9")) == (True, False)
    assert (ask("is_model_ready", "nobody"), ask("is_model_ready", "waiting")) == (False, False)
    oip_server.ready("models are missing")
    assert (ask("is_server_live"), ask("is_server_ready")) == (True, False)
    oip_server.ready()


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
def test_predictions_are_traced_while_it_is_on(ask: Ask, stock: Stock, oip_server: Server, form: str) -> None:
    file = oip_server.folder / "traces.jsonl"
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


def test_trace_settings_of_all(ask: Ask, oip_server: Server) -> None:
    found = ask("get_trace_settings", as_json=True)["settings"]
    assert found["trace_file"] == {"value": [str(oip_server.folder / "traces.jsonl")]}
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
