"""Each form of the same numbers gives the same array; everything else is refused with what was expected."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecode_common.errors import InvalidError
from onecode_serving.domain.classification import top_classes
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import CONTENTS, NUMPY
from onecode_serving.domain.messages import Tensor
from onecode_serving.domain.tensors import decode, encode_raw

LIMIT = 1000
SPEC = TensorSpec("x", "FP32", (-1, 2))

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason to fail."""


def spec(datatype: str, **more: Any) -> TensorSpec:
    return TensorSpec("x", datatype, (-1, 2), **more)


VALUES = {
    "BOOL": [True, False], "INT8": [-128, 127], "INT16": [-(1 << 15), (1 << 15) - 1], "UINT8": [0, 255],
    "INT32": [-(1 << 31), (1 << 31) - 1], "INT64": [-(1 << 63), (1 << 63) - 1], "UINT16": [0, 65535],
    "UINT32": [0, (1 << 32) - 1], "UINT64": [0, (1 << 64) - 1], "FP32": [0.1, -3e38], "FP64": [0.1, 1e308],
    "BYTES": ["", "网关"],
}  # fmt: skip


@pytest.mark.parametrize("datatype", VALUES)
def test_raw_typed_flat_and_nested_are_the_same_array(datatype: str) -> None:
    values = VALUES[datatype]
    expected = np.array([values], NUMPY[datatype])
    raw = encode_raw(expected, datatype)
    typed = [item.encode() for item in values] if datatype == "BYTES" else values
    forms = [
        Tensor("x", datatype, (1, 2), raw=raw),
        Tensor("x", datatype, (1, 2), raw=memoryview(raw)),
        Tensor("x", datatype, (1, 2), values=typed, field=CONTENTS[datatype]),
        Tensor("x", datatype, (1, 2), values=values),
        Tensor("x", datatype, (1, 2), values=[values]),
    ]
    for form in forms:
        array = decode(form, spec(datatype), LIMIT)
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
        assert array.tolist() == expected.tolist()


@CALM
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_numbers_in_json_become_exactly_the_float_that_raw_bytes_hold(values: list[float]) -> None:
    raw = decode(Tensor("x", "FP32", (1, 2), raw=np.array(values, np.float32).tobytes()), SPEC, LIMIT)
    assert decode(Tensor("x", "FP32", (1, 2), values=values), SPEC, LIMIT).tobytes() == raw.tobytes()


@CALM
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2))
def test_texts_survive_their_wire_form(values: list[str]) -> None:
    raw = encode_raw(np.array(values, object), "BYTES")
    assert decode(Tensor("x", "BYTES", (1, 2), raw=raw), spec("BYTES"), LIMIT).tolist() == [values]


@CALM
@given(st.binary(max_size=40))
def test_no_bytes_break_the_reader_of_texts(raw: bytes) -> None:
    try:
        array = decode(Tensor("x", "BYTES", (1, 2), raw=raw), spec("BYTES"), LIMIT)
    except InvalidError:
        return
    assert encode_raw(array, "BYTES") == raw


