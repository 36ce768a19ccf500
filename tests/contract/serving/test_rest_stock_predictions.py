"""A stock HTTP client, however it is used, gets exactly what onnxruntime gives, and the right error."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import serving_models as make
from oip_stock import Server, features, headers, running
from rest_stock import FORMS, HttpStock, tensor, texts
from tritonclient.utils import InferenceServerException

TYPES: dict[str, tuple[str, Any]] = {
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
IN_BYTES = [form for form in FORMS if "json" not in form]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("rest")) as started:
        yield started


@pytest.fixture(scope="module")
def stock(server: Server) -> Iterator[HttpStock]:
    made = HttpStock(server.rest)
    yield made
    made.close()


def plus(stock: HttpStock, form: str, array: Any, **more: Any) -> Any:
    return stock.infer(form, "plus", {"features": ("FP32", array)}, {"prediction": 0}, **more)


@pytest.mark.parametrize("form", IN_BYTES)
def test_every_datatype_comes_back_bit_for_bit(stock: HttpStock, form: str) -> None:
    result = stock.infer(form, "types", TYPES)
    for name, (kind, array) in TYPES.items():
        found = result.as_numpy(f"{name}_out")
        if kind == "BYTES":
            assert texts(found) == array.ravel().tolist()
        else:
            assert (found.dtype, found.tobytes()) == (array.dtype, array.tobytes()), kind


@pytest.mark.parametrize("name", [name for name in TYPES if name != "f16"])
def test_every_datatype_but_halves_comes_back_in_json(stock: HttpStock, name: str) -> None:
    """The stock client reads JSON back as doubles or texts; FP32 survives that bit for bit."""
    wanted = {f"{name}_out": 0}
    result = stock.infer("bytes as json", "types", TYPES, wanted)
    kind, array = TYPES[name]
    found = result.as_numpy(f"{name}_out")
    if kind == "BYTES":
        assert texts(found) == array.ravel().tolist()
    else:
        assert found.astype(array.dtype).tobytes() == array.tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_rows_are_answered_as_onnxruntime_does(stock: HttpStock, form: str, rows: int) -> None:
    expected = make.session_of(make.plus(2)).run(None, {"features": features(rows)})[0]
    result = plus(stock, form, features(rows), request_id="id-ä")
    assert result.as_numpy("prediction").astype(np.float32).tobytes() == expected.tobytes()
    response = result.get_response()
    assert (response["id"], response["model_version"], response["model_name"]) == ("id-ä", "2", "plus")


@pytest.mark.parametrize("form", FORMS)
def test_repeated_calls_take_the_short_way_to_the_same_answer(stock: HttpStock, form: str) -> None:
    for seed in range(5):
        array = features(2, seed)
        result = plus(stock, form, array)
        assert result.as_numpy("prediction").astype(np.float32).tobytes() == (array + 2).tobytes()
        assert "id" not in result.get_response()


@pytest.mark.parametrize("form", FORMS)
def test_without_wanted_outputs_all_come(stock: HttpStock, form: str) -> None:
    result = stock.infer(form, "dense", {"features": ("FP32", features(3))})
    label, probabilities = make.session_of(make.dense()).run(None, {"features": features(3)})
    assert result.as_numpy("label").tolist() == label.tolist()
    assert result.as_numpy("probabilities").tobytes() == probabilities.tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_wanted_outputs_come_in_their_order_and_alone(stock: HttpStock, form: str) -> None:
    for names in (["probabilities", "label"], ["label"]):
        response = stock.infer(
            form, "dense", {"features": ("FP32", features())}, dict.fromkeys(names, 0)
        ).get_response()
        assert [one["name"] for one in response["outputs"]] == names


@pytest.mark.parametrize("form", FORMS)
def test_the_top_classes_come_as_texts(stock: HttpStock, form: str) -> None:
    row = np.array([[0.5, 3, -1, 3]], np.float32)
    for _ in range(3):
        result = stock.infer(form, "labelled", {"features": ("FP32", row)}, {"prediction": 3})
        assert texts(result.as_numpy("prediction")) == ["3.000000:1:warm", "3.000000:3", "0.500000:0:cold"]


@pytest.mark.parametrize("form", IN_BYTES)
def test_bf16_travels_in_two_bytes(stock: HttpStock, form: str) -> None:
    half = features(2).astype(ml_dtypes.bfloat16)
    result = stock.infer(form, "brain", {"features": ("BF16", half)}, {"prediction": 0})
    expected = (half.astype(np.float32) + 1).astype(ml_dtypes.bfloat16)
    assert result._buffer == expected.tobytes()


@pytest.mark.parametrize("form", ["bytes", "json", "aio"])
@pytest.mark.parametrize("sequence", [7, "press-3"])
def test_a_model_without_a_memory_accepts_sequences(stock: HttpStock, form: str, sequence: int | str) -> None:
    for start, end in ((True, False), (False, False), (False, True)):
        result = plus(stock, form, features(), sequence_id=sequence, sequence_start=start, sequence_end=end)
        assert result.as_numpy("prediction").astype(np.float32).tobytes() == (features() + 2).tobytes()


@pytest.mark.parametrize("form", ["bytes", "json", "aio", "async"])
def test_priority_timeout_and_parameters_of_others_are_accepted(stock: HttpStock, form: str) -> None:
    more = {"priority": 1, "timeout": 5_000_000, "parameters": {"mine": 1, "x": "y", "onecode_unit": "press-3"}}
    for _ in range(3):
        assert plus(stock, form, features(), **more).as_numpy("prediction").shape == (1, 4)


@pytest.mark.parametrize("form", ["bytes", "json", "aio", "async"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_named_version_answers(stock: HttpStock, form: str, version: str) -> None:
    for _ in range(3):
        result = plus(stock, form, features(), model_version=version)
        assert result.as_numpy("prediction").astype(np.float32).tobytes() == (features() + int(version)).tobytes()


@pytest.mark.parametrize("form", ["bytes", "json", "aio", "gzip"])
def test_an_input_may_be_left_out_where_the_model_has_one(stock: HttpStock, form: str) -> None:
    one = {"features": ("FP32", features())}
    two = {**one, "c": ("FP32", np.full(4, 5, np.float32))}
    for _ in range(3):
        alone = stock.infer(form, "optional", one).as_numpy("prediction")
        both = stock.infer(form, "optional", two).as_numpy("prediction")
        assert alone.tolist() == (features() + np.arange(1, 5, dtype=np.float32)).tolist()
        assert both.tolist() == (features() + 5).tolist()


@pytest.mark.parametrize("form", ["bytes", "json", "aio"])
def test_a_model_without_rows_answers_as_a_whole(stock: HttpStock, form: str) -> None:
    array = np.arange(6).reshape(2, 3)
    for _ in range(3):
        result = stock.infer(form, "whole", {"x": ("INT64", array)}, {"turned": 0})
        assert result.as_numpy("turned").astype(np.int64).tolist() == array.T.tolist()


Case = tuple[str, str, dict[str, tuple[str, Any]], dict[str, Any]]
REFUSED: list[Case] = [
    ("404", "nobody", {"features": ("FP32", features())}, {}),
    ("404", "plus", {"features": ("FP32", features())}, {"model_version": "9"}),
    ("400", "plus", {"features": ("FP32", features())}, {"model_version": "abc"}),
    ("400", "plus", {"features": ("FP32", features())}, {"model_version": "-1"}),
    ("503", "waiting", {"features": ("FP32", features())}, {}),
    ("400", "plus", {}, {}),
    ("400", "plus", {"strange": ("FP32", features())}, {}),
    ("400", "plus", {"features": ("FP64", features().astype(np.float64))}, {}),
    ("400", "plus", {"features": ("FP32", np.zeros((1, 5), np.float32))}, {}),
    ("400", "plus", {"features": ("FP32", np.zeros(4, np.float32))}, {}),
    ("400", "plus", {"features": ("FP32", np.zeros((0, 4), np.float32))}, {}),
    ("400", "plus", {"features": ("FP32", np.zeros((1025, 4), np.float32))}, {}),
    ("400", "plus", {"features": ("FP32", np.full((1, 4), np.nan, np.float32))}, {}),
    ("400", "plus", {"features": ("FP32", features())}, {"wanted": {"strange": 0}}),
    ("400", "plus", {"features": ("FP32", features())}, {"timeout": -1}),
    ("504", "plus", {"features": ("FP32", features())}, {"timeout": 1}),
    ("500", "root", {"features": ("FP32", np.full((1, 4), -1, np.float32))}, {}),
    ("413", "plus", {"features": ("FP32", np.zeros((400_000, 4), np.float32))}, {}),
    ("401", "plus", {"features": ("FP32", features())}, {"key": "nobody"}),
    ("403", "plus", {"features": ("FP32", features())}, {"key": "reader"}),
    ("403", "dense", {"features": ("FP32", features())}, {"key": "narrow"}),
]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize(("status", "model", "arrays", "more"), REFUSED)
@pytest.mark.parametrize("form", ["bytes", "gzip", "aio"])
def test_a_bad_request_has_its_status_and_the_next_call_works(
    stock: HttpStock, form: str, status: str, model: str, arrays: dict[str, Any], more: dict[str, Any]
) -> None:
    for _ in range(2):
        with pytest.raises(InferenceServerException) as caught:
            stock.infer(form, model, arrays, **more)
        assert caught.value.status() == status
        assert caught.value.message()
    assert plus(stock, form, features()).as_numpy("prediction").shape == (1, 4)


def test_the_rate_of_a_caller_holds(stock: HttpStock) -> None:
    found = []
    for form in ("bytes", "json", "aio", "bytes"):
        try:
            found.append(plus(stock, form, features(), key="slow").get_response()["model_name"])
        except InferenceServerException as error:
            found.append(error.status())
    assert found == ["plus", "plus", "plus", "429"]


def test_many_at_once_get_their_own_answers(stock: HttpStock) -> None:
    async def ask(number: int) -> float:
        array = np.full((1, 4), number, np.float32)
        result = await stock.aio.infer("plus", [tensor("features", array)], headers=headers())
        return float(result.as_numpy("prediction")[0, 0])

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*[ask(number) for number in range(200)])

    assert stock.run(all_of_them()) == [number + 2.0 for number in range(200)]
