"""Golden sets: what can be asked is read, what cannot is refused with its line."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import InvalidError
from onecode_registry.domain.contract import Contract, Tensor
from onecode_registry.domain.golden import read_golden, require_fit

CONTRACT = Contract(
    (Tensor("features", "FP32", (-1, 3), allow_nan=True), Tensor("categories", "BYTES", (-1, 1))),
    (Tensor("label", "INT64", (-1,)), Tensor("probabilities", "FP32", (-1, 2))),
)
Row = dict[str, Any]


def documents(rows: int = 64) -> list[Row]:
    header: Row = {"format": 1, "rows": rows, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}
    row: Row = {
        "inputs": [
            {"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2, 3.5]},
            {"name": "categories", "datatype": "BYTES", "shape": [1, 1], "data": ["红"]},
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.5]},
        ],
    }
    return [header, *(json.loads(json.dumps(row)) for _ in range(rows))]


def written(lines: list[Row]) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in lines)


def changed(line: int, change: Callable[[Row], object]) -> bytes:
    lines = documents()
    change(lines[line])
    return written(lines)


def test_a_set_that_fits_is_read_with_its_tolerance_and_its_missing_values() -> None:
    content = changed(7, lambda row: row["inputs"][0].update(data=[None, 1.0, 2.0]))
    golden = read_golden(content)
    require_fit(golden, CONTRACT)
    assert (len(golden.rows), golden.atol, golden.rtol, golden.missing) == (64, 1e-4, 1e-3, frozenset({"features"}))


def test_a_row_may_expect_only_some_of_the_outputs() -> None:
    require_fit(read_golden(changed(1, lambda row: row["outputs"].pop())), CONTRACT)


def header(**fields: Any) -> bytes:
    return changed(0, lambda first: first.update(fields))


REFUSED: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 0),
    "too few rows": (written(documents(63)), 1),
    "too many rows": (written(documents(201)), 1),
    "wrong count": (header(rows=65), 1),
    "count as text": (header(rows="64"), 1),
    "count as truth": (header(rows=True), 1),
    "tolerance of all": (header(atol=1.0), 1),
    "negative tolerance": (header(rtol=-1e-9), 1),
    "tolerance missing": (header(atol=None), 1),
    "tolerance as truth": (header(rtol=True), 1),
    "tolerance NaN": (written(documents()).replace(b'"atol": 0.0001', b'"atol": NaN'), 1),
    "tolerance beyond numbers": (written(documents()).replace(b'"atol": 0.0001', b'"atol": 1e999'), 1),
    "other format": (header(format=2), 1),
    "allows all": (header(allowed_mismatch=64), 1),
    "cut off": (written(documents())[:-5], 65),
    "nested": (b"[" * 100_000, 1),
    "not UTF-8": (b"\xff\xfe{}", 1),
    "a list": (b"[1]\n" * 65, 1),
    "huge integer": (b'{"format": ' + b"9" * 5000 + b"}", 1),
    "larger than 1 MiB": (written(documents()) + b" " * (1 << 20), 0),
    "no inputs": (changed(3, lambda row: row.update(inputs=[])), 4),
    "inputs are text": (changed(3, lambda row: row.update(inputs="features")), 4),
    "other input": (changed(3, lambda row: row["inputs"][0].update(name="x")), 4),
    "input missing": (changed(3, lambda row: row["inputs"].pop()), 4),
    "input twice": (changed(3, lambda row: row["inputs"].append(row["inputs"][0])), 4),
    "other datatype": (changed(3, lambda row: row["inputs"][0].update(datatype="FP64")), 4),
    "other width": (changed(3, lambda row: row["inputs"][0].update(shape=[1, 2], data=[1, 2])), 4),
    "other rank": (changed(3, lambda row: row["inputs"][0].update(shape=[3])), 4),
    "shape and data differ": (changed(3, lambda row: row["inputs"][0].update(data=[1.0])), 4),
    "negative shape": (changed(3, lambda row: row["inputs"][0].update(shape=[-1, -3])), 4),
    "shape of truths": (changed(3, lambda row: row["inputs"][0].update(shape=[True, 3])), 4),
    "huge shape": (changed(3, lambda row: row["inputs"][0].update(shape=[1 << 40, 3])), 4),
    "text for a number": (changed(3, lambda row: row["inputs"][0].update(data=["1", 2, 3])), 4),
    "truth for a number": (changed(3, lambda row: row["inputs"][0].update(data=[True, 2, 3])), 4),
    "number for a text": (changed(3, lambda row: row["inputs"][1].update(data=[1])), 4),
    "missing text": (changed(3, lambda row: row["inputs"][1].update(data=[None])), 4),
    "fraction for an integer": (changed(3, lambda row: row["outputs"][0].update(data=[1.5])), 4),
    "integer beyond 64 bits": (changed(3, lambda row: row["outputs"][0].update(data=[1 << 63])), 4),
    "missing answer": (changed(3, lambda row: row["outputs"][1].update(data=[None, 0.5])), 4),
    "no answer": (changed(3, lambda row: row.update(outputs=[])), 4),
    "unknown answer": (changed(3, lambda row: row["outputs"][0].update(name="y")), 4),
    "answer twice": (changed(3, lambda row: row["outputs"].append(row["outputs"][0])), 4),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_set_that_cannot_be_asked_is_refused_with_its_line(name: str) -> None:
    content, line = REFUSED[name]
    with pytest.raises(InvalidError) as caught:
        require_fit(read_golden(content), CONTRACT)
    assert (caught.value.code, caught.value.params["line"]) == ("golden.invalid", str(line)), caught.value.message


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_golden_set_or_refused_by_name(content: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        read_golden(content)
    assert caught.value.code == "golden.invalid"
