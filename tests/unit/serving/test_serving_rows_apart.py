"""Rows share a run only where no answer can tell that they did."""

import numpy as np
import pytest
import serving_models as make
from onnx import TensorProto, helper, numpy_helper

from onecode_common.canonical import sha256_hex
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion


def mean_of(columns: int, kind: int) -> bytes:
    """Return the mean of a row: of seven numbers, every second row begins between two multiples of 16 bytes."""
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1)]
    axes = [numpy_helper.from_array(np.array([1], np.int64), "axes")]
    return make.serialized(nodes, [make.value("x", kind, ["N", columns])], [make.value("mean", kind, ["N", 1])], axes)


def loaded(onnx: bytes, datatype: str, columns: int) -> ServedVersion:
    contract = {
        "inputs": [{"name": "x", "datatype": datatype, "shape": [-1, columns]}],
        "outputs": [{"name": "mean", "datatype": datatype, "shape": [-1, 1]}],
    }
    files = [{"name": "model.onnx", "sha256": sha256_hex(onnx), "length": len(onnx)}]
    return load_version({"model": "m", "release": 1, "files": files, "contract": contract}, onnx)


@pytest.mark.parametrize("columns", [3, 5, 6, 7, 9, 31])
@pytest.mark.parametrize(("datatype", "kind"), [("FP64", TensorProto.DOUBLE), ("FP32", TensorProto.FLOAT)])
def test_a_model_whose_sums_depend_on_where_a_row_lies_is_asked_row_by_row(
    datatype: str, kind: int, columns: int
) -> None:
    version = loaded(mean_of(columns, kind), datatype, columns)
    rows = np.random.default_rng(3).normal(size=(64, columns)).astype(datatype.replace("FP", "float"))
    alone = [version.execute({"x": row[None].copy()})[0].tobytes() for row in rows]
    together = version.execute({"x": rows})[0]
    differing = sum(one != row.tobytes() for one, row in zip(alone, together, strict=True))
    # What is asked of the server follows from what onnxruntime does with these very bytes.
    assert (version.limit == 1) is (differing > 0)


def test_a_model_whose_rows_begin_alike_shares_its_runs() -> None:
    assert loaded(mean_of(8, TensorProto.DOUBLE), "FP64", 8).limit > 1
