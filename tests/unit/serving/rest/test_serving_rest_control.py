"""Everything beside inferences is answered as stock clients read it, and only to whom it may be."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_rest_wire import MAX_MESSAGE, House, Wire, answers, bearer, binary, only, request, tenants_file

from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_serving.oip.options import OipOptions
from onecode_serving.rest.errors import error_answer
from onecode_serving.rest.paths import endpoint_of

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


# -- methods, paths, heads --

PATHS = [
    "/v2", "/v2/health/live", "/v2/models/dense", "/v2/models/dense/infer", "/v2/repository/index", "/v2/trace/setting",
    "/v2/logging", "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/unregister",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_are_named_with_those_that_work(wire: Wire, path: str, method: str) -> None:
    allowed = endpoint_of(path.encode()).methods
    written = wire.send(request(method, path, b"{}"))
    (answer,) = answers(written, bodies=method != "HEAD")
    if method in allowed:
        assert answer.status != 405
    else:
        assert (answer.status, answer.fields["allow"]) == (405, ", ".join(allowed))


def test_head_is_get_without_the_body(wire: Wire) -> None:
    got = wire.send(request("GET", "/v2/models/dense"))
    assert wire.send(request("HEAD", "/v2/models/dense")) == got[: got.index(b"\r\n\r\n") + 4]


def test_unknown_paths_are_not_found_and_echoed_harmlessly(wire: Wire) -> None:
    answer = wire.ask("GET", "/v2/%22%0d%0aX:%20y%ff%F0%9F%98%80")
    assert answer.status == 404
    assert "\r" not in answer.json["error"]


@pytest.mark.parametrize("encoding", ["br", "x"])
def test_unknown_encodings_are_415(wire: Wire, encoding: str) -> None:
    assert wire.infer(b"{}", Content_Encoding=encoding).status == 415


def test_a_broken_encoding_is_400_and_a_bomb_is_413(wire: Wire) -> None:
    assert wire.infer(b"{}", Content_Encoding="gzip").status == 400
    bomb = zlib.compress(b" " * (MAX_MESSAGE + 1))
    answer = wire.infer(bomb, Content_Encoding="deflate")
    assert (answer.status, answer.json["code"]) == (413, "message.too_large")


def test_a_body_over_the_limit_is_413_with_the_limit_named(wire: Wire) -> None:
    answer = wire.infer(b" " * (MAX_MESSAGE + 1))
    assert (answer.status, answer.json["params"]["limit"]) == (413, str(MAX_MESSAGE))
    assert wire.ask("GET", "/v2/health/live").status == 200


def test_no_content_type_is_needed_and_none_is_looked_at(wire: Wire) -> None:
    for kind in ("application/json", "text/plain", "application/octet-stream"):
        assert wire.infer({"inputs": [FLAT]}, Content_Type=kind).status == 200


# -- who asks --


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[House]:
    opened = House(
        tenants_file(
            tmp_path,
            {"principal": "all"},
            {"principal": "reader", "verbs": ["read"]},
            {"principal": "plus", "models": ["plus"]},
            {"principal": "slow", "rate": {"per_s": 0.001, "burst": 2}},
            {"principal": "one", "concurrency": 1},
        )
    )
    yield opened
    opened.close()


def test_strangers_see_health_only(guarded: House) -> None:
    wire = guarded.wire()
    assert wire.ask("GET", "/v2/health/ready").status == 200
    for path in ("/v2", "/v2/models/dense", "/v2/nothing", "/v2/models/dense/ready"):
        answer = wire.ask("GET", path)
        assert (answer.status, answer.fields["www-authenticate"]) == (401, "Bearer")
    assert wire.infer({"inputs": [FLAT]}, **bearer("wrong")).status == 401
    assert wire.infer({"inputs": [FLAT]}, **bearer("all")).status == 200


def test_a_stranger_s_body_is_refused_before_it_is_sent(guarded: House) -> None:
    wire = guarded.wire()
    head = request("POST", "/v2/models/dense/infer", None, Content_Length="1000", Expect="100-continue")
    assert only(wire.send(head)).status == 401


def test_rights_are_looked_at(guarded: House) -> None:
    wire = guarded.wire()
    assert wire.ask("GET", "/v2/models/dense", **bearer("reader")).status == 200
    assert wire.infer({"inputs": [FLAT]}, **bearer("reader")).status == 403
    assert wire.ask("GET", "/v2/logging", **bearer("reader")).status == 200
    assert wire.ask("POST", "/v2/logging", {"log_info": True}, **bearer("reader")).status == 403
    assert wire.ask("POST", "/v2/repository/models/dense/unload", b"", **bearer("reader")).status == 403
    for _ in range(4):
        assert wire.infer({"inputs": [FLAT]}, "plus", **bearer("plus")).status == 200
        assert wire.infer({"inputs": [FLAT]}, "dense", **bearer("plus")).status == 403


def test_limits_of_a_caller_hold_on_every_way(guarded: House) -> None:
    wire = guarded.wire()
    for _ in range(4):
        wire.infer({"inputs": [FLAT]}, "plus", **bearer("all"))
    found = [wire.infer({"inputs": [FLAT]}, "plus", **bearer("slow")) for _ in range(4)]
    assert [answer.status for answer in found] == [200, 200, 429, 429]
    assert int(found[-1].fields["retry-after"]) > 100
    assert found[-1].json["code"] == "limit.rate"
    body, fields = binary({"inputs": [{**FLAT, "data": None}]}, b"")
    for _ in range(5):
        # Each is given back, also after a refusal and after a caller who went away.
        assert wire.infer({"inputs": [FLAT]}, "plus", **bearer("one")).status == 200
        assert wire.infer(body, "plus", **fields, **bearer("one")).status == 400
        other = guarded.wire()
        other.engine.receive(request("POST", "/v2/models/plus/infer", {"inputs": [FLAT]}, **bearer("one")), 1.0)
        assert wire.infer({"inputs": [FLAT]}, "plus", **bearer("one")).status == 429 or other.engine.idle
        other.engine.lost()
        guarded.turns.run()


# -- refusals --


@pytest.mark.parametrize("kind", sorted({error.kind for error in (OnecodeError, UnavailableError, ExhaustedError)}))
def test_every_refusal_is_json_with_the_text_that_clients_read(kind: str) -> None:
    del kind
    error = ExhaustedError(
        "too much \ud800", code="queue.full", hint="wait", params={"retry_after_ms": 1500, "field": "x"}
    )
    answer = error_answer(error)
    assert b"\r\nRetry-After: 2\r\n" in answer.head
    document: dict[str, Any] = json.loads(answer.body)
    assert document["error"] == "too much \\ud800"
    assert (document["code"], document["detail"], document["field"]) == ("queue.full", "wait", "x")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OnecodeError("x"), 500), (InvalidError("x"), 400), (UnauthenticatedError("x"), 401), (DeniedError("x"), 403),
        (NotFoundError("x"), 404), (ConflictError("x"), 400), (PreconditionError("x"), 400), (ExhaustedError("x"), 429),
        (UnavailableError("x"), 503), (UnavailableError("x", code="deadline.exceeded"), 504),
        (OnecodeError("x", code="cancelled"), 499), (PreconditionError("x", code="rpc.unimplemented"), 501),
        (ExhaustedError("x", code="message.too_large"), 413), (InvalidError("x", code="body.encoding"), 415),
    ],
)  # fmt: skip
def test_each_kind_of_refusal_has_its_status(error: OnecodeError, status: int) -> None:
    answer = error_answer(error)
    assert answer.head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Retry-After: 1\r\n" in answer.head) is (status in (429, 503))
