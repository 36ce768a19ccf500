"""BF16, classes and inputs that may be left out: rounding, ranking and absence are exact."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_face import Face, features, request, tensor
from tritonclient.grpc import InferInput, InferRequestedOutput

from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.domain.bfloat16 import narrowed, widened
from onecode_serving.domain.classification import top_classes
from onecode_serving.domain.contract import TensorSpec, parse_contract

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@CALM
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_rounding_is_to_nearest_even_as_another_implementation_does(values: list[float]) -> None:
    array = np.array(values, np.float32)
    with np.errstate(over="ignore"):
        expected = array.astype(ml_dtypes.bfloat16)
    assert narrowed(array).tobytes() == expected.tobytes()
    assert widened(narrowed(array).tobytes()).tolist() == expected.astype(np.float32).tolist()


def test_every_pattern_of_sixteen_bits_survives_widening_and_narrowing() -> None:
    bits = np.arange(1 << 16, dtype="<u2")
    wide = widened(bits.tobytes())
    back = narrowed(wide)
    same = (back == bits) | np.isnan(wide)
    assert same.all()
    assert np.isnan(widened(back[np.isnan(wide)].tobytes())).all()


def test_nan_with_a_full_mantissa_stays_nan() -> None:
    array = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], np.uint32).view(np.float32)
    assert np.isnan(widened(narrowed(array).tobytes())).all()


def brain_request(array: Any) -> Any:
    half = array.astype(ml_dtypes.bfloat16)
    one = InferInput("features", list(array.shape), "BF16")
    one._raw_content = half.tobytes()
    return request("brain", one)


def test_a_model_described_as_bf16_takes_and_gives_two_bytes_an_element(face: Face) -> None:
    array = features(3)
    response = face.infer(brain_request(array)).get_response()
    expected = (array.astype(ml_dtypes.bfloat16).astype(np.float32) + 1).astype(ml_dtypes.bfloat16)
    assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BF16", [3, 4])
    assert response.raw_output_contents[0] == expected.tobytes()


def test_bf16_has_its_own_length_and_no_typed_form(face: Face) -> None:
    message = brain_request(features())
    message.raw_input_contents[0] = bytes(16)
    with pytest.raises(OnecodeError, match="bytes 8, got 16"):
        face.infer(message)
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend([1.0] * 4)
    with pytest.raises(OnecodeError, match="raw_input_contents alone for BF16"):
        face.infer(message)


def test_bf16_that_is_not_finite_is_refused(face: Face) -> None:
    with pytest.raises(OnecodeError, match="finite"):
        face.infer(brain_request(np.full((1, 4), np.inf, np.float32)))


def test_a_planned_request_of_bf16_is_no_plan_of_four_bytes(face: Face) -> None:
    for _ in range(3):
        assert face.infer(brain_request(features())).get_response().raw_output_contents[0]


def test_an_input_that_may_be_left_out_has_the_models_own_value(face: Face) -> None:
    given_input = tensor("features", features(), "FP32")
    alone = face.infer(request("optional", given_input)).as_numpy("prediction")
    assert alone.tolist() == (features() + np.arange(1, 5, dtype=np.float32)).tolist()
    c = tensor("c", np.full(4, 9, np.float32), "FP32")
    assert face.infer(request("optional", given_input, c)).as_numpy("prediction").tolist() == (features() + 9).tolist()
    with pytest.raises(OnecodeError, match="'features'"):
        face.infer(request("optional", c))


def test_a_contract_says_what_is_optional() -> None:
    entry = {"name": "c", "datatype": "BF16", "shape": ["-1"], "optional": True}
    spec = parse_contract({"inputs": [entry], "outputs": []}).inputs[0]
    assert (spec.optional, spec.datatype, spec.shape) == (True, "BF16", (-1,))


def classes(face: Face, count: int, model: str = "labelled", output: str = "prediction", rows: int = 2) -> Any:
    wanted = [InferRequestedOutput(output, count)]
    return face.infer(request(model, tensor("features", features(rows), "FP32"), outputs=wanted))


@pytest.mark.parametrize("count", [1, 2, 4, 99])
def test_the_top_classes_come_by_row_with_their_labels(face: Face, count: int) -> None:
    result = classes(face, count)
    found = result.as_numpy("prediction")
    assert result.get_response().outputs[0].datatype == "BYTES"
    assert found.shape == (2, min(count, 4))
    for row, texts in zip(features(2), found, strict=True):
        order = np.argsort(-row, kind="stable")[:count]
        labels = {0: ":cold", 1: ":warm"}
        assert [text.decode() for text in texts] == [f"{row[i]:f}:{i}{labels.get(i, '')}" for i in order.tolist()]


def test_classes_of_an_output_without_rows_are_one_list(face: Face) -> None:
    array = np.array([[5, 1, 9], [9, 0, -3]], np.int64)
    message = request("whole", tensor("x", array, "INT64"), outputs=[InferRequestedOutput("same", 3)])
    found = face.infer(message).as_numpy("same")
    assert [text.decode() for text in found] == ["9:2", "9:3", "5:0"]


@pytest.mark.parametrize("name", ["b", "f16", "s"])
def test_what_is_no_number_of_its_kind_has_no_classes(face: Face, name: str) -> None:
    message = request("types", outputs=[InferRequestedOutput(f"{name}_out", 1)])
    with pytest.raises(OnecodeError, match="classification needs"):
        face.infer(message)


def test_bf16_has_no_classes(face: Face) -> None:
    message = brain_request(features())
    message.outputs.extend([InferRequestedOutput("prediction", 1)._get_tensor()])
    with pytest.raises(InvalidError, match="classification needs"):
        face.infer(message)


@CALM
@given(
    st.sampled_from(["INT64", "UINT64", "INT8", "FP32", "FP64"]),
    st.lists(st.integers(-3, 3), min_size=1, max_size=9),
    st.integers(1, 12),
)
def test_ranking_is_by_value_and_then_by_index(datatype: str, values: list[int], count: int) -> None:
    from onecode_serving.domain.datatypes import NUMPY

    largest = 2**64 - 10 if datatype == "UINT64" else 2**62 if datatype == "INT64" else 100
    array = np.array([[largest + value for value in values]], NUMPY[datatype])
    found = top_classes(array, TensorSpec("p", datatype, (-1, len(values))), count)
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]
    assert [int(text.split(":")[1]) for text in found[0]] == expected
    if datatype in ("INT64", "UINT64"):
        assert [int(text.split(":")[0]) for text in found[0]] == [largest + values[index] for index in expected]