REFUSED: list[tuple[str, Tensor, TensorSpec]] = [
    ("datatype FP32", Tensor("x", "FP64", (1, 2), raw=bytes(16)), SPEC),
    ("datatype FP32", Tensor("x", "nonsense", (1, 2), raw=bytes(8)), SPEC),
    ("shape [-1, 2]", Tensor("x", "FP32", (2,), raw=bytes(8)), SPEC),
    ("shape [-1, 2]", Tensor("x", "FP32", (1, 3), raw=bytes(12)), SPEC),
    ("shape [-1, 2]", Tensor("x", "FP32", (-1, 2), raw=bytes(8)), SPEC),
    ("at least one row", Tensor("x", "FP32", (0, 2), raw=b""), SPEC),
    ("at most 1000", Tensor("x", "FP32", (1 << 62, 2), raw=bytes(8)), SPEC),
    ("bytes 8", Tensor("x", "FP32", (1, 2), raw=bytes(7)), SPEC),
    ("bytes 8", Tensor("x", "FP32", (1, 2), raw=bytes(12)), SPEC),
    ("raw or typed", Tensor("x", "FP32", (1, 2)), SPEC),
    ("finite", Tensor("x", "FP32", (1, 2), raw=np.array([1, np.nan], np.float32).tobytes()), SPEC),
    ("finite", Tensor("x", "FP32", (1, 2), raw=np.array([1, np.inf], np.float32).tobytes()), SPEC),
    ("or NaN", Tensor("x", "FP32", (1, 2), raw=np.array([np.nan, -np.inf], np.float32).tobytes()),
     spec("FP32", allow_nan=True)),
    ("finite", Tensor("x", "FP32", (1, 2), values=[1.0, None]), SPEC),
    ("finite", Tensor("x", "FP32", (1, 2), values=[1.0, 1e39]), SPEC),
    ("within FP32", Tensor("x", "FP32", (1, 2), values=[1.0, 10**400]), SPEC),
    ("float or int", Tensor("x", "FP32", (1, 2), values=[1.0, True]), SPEC),
    ("float or int", Tensor("x", "FP32", (1, 2), values=[1.0, "2"]), SPEC),
    ("2 by its shape", Tensor("x", "FP32", (1, 2), values=[1.0]), SPEC),
    ("shape [1, 2]", Tensor("x", "FP32", (1, 2), values=[[1.0], [2.0]]), SPEC),
    ("nesting", Tensor("x", "FP32", (2, 2), values=[[1.0, 2.0], [1.0]]), SPEC),
    ("nesting", Tensor("x", "FP32", (2, 2), values=[[1.0, 2.0], 3.0]), SPEC),
    ("float or int", Tensor("x", "FP32", (1, 2), values=[[[1.0], [2.0]]]), SPEC),
    ("fp32_contents", Tensor("x", "FP32", (1, 2), values=[1.0, 2.0], field="fp64_contents"), SPEC),
    ("alone", Tensor("x", "FP32", (1, 2), values=[1.0, 2.0], field="fp32_contents", fields=2), SPEC),
    ("raw_input_contents", Tensor("x", "FP16", (1, 2), values=[1.0, 2.0], field="fp32_contents"), spec("FP16")),
    ("binary data", Tensor("x", "FP16", (1, 2), values=[1.0, 2.0]), spec("FP16")),
    ("-128..127", Tensor("x", "INT8", (1, 2), values=[0, 128], field="int_contents"), spec("INT8")),
    ("0..255", Tensor("x", "UINT8", (1, 2), values=[-1, 0]), spec("UINT8")),
    ("int for INT64", Tensor("x", "INT64", (1, 2), values=[1.0, 2]), spec("INT64")),
    ("int for INT64", Tensor("x", "INT64", (1, 2), values=[True, 2]), spec("INT64")),
    ("bool for BOOL", Tensor("x", "BOOL", (1, 2), values=[1, 0]), spec("BOOL")),
    ("0 or 1", Tensor("x", "BOOL", (1, 2), raw=b"\x00\x02"), spec("BOOL")),
    ("inside", Tensor("x", "BYTES", (1, 2), raw=b"\xff\xff\xff\x7fa"), spec("BYTES")),
    ("elements 2", Tensor("x", "BYTES", (1, 2), raw=b"\x01\x00\x00\x00a"), spec("BYTES")),
    ("elements 2", Tensor("x", "BYTES", (1, 2), raw=b"\x00\x00\x00\x00" * 3), spec("BYTES")),
    ("UTF-8", Tensor("x", "BYTES", (1, 2), values=[b"\xff", b""], field="bytes_contents"), spec("BYTES")),
    ("UTF-8", Tensor("x", "BYTES", (1, 2), values=["a\x00b", ""]), spec("BYTES")),
    ("UTF-8", Tensor("x", "BYTES", (1, 2), values=["\ud800", ""]), spec("BYTES")),
    ("str or bytes", Tensor("x", "BYTES", (1, 2), values=["a", 1]), spec("BYTES")),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "tensor", "wanted"), REFUSED)
def test_what_does_not_fit_is_refused_with_name_and_expectation(
    expected: str, tensor: Tensor, wanted: TensorSpec
) -> None:
    with pytest.raises(InvalidError) as caught:
        decode(tensor, wanted, LIMIT)
    assert "input 'x'" in caught.value.message
    assert expected in caught.value.message
    assert {"field", "expected", "got"} <= set(caught.value.params)


def test_nan_passes_where_the_contract_says_so() -> None:
    array = decode(Tensor("x", "FP32", (1, 2), values=[None, 1]), spec("FP32", allow_nan=True), LIMIT)
    assert np.isnan(array[0, 0])


def test_classes_are_ranked_by_value_and_equal_ones_by_index() -> None:
    described = TensorSpec("p", "FP32", (-1, 3), labels=("a", "b"))
    array = np.array([[0.25, 0.5, 0.25], [0.0, 0.0, 1.0]], np.float32)
    expected = [["0.500000:1:b", "0.250000:0:a"], ["1.000000:2", "0.000000:0:a"]]
    assert top_classes(array, described, 2).tolist() == expected
    assert top_classes(array, described, 99).shape == (2, 3)
