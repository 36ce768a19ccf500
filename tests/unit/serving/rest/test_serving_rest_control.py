"""Everything beside inferences is answered as stock clients read it, and only to whom it may be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serving_rest_wire import House, Wire, bearer, tenants_file

from onecode_serving.oip.options import OipOptions

ROW = np.array([[1, 2, 3, 4]], np.float32)
FLAT = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


ADMIN = {"principal": "admin", "verbs": ["read", "infer", "admin"]}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = admins(tmp_path)
    yield opened
    opened.close()


def admins(folder: Path, options: OipOptions | None = None) -> House:
    """Return a server whose callers may do everything."""
    opened = House(tenants_file(folder, ADMIN), options)
    opened.headers = bearer("admin")
    return opened


@pytest.fixture
def wire(house: House) -> Wire:
    return house.wire()


def test_the_server_says_what_it_is(wire: Wire) -> None:
    answer = wire.ask("GET", "/v2")
    assert answer.fields["content-type"] == "application/json"
    assert answer.json["name"] == "onecode"
    assert "binary_tensor_data" in answer.json["extensions"]
    assert "system_shared_memory" not in answer.json["extensions"]


def test_health_is_told_in_the_status_and_in_the_body(house: House, wire: Wire) -> None:
    assert (wire.ask("GET", "/v2/health/live").status, wire.ask("GET", "/v2/health/ready").json) == (
        200,
        {"ready": True},
    )
    house.plane.announce({}, "models are missing")
    answer = wire.ask("GET", "/v2/health/ready")
    assert (answer.status, answer.json) == (400, {"ready": False})


@pytest.mark.parametrize(
    ("path", "good"),
    [("dense", True), ("dense/versions/1", True), ("dense/versions/9", False), ("nothing", False), ("waiting", False)],
)
def test_a_model_is_ready_or_not(wire: Wire, path: str, good: bool) -> None:
    answer = wire.ask("GET", f"/v2/models/{path}/ready")
    assert (answer.status, answer.json) == (
        200 if good else 400,
        {"name": path.split("/", maxsplit=1)[0], "ready": good},
    )


def test_a_model_says_what_it_takes_and_gives(wire: Wire) -> None:
    found = wire.ask("GET", "/v2/models/dense").json
    assert found["platform"] == "onnx_onnxv1"
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert [output["name"] for output in found["outputs"]] == ["label", "probabilities"]
    config = wire.ask("GET", "/v2/models/dense/config").json
    assert (config["name"], config["backend"]) == ("dense", "onnxruntime")
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [4]}]


def test_statistics_count_requests(wire: Wire) -> None:
    before = wire.ask("GET", "/v2/models/dense/stats").json["model_stats"][0]["inference_stats"]["success"]["count"]
    for _ in range(5):
        wire.infer({"inputs": [FLAT]})
    (found,) = wire.ask("GET", "/v2/models/dense/versions/1/stats").json["model_stats"]
    assert found["inference_stats"]["success"]["count"] == before + 5
    assert len(wire.ask("GET", "/v2/models/stats").json["model_stats"]) == 6


def test_the_repository_lists_loads_and_unloads(wire: Wire) -> None:
    def states(body: bytes = b"") -> dict[tuple[str, str], str]:
        found = wire.ask("POST", "/v2/repository/index", body).json
        return {(one["name"], one["version"]): one["state"] for one in found}

    assert states()["dense", "1"] == "READY"
    assert ("waiting", "") in states()
    assert ("waiting", "") not in states(b'{"ready":true}')
    path = "/v2/repository/models/dense"
    assert wire.ask("POST", f"{path}/unload", {"parameters": {"unload_dependents": False}}).status == 200
    assert states()["dense", "1"] == "UNAVAILABLE"
    assert wire.infer({"inputs": [FLAT]}).status == 503
    assert wire.ask("POST", f"{path}/load", b"").status == 200
    assert wire.infer({"inputs": [FLAT]}).status == 200
    assert wire.ask("POST", "/v2/repository/models/nothing/load", b"{}").status == 404
    assert wire.ask("POST", "/v2/repository/models/nothing/unload", b"").status == 200
    assert wire.ask("POST", "/v2/repository/other/index", b"").status == 404
    assert wire.ask("POST", f"{path}/load", {"parameters": {"config": "{}"}}).status == 403
    assert wire.ask("POST", f"{path}/load", {"parameters": 5}).status == 400
    assert wire.ask("POST", "/v2/repository/index", {"ready": 1}).status == 400


def test_trace_and_log_settings_are_read_and_set(tmp_path: Path) -> None:
    house = admins(tmp_path, OipOptions(trace_file=tmp_path / "traces"))
    wire = house.wire()
    assert wire.ask("GET", "/v2/trace/setting").json["trace_level"] == ["OFF"]
    changed = wire.ask("POST", "/v2/trace/setting", {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}).json
    assert (changed["trace_level"], changed["trace_rate"]) == (["TIMESTAMPS"], "1")
    assert wire.ask("POST", "/v2/models/dense/trace/setting", {"trace_rate": "7"}).json["trace_rate"] == "7"
    assert wire.ask("POST", "/v2/models/dense/trace/setting", {"trace_rate": None}).json["trace_rate"] == "1"
    # While anything is traced, planned requests are seen too.
    for _ in range(4):
        assert wire.infer({"inputs": [FLAT]}).status == 200
    house.service.traces.flush()
    assert len((tmp_path / "traces").read_text().splitlines()) == 4
    for wrong in ({"trace_rate": 5}, {"trace_level": "LOUD"}, {"trace_file": "/etc/passwd"}, {"x": "y"}):
        assert wire.ask("POST", "/v2/trace/setting", wrong).status == 400
    settings = wire.ask("GET", "/v2/logging").json
    assert set(settings) == {
        "log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"
    }  # fmt: skip
    assert wire.ask("POST", "/v2/logging", {"log_verbose_level": 1}).json["log_verbose_level"] == 1
    for wrong in ({"log_info": "yes"}, {"log_info": None}, {"log_file": "/etc/passwd"}, {"x": 1}, {"log_format": "x"}):
        assert wire.ask("POST", "/v2/logging", wrong).status == 400
    house.close()


def test_tensors_lie_in_shared_memory_where_that_is_on(tmp_path: Path) -> None:
    house = admins(tmp_path, OipOptions(shared_memory=True))
    wire = house.wire()
    key = f"onecode_rest_{id(house)}"
    place = Path("/dev/shm") / key  # noqa: S108 - POSIX shared memory
    place.write_bytes(ROW.tobytes() + b"\0" * 48)
    try:
        region = "/v2/systemsharedmemory/region/r"
        register = {"key": f"/{key}", "offset": 0, "byte_size": 64}
        assert wire.ask("POST", f"{region}/register", register).status == 200
        assert wire.ask("POST", f"{region}/register", register).status == 400
        expected = [{"name": "r", "key": f"/{key}", "offset": 0, "byte_size": 64}]
        assert (
            wire.ask("GET", f"{region}/status").json
            == wire.ask("GET", "/v2/systemsharedmemory/status").json
            == expected
        )
        parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": parameters}
        output = {"name": "prediction", "parameters": {**parameters, "shared_memory_offset": 16}}
        for _ in range(4):
            answer = wire.infer({"inputs": [tensor], "outputs": [output]}, "plus")
            (said,) = answer.json["outputs"]
            assert said["parameters"] == output["parameters"]
            assert "data" not in said
            assert place.read_bytes()[16:32] == (ROW + 1).tobytes()
        assert wire.ask("GET", "/v2/systemsharedmemory/region/x/status").status == 404
        assert wire.ask("POST", f"{region}/unregister", b"").status == 200
        assert wire.infer({"inputs": [tensor]}, "plus").status == 404
        assert wire.ask("POST", "/v2/systemsharedmemory/unregister", b"").json == {}
        for wrong in ({"key": 5}, {"offset": -1}, {"byte_size": True}, {"key": "/../etc/passwd", "byte_size": 1}):
            assert wire.ask("POST", f"{region}/register", wrong).status == 400
    finally:
        place.unlink()
        house.close()


def test_shared_memory_is_off_unless_it_is_on(wire: Wire) -> None:
    assert wire.ask("GET", "/v2/systemsharedmemory/status").json == []
    assert wire.ask("POST", "/v2/systemsharedmemory/region/r/register", {"key": "/k", "byte_size": 1}).status == 501
    assert wire.ask("GET", "/v2/cudasharedmemory/status").json == []
    assert wire.ask("POST", "/v2/cudasharedmemory/region/r/register", {"raw_handle": {"b64": ""}}).status == 501
    assert wire.ask("POST", "/v2/cudasharedmemory/unregister", b"").status == 501


def test_only_inferences_are_packed(wire: Wire) -> None:
    """One stock client announces gzip for everything and unpacks the answers to inferences only."""
    answer = wire.ask("GET", "/v2/models/stats", Accept_Encoding="gzip, deflate")
    assert len(answer.body) > 1024
    assert "content-encoding" not in answer.fields
    assert answer.json["model_stats"]
