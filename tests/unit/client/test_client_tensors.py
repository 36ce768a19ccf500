"""What the client makes of arrays, frames and rows, and what it writes on the wire."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from onecode_client.oip_messages import infer_reply, infer_request, metadata_inputs, metadata_request
from onecode_client.oip_rest import read_reply
from onecode_client.predictor import Predictor
from onecode_client.tensors import Spec, Tensor, array_of, tensor_of, tensors_of
from onecode_common.errors import InvalidError
from onecode_serving.oip.wire import pb

FEATURES = Spec("features", "FP32", (-1, 2))
CATEGORIES = Spec("categories", "BYTES", (-1, 1))


@pytest.mark.parametrize(
    "data",
    [
        np.array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], np.float64),
        [[1, 2], [3, 4]],
        ((1.0, 2.0), (3.0, 4.0)),
        pd.DataFrame({"b": [1, 3], "a": [2.0, 4.0]}),
        [{"b": 1, "a": 2}, {"a": 4, "b": 3}],
        {"b": [1, 3], "a": [2, 4]},
        {"features": [[1, 2], [3, 4]]},
        {"features": np.array([[1, 2], [3, 4]])},
    ],
)
def test_rows_in_every_form_become_the_same_tensor(data: object) -> None:
    (tensor,) = tensors_of("m", [FEATURES], data)
    assert tensor == Tensor("features", "FP32", (2, 2), np.array([[1, 2], [3, 4]], "<f4").tobytes())


@pytest.mark.parametrize("data", [[1, 2], np.array([1.0, 2.0]), {"b": 1, "a": 2}, {"features": [1, 2]}])
def test_one_row_needs_no_batch_axis(data: object) -> None:
    (tensor,) = tensors_of("m", [FEATURES], data)
    assert tensor.shape == (1, 2)


def test_numbers_and_texts_go_to_the_inputs_that_take_them() -> None:
    frame = pd.DataFrame({"x": [1.0, None], "colour": ["red", "blue"], "y": [3, 4]})
    features, categories = tensors_of("m", [FEATURES, CATEGORIES], frame)
    assert np.array_equal(array_of(features), np.array([[1, 3], [np.nan, 4]], "f4"), equal_nan=True)
    assert array_of(categories).tolist() == [["red"], ["blue"]]


def test_a_model_of_two_number_inputs_wants_names() -> None:
    inputs = [Spec("left", "FP32", (-1, 1)), Spec("right", "FP32", (-1, 1))]
    with pytest.raises(InvalidError, match="mapping from these names"):
        tensors_of("m", inputs, [[1, 2]])
    assert [one.name for one in tensors_of("m", inputs, {"right": [[2]], "left": [[1]]})] == ["left", "right"]


@pytest.mark.parametrize(
    ("spec", "values", "words"),
    [
        (Spec("x", "INT64", (-1, 1)), [[1.5]], "takes INT64"),
        (Spec("x", "INT8", (-1, 1)), [[300]], "takes INT8"),
        (Spec("x", "UINT8", (-1, 1)), [[-1]], "takes UINT8"),
        (Spec("x", "FP32", (-1, 1)), [["warm"]], "takes FP32"),
        (Spec("x", "INT64", (-1, 1)), [[None]], "takes INT64"),
        (Spec("x", "FP32", (-1, 2)), [[1, 2, 3]], "shape"),
        (Spec("x", "FP32", (-1, 2)), [[[1, 2]]], "shape"),
        (Spec("x", "FP128", (-1, 2)), [[1, 2]], "does not know"),
    ],
)
def test_what_does_not_fit_an_input_is_refused_by_name(spec: Spec, values: object, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        tensor_of(spec, values)


@pytest.mark.parametrize("rows", [[], [[1, 2], [3]], [{"a": 1}, {"b": 1}], {"a": [1, 2], "b": [1]}])
def test_no_rows_and_uneven_rows_are_refused(rows: object) -> None:
    with pytest.raises(InvalidError, match="row"):
        tensors_of("m", [FEATURES], rows)


@given(
    npst.arrays(st.sampled_from(["?", "u1", "<i2", "<u4", "<i8", "<f2", "<f4", "<f8"]), npst.array_shapes(max_side=4))
)
def test_a_tensor_comes_back_as_it_went(array: np.ndarray) -> None:
    names = {"?": "BOOL", "u1": "UINT8", "<i2": "INT16", "<u4": "UINT32", "<i8": "INT64"}
    names |= {"<f2": "FP16", "<f4": "FP32", "<f8": "FP64"}
    datatype = names[array.dtype.str.replace("|b1", "?").replace("|", "")]
    back = array_of(tensor_of(Spec("x", datatype, array.shape), array))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


@given(st.lists(st.text(), min_size=1))
def test_texts_come_back_as_they_went(words: list[str]) -> None:
    tensor = tensor_of(Spec("x", "BYTES", (-1,)), words)
    assert array_of(tensor).tolist() == words


def test_bytes_that_are_no_text_stay_bytes() -> None:
    assert array_of(tensor_of(Spec("x", "BYTES", (-1,)), [b"\xff"])).tolist() == [b"\xff"]


def test_bf16_is_the_upper_half_of_fp32() -> None:
    tensor = tensor_of(Spec("x", "BF16", (-1,)), [1.0, -2.5, 3.14159])
    assert tensor.raw == np.array([0x3F80, 0xC020, 0x4049], "<u2").tobytes()
    assert array_of(tensor).tolist() == [1.0, -2.5, 3.140625]


@given(
    st.text(min_size=1),
    st.text(),
    st.lists(st.tuples(st.text(), st.lists(st.integers(0, 1 << 40), max_size=4), st.binary()), max_size=3),
    st.lists(st.text(min_size=1), max_size=3),
    st.text(),
)
def test_a_request_is_what_the_generated_message_reads(
    model: str, version: str, tensors: list[tuple[str, list[int], bytes]], outputs: list[str], unit: str
) -> None:
    sent = [Tensor(name, "FP32", tuple(shape), raw) for name, shape, raw in tensors]
    message = pb.ModelInferRequest.FromString(infer_request(model, version, sent, outputs, unit))
    assert (message.model_name, message.model_version) == (model, version)
    assert [(one.name, list(one.shape)) for one in message.inputs] == [(one.name, list(one.shape)) for one in sent]
    assert list(message.raw_input_contents) == [one.raw for one in sent]
    assert [one.name for one in message.outputs] == outputs
    assert message.parameters["onecode_unit"].string_param == unit if unit else not message.parameters


def test_a_reply_is_read_as_the_generated_message_wrote_it() -> None:
    message = pb.ModelInferResponse(model_name="m", model_version="3", raw_output_contents=[b"\0\0\0\0"])
    message.outputs.add(name="y", datatype="FP32", shape=[1, 1])
    message.parameters["onecode_model_digest"].string_param = "sha256:ab"
    message.parameters["onecode_release"].int64_param = 3
    message.parameters["below"].int64_param = -1
    reply = infer_reply(message.SerializeToString())
    assert reply.outputs == [Tensor("y", "FP32", (1, 1), b"\0\0\0\0")]
    assert reply.parameters == {"onecode_model_digest": "sha256:ab", "onecode_release": 3, "below": -1}


def test_metadata_is_read_as_the_generated_message_wrote_it() -> None:
    message = pb.ModelMetadataResponse(name="m")
    message.inputs.add(name="x", datatype="FP32", shape=[-1, 64])
    assert metadata_inputs(message.SerializeToString()) == [Spec("x", "FP32", (-1, 64))]
    assert pb.ModelMetadataRequest.FromString(metadata_request("m", "2")).version == "2"


@given(st.binary())
def test_bytes_that_are_no_reply_are_refused_or_read_and_nothing_else(content: bytes) -> None:
    for read in (infer_reply, metadata_inputs, lambda data: read_reply(data, None)):
        try:
            read(content)
        except InvalidError:
            continue


@pytest.mark.parametrize("address", ["", "host", "ftp://host:1", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidError, match="expected host:port"):
        Predictor(address)
