"""An inference over REST is routed, batched, packed and given up like any other."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import serving_models as make
from hypothesis import HealthCheck, settings
from serving_rest_wire import House, Wire, answers, binary, only, request

from onecode_common.assignment import BUCKETS
from onecode_serving.data_plane import full_route
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.rest.offload import INLINE_BYTES

ROW = np.array([[1.5, -2.25, 0.125, 3.0]], np.float32)
FLAT = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW.ravel().tolist()}
BYTES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
EXPECTED = make.session_of(make.dense()).run(None, {"features": ROW})
LABEL, PROBABILITIES = EXPECTED
CALM = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=40
)
TIMES = 4
"""First sight, plan, and two uses of the plan."""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    opened = House()
    yield opened
    opened.close()


@pytest.fixture
def wire(house: House) -> Wire:
    house.face._plans.clear()
    return house.wire()


def test_classes_are_texts(wire: Wire) -> None:
    asked = {"name": "probabilities", "parameters": {"classification": 2}}
    for _ in range(TIMES):
        (output,) = wire.infer({"inputs": [FLAT], "outputs": [asked]}).json["outputs"]
        order = np.argsort(-PROBABILITIES[0], kind="stable")[:2]
        assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
        assert [text.split(":")[1] for text in output["data"]] == [str(index) for index in order]


def test_several_rows_are_one_request(wire: Wire) -> None:
    rows = np.repeat(ROW, 5, axis=0)
    for _ in range(TIMES):
        outputs = wire.infer({"inputs": [{**FLAT, "shape": [5, 4], "data": rows.tolist()}]}).json["outputs"]
        assert outputs[0]["data"] == LABEL.tolist() * 5


def test_connections_share_a_run(house: House) -> None:
    wires = [house.wire() for _ in range(8)]
    runs = house.service.statistics("plus", "1")["model_stats"][0]["execution_count"]
    for round_ in range(4):
        for number, one in enumerate(wires):
            body = {"inputs": [{**FLAT, "data": [float(number)] * 4}]}
            one.engine.receive(request("POST", "/v2/models/plus/infer", body), 1.0)
        house.turns.run()
        for number, one in enumerate(wires):
            (output,) = only(one.engine.take()).json["outputs"]
            assert output["data"] == [number + 1.0] * 4
        if round_ == 3:
            now = house.service.statistics("plus", "1")["model_stats"][0]["execution_count"]
            assert now - runs <= 3 * 8 + 1


def test_a_new_version_answers_the_next_request(house: House) -> None:
    wire = house.wire()
    body = {"inputs": [FLAT]}
    try:
        for release in (1, 2, 1):
            digest = next(
                one.digest for one in map(house.plane.version, house.plane.installed())
                if one is not None and (one.model, one.release) == ("plus", release)
            )  # fmt: skip
            house.plane.set_routes({**house.plane.routes(), "plus": full_route("plus", digest, release)})
            # The loop has not turned since: the very next request sees it.
            for _ in range(TIMES):
                answer = wire.infer(body, "plus")
                assert answer.fields["x-onecode-model-version"] == str(release)
                assert answer.json["outputs"][0]["data"] == [value + release for value in FLAT["data"]]  # type: ignore[attr-defined]
        assert wire.infer(body, "plus/versions/2").json["outputs"][0]["data"][0] == 3.5
    finally:
        house.plane.set_routes({**house.plane.routes(), "plus": full_route("plus", _digest(house, 1), 1)})
        house.turns.run()


def _digest(house: House, release: int) -> str:
    held = (house.plane.version(digest) for digest in house.plane.installed())
    return next(one.digest for one in held if one is not None and (one.model, one.release) == ("plus", release))


def test_plans_do_not_hold_on_to_a_version_that_is_gone(house: House) -> None:
    wire = house.wire()
    for _ in range(TIMES):
        wire.infer({"inputs": [FLAT]})
    assert house.face._plans._known
    house.plane.announce({"waiting": "still"}, None)
    house.turns.run()
    assert not house.face._plans._known


@pytest.mark.parametrize("form", ["header", "parameter"])
def test_the_unit_decides_the_arm(house: House, form: str) -> None:
    routes = house.plane.routes()
    one, two = _digest(house, 1), _digest(house, 2)
    arms = (Arm(0, BUCKETS // 2, two, 2, "candidate"), Arm(BUCKETS // 2, BUCKETS, one, 1, "stable"))
    house.plane.set_routes({**routes, "plus": Route("plus", "r", 1, "key", "salt", arms)})
    house.turns.run()
    wire = house.wire()
    try:
        seen = {}
        for _ in range(TIMES):
            for unit in ("a", "b", "c", "d", "e", "ä"):
                body: dict[str, Any] = {"inputs": [FLAT]}
                fields = {}
                if form == "header":
                    fields["X_OneCode_Unit"] = unit.encode().decode("latin-1")
                else:
                    body["parameters"] = {"onecode_unit": unit}
                answer = wire.infer(body, "plus", **fields)
                arm = answer.json["parameters"]["onecode_arm"]
                assert seen.setdefault(unit, arm) == arm
                assert arm == ("candidate" if answer.json["model_version"] == "2" else "stable")
        assert set(seen.values()) == {"stable", "candidate"}
    finally:
        house.plane.set_routes(routes)
        house.turns.run()


@pytest.mark.parametrize(("fields", "parameters"), [({"X_OneCode_Timeout_Ms": "0"}, {}), ({}, {"timeout": 1})])
def test_what_is_late_is_not_run(house: House, fields: dict[str, str], parameters: dict[str, int]) -> None:
    wire = house.wire()
    for _ in range(TIMES):
        answer = wire.infer({"inputs": [FLAT], "parameters": parameters}, **fields)
        assert (answer.status, answer.json["code"]) == (504, "deadline.exceeded")


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "", "1" * 10])
def test_a_timeout_is_a_whole_number_of_milliseconds(wire: Wire, text: str) -> None:
    answer = wire.infer({"inputs": [FLAT]}, X_OneCode_Timeout_Ms=text)
    assert (answer.status, answer.json["field"]) == (400, "x-onecode-timeout-ms")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("form", ["json", "bytes"])
def test_bodies_may_be_packed(wire: Wire, encoding: str, form: str) -> None:
    head = {"inputs": [FLAT if form == "json" else BYTES], "parameters": {"binary_data_output": True}}
    body, fields = binary(head, b"" if form == "json" else ROW.tobytes())
    packed = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "raw deflate": lambda data: zlib.compress(data, wbits=-15),
    }
    for _ in range(2):
        answer = wire.infer(
            packed[encoding](body),
            Content_Encoding=encoding.removeprefix("raw "),
            **(fields if form == "bytes" else {}),
        )
        assert answer.tail == LABEL.tobytes() + PROBABILITIES.tobytes()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("form", [True, False])
def test_large_answers_are_packed_as_the_caller_asks(wire: Wire, encoding: str, form: bool) -> None:
    rows = np.arange(800, dtype=np.float32).reshape(200, 4)
    body = {
        "inputs": [{**FLAT, "shape": [200, 4], "data": rows.ravel().tolist()}],
        "parameters": {"binary_data_output": form},
    }
    for _ in range(TIMES):
        answer = wire.infer(body, "plus", Accept_Encoding=f"br, {encoding}")
        assert answer.fields["content-encoding"] == encoding
        assert answer.fields["vary"] == "Accept-Encoding"
        plain = gzip.decompress(answer.body) if encoding == "gzip" else zlib.decompress(answer.body)
        if form:
            assert plain[int(answer.fields["inference-header-content-length"]) :] == (rows + 1).tobytes()
        else:
            assert json.loads(plain)["outputs"][0]["data"] == (rows + 1).ravel().tolist()
        assert "content-encoding" not in wire.infer({"inputs": [FLAT]}, "plus", Accept_Encoding=encoding).fields


def test_large_bodies_go_through_a_thread_and_come_back_in_order() -> None:
    house = House(threads=True)
    wire = house.wire()
    rows = np.arange(4096, dtype=np.float32).reshape(1024, 4)
    for form in (True, False):
        data = [float(value) + 0.1234567890123 for value in rows.ravel()]
        body = {
            "inputs": [{**FLAT, "shape": [1024, 4], "data": data}],
            "parameters": {"binary_data_output": form},
        }
        stream = request("POST", "/v2/models/plus/infer", body, Accept_Encoding="gzip")
        assert len(stream) > INLINE_BYTES
        wire.engine.receive(stream + request("GET", "/v2/health/live"), 1.0)
        written = b""
        while written.count(b"HTTP/1.1 200") < 2:
            house.pool.submit(int).result()
            house.turns.run()
            written += wire.engine.take()
        first, second = answers(written)
        assert second.json == {"live": True}
        plain = gzip.decompress(first.body)
        expected = (np.array(data, np.float32) + 1).ravel()
        if form:
            size = int(first.fields["inference-header-content-length"])
            assert np.array_equal(np.frombuffer(plain[size:], "<f4"), expected)
        else:
            assert np.array_equal(np.array(json.loads(plain)["outputs"][0]["data"], np.float32), expected)
    house.close()


def test_a_caller_who_goes_away_is_not_computed_for(house: House) -> None:
    wire = house.wire()
    for _ in range(TIMES):
        wire.infer({"inputs": [FLAT]}, "plus")
    before = house.service.statistics("plus", "1")["model_stats"][0]["execution_count"]
    wire.engine.receive(request("POST", "/v2/models/plus/infer", {"inputs": [FLAT]}), 1.0)
    wire.engine.lost()
    house.turns.run()
    assert house.service.statistics("plus", "1")["model_stats"][0]["execution_count"] == before
    assert house.plane.idle()


def test_floats_are_written_in_the_fewest_digits_that_give_back_their_bits(wire: Wire) -> None:
    values = [0.1, 1e-30, 16777217.0, 3.3333333]
    (output,) = wire.infer({"inputs": [{**FLAT, "data": values}]}, "plus").json["outputs"]
    expected = (np.array(values, np.float32) + np.float32(1)).tolist()
    assert struct.pack("<4f", *output["data"]) == struct.pack("<4f", *expected)
