"""An inference over REST is exact in every form, the first time and every time after it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import serving_models as make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_rest_wire import House, Wire, binary

from onecode_serving.domain.datatypes import NUMPY

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


def test_json_in_and_out_is_exact(wire: Wire) -> None:
    for _ in range(TIMES):
        answer = wire.infer({"id": "7 ä", "inputs": [FLAT]})
        assert answer.status == 200
        assert answer.fields["content-type"] == "application/json"
        assert "inference-header-content-length" not in answer.fields
        assert answer.json["model_name"] == "dense"
        assert answer.json["model_version"] == "1"
        assert answer.json["id"] == "7 ä"
        assert answer.json["parameters"]["onecode_arm"] == "stable"
        assert answer.json["parameters"]["onecode_model_digest"] == answer.fields["x-onecode-model-digest"]
        assert answer.fields["x-onecode-model-version"] == "1"
        label, probabilities = answer.json["outputs"]
        assert label == {"name": "label", "datatype": "INT64", "shape": [1], "data": LABEL.tolist()}
        assert np.array_equal(np.array(probabilities["data"], np.float32), PROBABILITIES.ravel())
        assert probabilities["shape"] == [1, 3]


def test_bytes_in_and_out_are_exact(wire: Wire) -> None:
    body, fields = binary({"inputs": [BYTES], "parameters": {"binary_data_output": True}}, ROW.tobytes())
    for _ in range(TIMES):
        answer = wire.infer(body, **fields)
        assert answer.fields["content-type"] == "application/octet-stream"
        assert answer.tail == LABEL.tobytes() + PROBABILITIES.tobytes()
        sizes = [one["parameters"]["binary_data_size"] for one in answer.json["outputs"]]
        assert sizes == [8, 12]
        assert all("data" not in one for one in answer.json["outputs"])
        assert "id" not in answer.json


def test_a_body_of_bytes_alone_is_the_one_input(wire: Wire) -> None:
    for _ in range(TIMES):
        answer = wire.infer(ROW.tobytes(), Inference_Header_Content_Length="0")
        assert answer.tail == LABEL.tobytes() + PROBABILITIES.tobytes()


@pytest.mark.parametrize(
    ("default", "first", "second", "forms"),
    [
        (None, None, None, "jj"), (None, True, None, "bj"), (None, None, True, "jb"), (True, None, None, "bb"),
        (True, False, None, "jb"), (False, True, True, "bb"), (True, True, False, "bj"), (False, None, None, "jj"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sent", ["json", "bytes"])
def test_each_output_comes_in_the_form_asked_for(
    wire: Wire, default: bool | None, first: bool | None, second: bool | None, forms: str, sent: str
) -> None:
    outputs = [
        {"name": name, **({} if asked is None else {"parameters": {"binary_data": asked}})}
        for name, asked in (("probabilities", first), ("label", second))
    ]
    head: dict[str, Any] = {"inputs": [FLAT if sent == "json" else BYTES], "outputs": outputs}
    if default is not None:
        head["parameters"] = {"binary_data_output": default}
    body, fields = binary(head, b"" if sent == "json" else ROW.tobytes())
    for _ in range(TIMES):
        answer = wire.infer(body, **(fields if sent == "bytes" else {}))
        assert ("inference-header-content-length" in answer.fields) is ("b" in forms)
        tail = answer.tail if "b" in forms else b""
        for output, form, expected in zip(answer.json["outputs"], forms, (PROBABILITIES, LABEL), strict=True):
            assert output["shape"] == list(expected.shape)
            if form == "b":
                size = output["parameters"]["binary_data_size"]
                assert tail[:size] == expected.tobytes()
                tail = tail[size:]
            else:
                assert np.array_equal(np.array(output["data"], expected.dtype), expected.ravel())
        assert not tail


@CALM
@given(
    st.lists(st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=4, max_size=4), min_size=1, max_size=3),
    st.booleans(),
    st.permutations(["name", "datatype", "shape", "data"]),
)
def test_all_forms_give_the_same_bits(wire: Wire, rows: list[list[float]], nested: bool, order: list[str]) -> None:
    array = np.array(rows, np.float32)
    tensor = {
        "name": "features", "datatype": "FP32", "shape": list(array.shape),
        "data": rows if nested else array.ravel().tolist(),
    }  # fmt: skip
    text = {"inputs": [{name: tensor[name] for name in order}], "parameters": {"binary_data_output": True}}
    described = {**BYTES, "shape": list(array.shape), "parameters": {"binary_data_size": array.nbytes}}
    body, fields = binary({"inputs": [described], "parameters": {"binary_data_output": True}}, array.tobytes())
    tails = set()
    for _ in range(3):
        tails |= {wire.infer(text, "plus").tail, wire.infer(body, "plus", **fields).tail}
    (tail,) = tails
    assert tail == (array + np.float32(1)).tobytes()


@pytest.mark.parametrize("datatype", sorted({*NUMPY} - {"FP16", "BF16"}))
def test_every_datatype_travels_as_json_and_as_bytes(wire: Wire, datatype: str) -> None:
    inputs, expected = [], None
    for name, kind, data in every_type():
        entry = {"name": name, "datatype": kind, "shape": [1, 2], "data": data}
        if kind == "FP16":
            raw = np.array(data, np.float16).tobytes()
            entry = {"name": name, "datatype": kind, "shape": [1, 2], "parameters": {"binary_data_size": 4}}
        if kind == datatype:
            expected = (name, data)
        inputs.append(entry)
    assert expected is not None
    name, data = expected
    body, fields = binary({"inputs": inputs, "outputs": [{"name": f"{name}_out"}]}, raw)
    (output,) = wire.infer(body, "types", **fields).json["outputs"]
    assert output == {"name": f"{name}_out", "datatype": datatype, "shape": [1, 2], "data": data}
    asked = {"name": f"{name}_out", "parameters": {"binary_data": True}}
    body, fields = binary({"inputs": inputs, "outputs": [asked]}, raw)
    tail = wire.infer(body, "types", **fields).tail
    if datatype == "BYTES":
        assert tail == b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in data)
    else:
        assert np.frombuffer(tail, NUMPY[datatype]).tolist() == data


def every_type() -> list[tuple[str, str, list[Any]]]:
    return [
        ("b", "BOOL", [True, False]), ("i8", "INT8", [-128, 127]), ("i16", "INT16", [-32768, 32767]),
        ("i32", "INT32", [-(1 << 31), (1 << 31) - 1]), ("i64", "INT64", [-(1 << 63), (1 << 63) - 1]),
        ("u8", "UINT8", [0, 255]), ("u16", "UINT16", [0, 65535]), ("u32", "UINT32", [0, (1 << 32) - 1]),
        ("u64", "UINT64", [0, (1 << 64) - 1]), ("f16", "FP16", [0.5, -1.5]), ("f32", "FP32", [0.5, -1.25]),
        ("f64", "FP64", [0.1, -1e300]), ("s", "BYTES", ['ä:"', ""]),
    ]  # fmt: skip


def test_numbers_out_of_a_type_s_range_are_refused_and_not_wrapped(wire: Wire) -> None:
    for name, kind, bad in (
        ("u8", "UINT8", 256),
        ("i8", "INT8", -129),
        ("i64", "INT64", 1 << 63),
        ("u64", "UINT64", -1),
    ):
        answer = wire.infer({"inputs": [{"name": name, "datatype": kind, "shape": [1, 2], "data": [0, bad]}]}, "types")
        assert (answer.status, answer.json["code"]) == (400, "input.values")


def test_fp16_is_never_json(wire: Wire) -> None:
    inputs = [
        {"name": name, "datatype": kind, "shape": [1, 2], "data": data}
        for name, kind, data in every_type()
    ]  # fmt: skip
    answer = wire.infer({"inputs": inputs}, "types")
    assert answer.status == 400
    assert "binary data" in answer.json["error"]
    inputs[9] = {"name": "f16", "datatype": "FP16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    body, fields = binary({"inputs": inputs, "outputs": [{"name": "f16_out"}]}, b"\0\0\0\0")
    answer = wire.infer(body, "types", **fields)
    assert (answer.status, answer.json["code"]) == (400, "output.binary_only")


def test_an_answer_that_json_cannot_carry_asks_for_bytes(house: House, wire: Wire) -> None:
    """NaN as an input is a missing value here, and as an output the model's own word."""
    tensor = {**FLAT, "data": [None, 1, 2, 3]}
    assert wire.infer({"inputs": [tensor]}).status == 400
    del house
    answer = wire.infer({"inputs": [tensor]}, "gaps")
    # The model's NaN outputs are a fault of the version, so they never reach JSON.
    assert answer.json["code"] == "model.non_finite_output"
