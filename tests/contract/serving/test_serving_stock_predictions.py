"""A stock gRPC client, however it is used, gets exactly what onnxruntime gives, and the right error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
import serving_models as make
from oip_stock import FORMS, Stock, features, tensor
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

TYPES = {
    "b": ("BOOL", np.array([[True, False], [False, True]])),
    "i8": ("INT8", np.array([[-128, 127], [0, 1]], np.int8)),
    "i16": ("INT16", np.array([[-32768, 32767], [0, 1]], np.int16)),
    "i32": ("INT32", np.array([[-(1 << 31), (1 << 31) - 1], [0, 1]], np.int32)),
    "i64": ("INT64", np.array([[-(1 << 63), (1 << 63) - 1], [0, 1]], np.int64)),
    "u8": ("UINT8", np.array([[0, 255], [0, 1]], np.uint8)),
    "u16": ("UINT16", np.array([[0, 65535], [0, 1]], np.uint16)),
    "u32": ("UINT32", np.array([[0, (1 << 32) - 1], [0, 1]], np.uint32)),
    "u64": ("UINT64", np.array([[0, (1 << 64) - 1], [0, 1]], np.uint64)),
    "f16": ("FP16", np.array([[0.1, -65504], [6e-8, 1]], np.float16)),
    "f32": ("FP32", np.array([[0.1, -3e38], [1e-45, 1]], np.float32)),
    "f64": ("FP64", np.array([[0.1, 1e308], [5e-324, 1]], np.float64)),
    "s": ("BYTES", np.array([["", "网关"], ["a b", "ä" * 300]], object)),
}


def plus(stock: Stock, form: str, array: Any, **more: Any) -> Any:
    return stock.infer(form, "plus", [tensor("features", array)], **more)


@pytest.mark.parametrize("form", FORMS)
def test_every_datatype_comes_back_bit_for_bit(stock: Stock, form: str) -> None:
    result = stock.infer(form, "types", [tensor(name, array, kind) for name, (kind, array) in TYPES.items()])
    for name, (kind, array) in TYPES.items():
        found = result.as_numpy(f"{name}_out")
        if kind == "BYTES":
            assert [text.decode() for text in found.ravel()] == array.ravel().tolist()
        else:
            assert (found.dtype, found.tobytes()) == (array.dtype, array.tobytes()), kind


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_rows_are_answered_as_onnxruntime_does(stock: Stock, form: str, rows: int) -> None:
    expected = make.session_of(make.plus(2)).run(None, {"features": features(rows)})[0]
    result = plus(stock, form, features(rows), request_id="id-ä")
    assert result.as_numpy("prediction").tobytes() == expected.tobytes()
    assert (result.get_response().id, result.get_response().model_version) == ("id-ä", "2")


@pytest.mark.parametrize("form", FORMS)
def test_repeated_calls_take_the_short_way_to_the_same_answer(stock: Stock, form: str) -> None:
    for seed in range(6):
        array = features(2, seed)
        result = plus(stock, form, array, request_id=str(seed))
        assert result.as_numpy("prediction").tobytes() == (array + 2).tobytes()
        assert result.get_response().id == str(seed)


@pytest.mark.parametrize("form", FORMS)
def test_a_model_without_rows_takes_a_tensor_as_a_whole(stock: Stock, form: str) -> None:
    for seed in range(5):
        array = np.random.default_rng(seed).integers(-9, 9, (2, 3))
        result = stock.infer(form, "whole", [tensor("x", array, "INT64")])
        assert result.as_numpy("turned").tolist() == array.T.tolist()


@pytest.mark.parametrize("form", FORMS)
def test_bf16_travels_in_two_bytes(stock: Stock, form: str) -> None:
    half = features(2).astype(ml_dtypes.bfloat16)
    one = InferInput("features", [2, 4], "BF16")
    one.set_data_from_numpy(half)
    response = stock.infer(form, "brain", [one]).get_response()
    expected = (half.astype(np.float32) + 1).astype(ml_dtypes.bfloat16)
    assert response.raw_output_contents[0] == expected.tobytes()
    assert response.outputs[0].datatype == "BF16"


@pytest.mark.parametrize("form", FORMS)
def test_wanted_outputs_come_in_their_order_and_alone(stock: Stock, form: str) -> None:
    for names in (["probabilities", "label"], ["label"]):
        outputs = [InferRequestedOutput(name) for name in names]
        response = stock.infer(form, "dense", [tensor("features", features())], outputs=outputs).get_response()
        assert [one.name for one in response.outputs] == names


@pytest.mark.parametrize("form", FORMS)
def test_the_top_classes_come_as_texts(stock: Stock, form: str) -> None:
    row = np.array([[0.5, 3, -1, 3]], np.float32)
    outputs = [InferRequestedOutput("prediction", class_count=3)]
    found = stock.infer(form, "labelled", [tensor("features", row)], outputs=outputs).as_numpy("prediction")
    assert [text.decode() for text in found[0]] == ["3.000000:1:warm", "3.000000:3", "0.500000:0:cold"]


@pytest.mark.parametrize("form", ["plain", "aio", "stream"])
@pytest.mark.parametrize("sequence", [7, "press-3"])
def test_a_model_without_a_memory_accepts_sequences(stock: Stock, form: str, sequence: int | str) -> None:
    for start, end in ((True, False), (False, False), (False, True)):
        result = plus(stock, form, features(), sequence_id=sequence, sequence_start=start, sequence_end=end)
        assert result.as_numpy("prediction").tobytes() == (features() + 2).tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sequence", [7, "press-3"])
def test_a_model_with_a_window_sees_the_last_rows_of_a_sequence(stock: Stock, form: str, sequence: int | str) -> None:
    def total(values: list[float], key: str = "caller", **more: bool) -> float:
        rows = np.array([[value, 0] for value in values], np.float32)
        result = stock.infer(form, "moving", [tensor("x", rows)], key=key, sequence_id=sequence, **more)
        return float(result.as_numpy("total")[0, 0])

    assert total([1, 2, 3], sequence_start=True) == 6
    assert total([4]) == 9
    assert total([10, 10, 10], key="admin", sequence_start=True) == 30
    assert total([5, 6], sequence_end=True) == 15
    with pytest.raises(InferenceServerException, match="begin it with sequence_start"):
        total([7])


@pytest.mark.parametrize("form", FORMS)
def test_priority_timeout_and_parameters_of_others_are_accepted(stock: Stock, form: str) -> None:
    more = {
        "priority": 1,
        "timeout": 5_000_000,
        "parameters": {"mine": 1, "x": "y", "z": 0.5, "onecode_unit": "press-3"},
    }
    assert plus(stock, form, features(), **more).as_numpy("prediction").shape == (1, 4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_named_version_answers(stock: Stock, form: str, version: str) -> None:
    result = plus(stock, form, features(), model_version=version)
    assert result.as_numpy("prediction").tobytes() == (features() + int(version)).tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_an_input_may_be_left_out_where_the_model_has_one(stock: Stock, form: str) -> None:
    c = tensor("c", np.full(4, 5, np.float32))
    alone = stock.infer(form, "optional", [tensor("features", features())]).as_numpy("prediction")
    both = stock.infer(form, "optional", [tensor("features", features()), c]).as_numpy("prediction")
    assert alone.tolist() == (features() + np.arange(1, 5, dtype=np.float32)).tolist()
    assert both.tolist() == (features() + 5).tolist()


def wrong(shape: list[int], content: bytes, datatype: str = "FP32", name: str = "features") -> list[InferInput]:
    one = InferInput(name, shape, datatype)
    one._raw_content = content
    return [one]


GOOD = features().tobytes()
REFUSED: list[tuple[str, str, list[InferInput], dict[str, Any]]] = [
    ("NOT_FOUND", "nobody", wrong([1, 4], GOOD), {}),
    ("NOT_FOUND", "plus", wrong([1, 4], GOOD), {"model_version": "9"}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD), {"model_version": "abc"}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD), {"model_version": "-1"}),
    ("UNAVAILABLE", "waiting", wrong([1, 4], GOOD), {}),
    ("INVALID_ARGUMENT", "plus", [], {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD, name="strange"), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD, "FP64"), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 5], GOOD), {}),
    ("INVALID_ARGUMENT", "plus", wrong([4], GOOD), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD[:-1]), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD + b"x"), {}),
    ("INVALID_ARGUMENT", "plus", wrong([0, 4], b""), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1025, 4], bytes(16 * 1025)), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], np.full(4, np.nan, np.float32).tobytes()), {}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD), {"outputs": [InferRequestedOutput("strange")]}),
    ("INVALID_ARGUMENT", "plus", wrong([1, 4], GOOD), {"outputs": [InferRequestedOutput("prediction")] * 2}),
    ("INTERNAL", "root", wrong([1, 4], np.full(4, -1, np.float32).tobytes()), {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "model", "inputs", "more"), REFUSED)
def test_a_bad_request_has_its_status_and_the_next_call_works(
    stock: Stock, code: str, model: str, inputs: list[InferInput], more: dict[str, Any]
) -> None:
    for form in ("plain", "gzip", "aio"):
        with pytest.raises(InferenceServerException) as caught:
            stock.infer(form, model, inputs, **more)
        assert code in caught.value.status(), form
        assert caught.value.message()
        assert plus(stock, form, features()).as_numpy("prediction").shape == (1, 4)


@pytest.mark.parametrize(("code", "model", "inputs", "more"), REFUSED)
def test_a_bad_request_in_a_stream_is_an_error_of_its_own(
    stock: Stock, code: str, model: str, inputs: list[InferInput], more: dict[str, Any]
) -> None:
    good = {"model_name": "plus", "inputs": [tensor("features", features())]}
    bad = {"model_name": model, "inputs": inputs, **more}
    found = stock.outcomes([good, bad, good])
    assert [error is None for _, error in found] == [True, False, True], code
    assert found[1][1].message()


@pytest.mark.parametrize("form", ["plain", "aio"])
def test_a_deadline_that_cannot_be_met_is_told_as_such(stock: Stock, form: str) -> None:
    for _ in range(3):
        with pytest.raises(InferenceServerException) as caught:
            plus(stock, form, features(), timeout=1)
        assert "DEADLINE_EXCEEDED" in caught.value.status()
    with pytest.raises(InferenceServerException) as caught:
        plus(stock, form, features(), timeout=-1)
    assert "INVALID_ARGUMENT" in caught.value.status()


@pytest.mark.parametrize("form", ["plain", "gzip", "aio"])
def test_a_message_over_the_limit_is_refused_and_the_connection_lives(stock: Stock, form: str) -> None:
    array = np.zeros((400_000, 4), np.float32)
    with pytest.raises(InferenceServerException) as caught:
        plus(stock, form, array)
    assert "RESOURCE_EXHAUSTED" in caught.value.status()
    assert str(4 << 20) in caught.value.message()
    assert plus(stock, form, features()).as_numpy("prediction").shape == (1, 4)


@pytest.mark.parametrize("form", ["plain", "gzip", "callback", "aio"])
@pytest.mark.parametrize("shown", [{"authorization": "Bearer nobody"}, {"authorization": "Basic YTpi"}, {}])
def test_who_shows_nothing_or_something_wrong_is_not_let_in(stock: Stock, form: str, shown: dict[str, str]) -> None:
    with pytest.raises(InferenceServerException) as caught:
        plus(stock, form, features(), headers=shown)
    assert "UNAUTHENTICATED" in caught.value.status()


def test_a_stream_of_somebody_unknown_ends_at_once(stock: Stock) -> None:
    assert "UNAUTHENTICATED" in stock.first_of_stream(headers={}).status()


def test_an_asyncio_stream_of_somebody_unknown_ends_before_it_asks(stock: Stock) -> None:
    async def silent() -> AsyncIterator[Any]:
        # A client that writes while the end arrives may report its own failed write instead of the end.
        await asyncio.Event().wait()
        yield

    async def collect() -> None:
        async for _ in stock.aio.stream_infer(silent(), headers={}):
            pass

    # The asyncio client lets grpcio's own error through.
    with pytest.raises(grpc.RpcError) as caught:
        stock.run(collect())
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("key", "model", "code"), [("reader", "plus", "PERMISSION_DENIED"), ("narrow", "dense", "PERMISSION")]
)
def test_who_may_not_is_told_so(stock: Stock, key: str, model: str, code: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        stock.infer("plain", model, [tensor("features", features())], key=key)
    assert code in caught.value.status()


def test_the_rate_of_a_caller_holds_for_calls_and_streams_together(stock: Stock) -> None:
    codes = []
    for form in ("plain", "stream", "aio", "plain"):
        try:
            codes.append(plus(stock, form, features(), key="slow").get_response().model_name)
        except InferenceServerException as error:
            codes.append(error.status())
    assert codes[:3] == ["plus"] * 3
    assert "RESOURCE_EXHAUSTED" in codes[3]
