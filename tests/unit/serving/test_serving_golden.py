"""A golden set passes exactly the version that answers as expected."""

import json

import pytest
import serving_models as make

from onecode_common.canonical import sha256_hex
from onecode_common.errors import InvalidError
from onecode_serving.golden import MAX_BYTES, check_golden, parse_golden
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion


@pytest.fixture(scope="module")
def version() -> ServedVersion:
    built = make.built("dense", 1, make.dense())
    return load_version(built.manifest, built.onnx)


def test_the_version_that_it_was_made_with_passes(version: ServedVersion) -> None:
    assert check_golden(version, parse_golden(make.golden_set(make.dense()))).passed


def test_another_version_fails_and_the_first_wrong_row_is_named(version: ServedVersion) -> None:
    result = check_golden(version, parse_golden(make.golden_set(make.dense(seed=2))))
    assert not result.passed
    assert result.mismatches > 32
    assert result.detail.startswith("row 1: output ")


def test_a_difference_within_the_tolerance_passes_and_one_beyond_it_fails(version: ServedVersion) -> None:
    assert check_golden(version, parse_golden(make.golden_set(make.dense(), spoil=5e-5))).passed
    assert not check_golden(version, parse_golden(make.golden_set(make.dense(), spoil=5e-3))).passed


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_is_written_as_numbers_though_no_request_has_them_so(datatype: str) -> None:
    kind = {"FP16": make.TensorProto.FLOAT16, "BF16": make.TensorProto.BFLOAT16}[datatype]
    onnx = make.serialized(
        [make.helper.make_node("Identity", ["x"], ["y"])],
        [make.value("x", kind, ["N", 3])],
        [make.value("y", kind, ["N", 3])],
    )
    tensor = {"datatype": datatype, "shape": [-1, 3]}
    contract = {"inputs": [{**tensor, "name": "x"}], "outputs": [{**tensor, "name": "y"}]}
    files = [{"name": "model.onnx", "sha256": sha256_hex(onnx), "length": len(onnx)}]
    version = load_version({"model": "m", "release": 1, "files": files, "contract": contract}, onnx)
    for answer, passes in (([1.5, -2.0, 0.25], True), ([1.5, -2.0, 0.5], False)):
        row = {
            "inputs": [{"name": "x", "datatype": datatype, "shape": [1, 3], "data": [1.5, -2.0, 0.25]}],
            "outputs": [{"name": "y", "datatype": datatype, "shape": [1, 3], "data": answer}],
        }
        header = {"format": 1, "rows": 1, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}
        content = "\n".join(map(json.dumps, (header, row))).encode()
        assert check_golden(version, parse_golden(content)).passed == passes


def _with(line: int, **changes: object) -> bytes:
    lines = make.golden_set(make.dense()).splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes}).encode()
    return b"\n".join(lines)


def test_rows_may_be_wrong_up_to_the_stated_number(version: ServedVersion) -> None:
    first = json.loads(make.golden_set(make.dense()).splitlines()[1])
    first["outputs"][0]["data"] = [1 - first["outputs"][0]["data"][0]]
    for allowed, passes in ((0, False), (1, True)):
        content = _with(1, outputs=first["outputs"]).replace(
            b'"allowed_mismatch": 0', b'"allowed_mismatch": %d' % allowed
        )
        assert check_golden(version, parse_golden(content)).passed == passes


def test_an_output_that_the_model_does_not_give_is_a_mismatch(version: ServedVersion) -> None:
    content = make.golden_set(make.dense()).replace(b'"label"', b'"levels"')
    assert "does not give it" in check_golden(version, parse_golden(content)).detail


def test_an_expectation_of_another_type_or_shape_is_a_mismatch(version: ServedVersion) -> None:
    for old, new in ((b'"INT64"', b'"INT32"'), (b'"shape": [1, 3]', b'"shape": [3, 1]')):
        assert not check_golden(version, parse_golden(make.golden_set(make.dense()).replace(old, new))).passed


def test_expecting_nan_is_always_a_mismatch(version: ServedVersion) -> None:
    row = json.loads(make.golden_set(make.dense()).splitlines()[1])
    row["outputs"][1]["data"] = [None, None, None]
    assert not check_golden(version, parse_golden(_with(1, outputs=row["outputs"]))).passed


def test_a_row_with_nan_features_is_asked_as_it_stands(version: ServedVersion) -> None:
    """Null stands for NaN; here the softmax then answers NaN, which no expectation allows."""
    row = json.loads(make.golden_set(make.dense()).splitlines()[1])
    row["inputs"][0]["data"][0] = None
    result = check_golden(version, parse_golden(_with(1, inputs=row["inputs"])))
    assert "NaN or infinity" in result.detail


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"{" * 100_000,
        make.golden_set(make.dense())[:-30],
        make.golden_set(make.dense(), rows=5).replace(b'"rows": 5', b'"rows": 6'),
        make.golden_set(make.dense(), rows=0),
        make.golden_set(make.dense()).replace(b'"format": 1', b'"format": 2'),
        make.golden_set(make.dense()).replace(b'"atol": 0.0001', b'"atol": 1e9'),
        make.golden_set(make.dense()).replace(b'"allowed_mismatch": 0', b'"allowed_mismatch": 64'),
        make.golden_set(make.dense()).replace(b'"inputs"', b'"imputs"'),
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_not_a_golden_set_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidError, match="golden"):
        parse_golden(content)
