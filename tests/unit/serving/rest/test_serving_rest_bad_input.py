"""Every wrong request gets its typed refusal, however often it comes, and nobody else is harmed by it."""

import copy
import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from serving_rest_wire import House, Wire, binary

GOOD: dict[str, Any] = {
    "model": "dense",
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}],
}
TIMES = 3
"""A request that comes again is planned; it is refused all the same, in the same words."""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    opened = House()
    yield opened
    opened.close()


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def with_input(**changes: Any) -> dict[str, Any]:
    return changed(inputs=[{**GOOD["inputs"][0], **changes}])


def typed(name: str, datatype: str, data: Any, shape: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    return {"model": "types", "inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


NAN, INF = float("nan"), float("inf")

# name, request, HTTP status, code, text in the message
CASES: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("unknown model", changed(model="nothing"), 404, "model.unknown", "'nothing'"),
    ("model on its way", changed(model="waiting"), 503, "model.not_loaded", "on its way"),
    ("unknown version", changed(version="77"), 404, "version.unknown", "'77'"),
    ("unknown digest", changed(version="sha256:" + "0" * 64), 404, "version.unknown", "sha256:0"),
    ("version no number", changed(version="abc"), 400, "version.invalid", "'abc'"),
    ("negative version", changed(version="-1"), 400, "version.invalid", "'-1'"),
    ("no inputs", changed(inputs=[]), 400, "input.tensor", "'features'"),
    ("null inputs", changed(inputs=None), 400, "input.tensor", "'features'"),
    ("inputs no list", changed(inputs={}), 400, "input.tensor", "'features'"),
    ("input no object", changed(inputs=[5]), 400, "json.field", "list of objects"),
    ("unknown input", with_input(name="other"), 400, "input.name", "one of features"),
    ("unnamed input", with_input(name=""), 400, "input.name", "one of features"),
    ("input twice", changed(inputs=GOOD["inputs"] * 2), 400, "input.once", "'features'"),
    ("wrong datatype", with_input(datatype="FP64"), 400, "input.datatype", "expected datatype FP32, got 'FP64'"),
    ("unknown datatype", with_input(datatype="FP8"), 400, "input.datatype", "'FP8'"),
    ("wrong rank", with_input(shape=[4]), 400, "input.shape", "expected shape [-1, 4], got [4]"),
    ("fixed axis", with_input(shape=[2, 2]), 400, "input.shape", "got [2, 2]"),
    ("negative axis", with_input(shape=[-1, 4]), 400, "input.shape", "got [-1, 4]"),
    ("no rows", with_input(shape=[0, 4], data=[]), 400, "input.shape", "at least one row"),
    ("too many rows", with_input(shape=[2000, 4]), 400, "batch.too_large", "at most 1024 rows, got 2000"),
    ("overflowing shape", with_input(shape=[1 << 62, 4]), 400, "batch.too_large", "at most 1024"),
    ("too few values", with_input(data=[1.0]), 400, "input.elements", "expected elements 4 by its shape, got 1"),
    ("too many values", with_input(data=[1.0] * 5), 400, "input.elements", "got 5"),
    ("rows of another width", with_input(data=[[1.0, 2.0], [3.0, 4.0]]), 400, "input.shape", "axis 0"),
    ("ragged rows", with_input(shape=[2, 4], data=[[1.0] * 4, [1.0] * 3]), 400, "input.shape", "axis 1"),
    ("rows and numbers", with_input(shape=[2, 4], data=[[1.0] * 4, 2]), 400, "input.shape", "axis 1"),
    ("nested too deep", with_input(data=[[[1.0, 2.0, 3.0, 4.0]]]), 400, "input.shape", "axis 1"),
    ("text for a number", with_input(data=["1", 2, 3, 4]), 400, "input.values", "got str"),
    ("truth for a number", with_input(data=[True, 2, 3, 4]), 400, "input.values", "got bool"),
    ("object for a number", with_input(data=[{}, 2, 3, 4]), 400, "input.values", "got dict"),
    ("number beyond its type", with_input(data=[1e300, 2, 3, 4]), 400, "input.values", "got inf at element 0"),
    ("raw too short", with_input(raw=floats(1, 2, 3)), 400, "input.bytes", "expected bytes 16, got 12"),
    ("raw too long", with_input(raw=floats(1, 2, 3, 4, 5)), 400, "input.bytes", "got 20"),
    ("no contents", with_input(data=None), 400, "input.contents", "raw or typed"),
    ("NaN", with_input(raw=floats(1, 2, 3, NAN)), 400, "input.values", "got nan at element 3"),
    ("missing value", with_input(data=[None, 2, 3, 4]), 400, "input.values", "got nan at element 0"),
    ("infinity", with_input(raw=floats(1, 2, INF, 4)), 400, "input.values", "got inf at element 2"),
    ("float for a whole number", typed("i32", "INT32", [1.0, 2]), 400, "input.values", "got float"),
    ("truth for a whole number", typed("i32", "INT32", [True, 2]), 400, "input.values", "got bool"),
    ("number for truth", typed("b", "BOOL", [1, 0]), 400, "input.values", "got int"),
    ("number for text", typed("s", "BYTES", [1, 0]), 400, "input.values", "got int"),
    ("NUL in a text", typed("s", "BYTES", ["a\0", ""]), 400, "input.UTF-8", "NUL"),
    ("out of range", typed("u16", "UINT16", [0, 65536]), 400, "input.values", "0..65535"),
    ("far out of range", typed("i64", "INT64", [0, 1 << 70]), 400, "input.values", "'i64'"),
    ("FP16 as numbers", typed("f16", "FP16", [0.5, 1]), 400, "input.contents", "binary data"),
    ("unknown output", changed(outputs=[{"name": "other"}]), 400, "output.name", "'other' is unknown"),
    ("output twice", changed(outputs=[{"name": "label"}] * 2), 400, "output.name", "asked for twice"),
    ("classes below one", changed(outputs=[{"name": "label", "parameters": {"classification": -1}}]), 400,
     "output.classification", "above 0"),
    ("classes no number", changed(outputs=[{"name": "label", "parameters": {"classification": True}}]), 400,
     "output.classification", "above 0"),
    ("classes into memory", changed(outputs=[{"name": "label", "parameters": {
        "classification": 1, "shared_memory_region": "r", "shared_memory_byte_size": 8}}]), 400,
     "output.classification", "shared memory"),
    ("reserved parameter", changed(parameters={"triton_secret": 1}), 400, "parameter.reserved", "triton_secret"),
    ("parameter of another type", changed(parameters={"priority": "high"}), 400, "parameter.type", "expected int"),
    ("form of another type", changed(parameters={"binary_data_output": 1}), 400, "parameter.type", "expected bool"),
    ("parameters no object", changed(parameters=[1]), 400, "parameter.type", "expected an object"),
    ("unit too long", changed(parameters={"onecode_unit": "u" * 300}), 400, "unit.too_long", "300 characters"),
    ("sequence without id", changed(parameters={"sequence_start": True}), 400, "parameter.type", "sequence_id"),
    ("late already", changed(parameters={"timeout": 1}), 504, "deadline.exceeded", "deadline passed"),
    ("id no text", changed(id=5), 400, "json.field", "expected text"),
    ("region unknown", with_input(data=None, parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16}),
     404, "shared_memory.unknown", "'r'"),
    ("text cut", {"model": "types", "inputs": [{"name": "s", "datatype": "BYTES", "shape": [1, 2], "raw": b"\xff"}]},
     400, "input.bytes", "'s'"),
    ("text too many", {"model": "types", "inputs": [
        {"name": "s", "datatype": "BYTES", "shape": [1, 2], "raw": b"\0\0\0\0" * 3}]}, 400, "input.elements", "'s'"),
    ("flag of two", {"model": "types", "inputs": [{"name": "b", "datatype": "BOOL", "shape": [1, 2], "raw": b"\0\2"}]},
     400, "input.values", "0 or 1"),
    ("not UTF-8", {"model": "types", "inputs": [
        {"name": "s", "datatype": "BYTES", "shape": [1, 2], "raw": b"\1\0\0\0\xff\0\0\0\0"}]},
     400, "input.UTF-8", "'s'"),
    ("non-finite answer", {"model": "root", "inputs": [{**GOOD["inputs"][0], "data": [-1.0, 1.0, 1.0, 1.0]}]}, 500,
     "model.non_finite_output", "'prediction'"),
]  # fmt: skip


