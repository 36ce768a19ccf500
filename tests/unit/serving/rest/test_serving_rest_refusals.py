"""What may not be, for its method, its head, its size or its caller, is refused as stock clients read it."""

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


PATHS = [
    "/v2", "/v2/health/live", "/v2/models/dense", "/v2/models/dense/infer", "/v2/repository/index", "/v2/trace/setting",
    "/v2/logging", "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/unregister",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"])
def test_other_methods_are_named_with_those_that_work(wire: Wire, path: str, method: str) -> None:
    allowed = endpoint_of(path.encode()).methods
    written = wire.send(request(method, path, b"{}", **wire.house.headers))
    (answer,) = answers(written, bodies=method != "HEAD")
    if method in allowed:
        assert answer.status != 405
    else:
        assert (answer.status, answer.fields["allow"]) == (405, ", ".join(allowed))


def test_head_is_get_without_the_body(wire: Wire) -> None:
    got = wire.send(request("GET", "/v2/models/dense", **wire.house.headers))
    assert wire.send(request("HEAD", "/v2/models/dense", **wire.house.headers)) == got[: got.index(b"\r\n\r\n") + 4]


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
