"""What one large request needs is not kept after it."""

import resource
from pathlib import Path

import numpy as np
import serving_models as make
from onnx import TensorProto, helper, numpy_helper

from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion

WIDE = 4096
ROWS = 4096
BETWEEN = ROWS * WIDE * 4
"""Bytes of the tensor between the two multiplications."""


def widening() -> ServedVersion:
    """A model whose rows are a thousand times as wide inside as outside."""
    weights = [
        numpy_helper.from_array(np.ones((4, WIDE), np.float32), "out"),
        numpy_helper.from_array(np.ones((WIDE, 1), np.float32), "back"),
    ]
    nodes = [helper.make_node("MatMul", ["x", "out"], ["wide"]), helper.make_node("MatMul", ["wide", "back"], ["y"])]
    outside = [make.value("x", TensorProto.FLOAT, ["N", 4])], [make.value("y", TensorProto.FLOAT, ["N", 1])]
    built = make.built("wide", 1, make.serialized(nodes, *outside, weights))
    return load_version(built.manifest, built.onnx)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_memory_of_a_request_of_many_rows_is_given_back() -> None:
    version = widening()
    few, many = np.ones((1, 4), np.float32), np.ones((ROWS, 4), np.float32)
    version.run({"x": few})
    before = resident()
    answers = version.run({"x": many})[0]
    assert answers.shape == (ROWS, 1)
    assert resident() - before < BETWEEN / 4