def ask(wire: Wire, case: dict[str, Any]) -> Any:
    tail = b""
    document = {name: value for name, value in case.items() if name not in ("model", "version")}
    if isinstance(document["inputs"], list):
        inputs = copy.deepcopy(document["inputs"])
        for entry in inputs:
            if isinstance(entry, dict) and "raw" in entry:
                raw = entry.pop("raw")
                entry.pop("data", None)
                tail += raw
                entry["parameters"] = {"binary_data_size": len(raw)}
        document["inputs"] = inputs
    body, fields = binary(document, tail)
    path = f"{case['model']}/versions/{case['version']}" if "version" in case else case["model"]
    return wire.infer(body, path, **(fields if tail else {}))


@pytest.mark.parametrize("name", [case[0] for case in CASES])
def test_a_wrong_request_is_refused_with_its_status_code_and_reason(house: House, name: str) -> None:
    _, case, status, code, text = next(one for one in CASES if one[0] == name)
    wire = house.wire()
    for _ in range(TIMES):
        answer = ask(wire, case)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert text in answer.json["error"]
        assert not answer.json["error"][0].isupper()
    assert ask(wire, GOOD).status == 200
    assert house.plane.idle()


@pytest.mark.parametrize("name", [case[0] for case in CASES if case[0] != "late already"])
def test_a_wrong_request_among_good_ones_of_a_plan_is_refused_alone(house: House, name: str) -> None:
    """The good ones share a run; the wrong one is seen although most of it is like them."""
    _, case, status, code, _ = next(one for one in CASES if one[0] == name)
    wires = [house.wire() for _ in range(3)]
    for wire in wires:
        for _ in range(TIMES):
            assert ask(wire, GOOD).status == 200
    body = json.dumps({"inputs": GOOD["inputs"]}).encode()
    for wire in wires[:2]:
        wire.engine.receive(
            b"POST /v2/models/dense/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body, 1.0
        )
    answer = ask(wires[2], case)
    assert (answer.status, answer.json["code"]) == (status, code)
    for wire in wires[:2]:
        assert wire.engine.take().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("model", "body", "text"),
    [
        ("types", b"\0" * 16, "one input"),
        ("dense", b"\0" * 15, "expected bytes 16, got 15"),
        ("dense", b"", "expected bytes 16, got 0"),
        ("dense", b"\0" * 32, "expected bytes 16, got 32"),
    ],
)
def test_a_body_of_bytes_alone_must_fill_the_one_input(house: House, model: str, body: bytes, text: str) -> None:
    for _ in range(TIMES):
        answer = house.wire().infer(body, model, Inference_Header_Content_Length="0")
        assert answer.status == 400
        assert text in answer.json["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1.0", "99999", "+5"])
def test_a_length_of_json_that_is_none_is_refused(house: House, length: str) -> None:
    for _ in range(TIMES):
        answer = house.wire().infer(b"{}", Inference_Header_Content_Length=length)
        assert (answer.status, answer.json["code"]) == (400, "body.header_length")


def test_a_key_that_comes_twice_is_refused_beside_a_plan_that_is_known(house: House) -> None:
    wire = house.wire()
    good = json.dumps({"inputs": GOOD["inputs"]})
    for _ in range(TIMES):
        assert wire.infer(good.encode()).status == 200
    for bad in (good[:-1] + ', "id": "a", "id": "b"}', good.replace('"data":', '"data": [1, 2, 3, 4], "data":')):
        for _ in range(TIMES):
            answer = wire.infer(bad.encode())
            assert (answer.status, answer.json["code"]) == (400, "json.invalid")
