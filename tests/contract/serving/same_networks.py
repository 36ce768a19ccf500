"""Draw small networks: dense, convolution, recurrent, quantised, of half precision."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from same_graph import Drawn, floats, graph, normal


def dense(widths: tuple[int, ...], kind: str) -> Drawn:
    """Return dense layers of these widths, each with an activation behind it."""
    dice, nodes, weights, last = np.random.default_rng(sum(widths)), [], [], "x"
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        weights += [floats(f"w{layer}", dice, fan_in, fan_out), floats(f"b{layer}", dice, fan_out)]
        nodes += [
            helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"d{layer}"]),
            helper.make_node(kind, [f"d{layer}"], [f"r{layer}"]),
        ]
        last = f"r{layer}"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    return graph(nodes, {"x": (widths[0],)}, {"y": (widths[-1],)}, weights), normal({"x": (widths[0],)})


def image() -> Drawn:
    """Return a convolution, a pool and a dense layer over one 8x8 channel."""
    dice = np.random.default_rng(1)
    weights = [floats("k", dice, 4, 1, 3, 3), floats("w", dice, 64, 5)]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    return graph(nodes, {"x": (1, 8, 8)}, {"y": (5,)}, weights), normal({"x": (1, 8, 8)})


def signal() -> Drawn:
    """Return a convolution along time over three channels, and its mean."""
    dice = np.random.default_rng(2)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], kernel_shape=[5], dilations=[2]),
        helper.make_node("Tanh", ["c"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    return graph(nodes, {"x": (3, 32)}, {"y": (6,)}, [floats("k", dice, 6, 3, 5)]), normal({"x": (3, 32)})


def recurrent(kind: str) -> Drawn:
    """Return the last state of an LSTM or a GRU over six steps of three numbers."""
    dice, gates, state = np.random.default_rng(3), {"LSTM": 4, "GRU": 3}[kind], 5
    weights = [
        floats("w", dice, 1, gates * state, 3),
        floats("r", dice, 1, gates * state, state),
        floats("b", dice, 1, 2 * gates * state),
        numpy_helper.from_array(np.array([0], np.int64), "first"),
    ]
    outputs = ["all", "last"] if kind == "GRU" else ["all", "last", "cell"]
    nodes = [
        helper.make_node("Transpose", ["x"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node(kind, ["by_time", "w", "r", "b"], outputs, hidden_size=state),
        helper.make_node("Squeeze", ["last", "first"], ["y"]),
    ]
    return graph(nodes, {"x": (6, 3)}, {"y": (state,)}, weights), normal({"x": (6, 3)})


def quantised() -> Drawn:
    """Return a matrix product of bytes, as quantised networks have it: UINT8 in, INT8 and UINT8 out."""
    dice = np.random.default_rng(6)
    weights = [
        numpy_helper.from_array(dice.integers(-128, 128, (12, 4), dtype=np.int8), "w"),
        *(numpy_helper.from_array(np.array(value, np.float32), name) for name, value in _SCALES.items()),
        numpy_helper.from_array(np.array(128, np.uint8), "middle"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node(
            "QLinearMatMul", ["x", "x_scale", "middle", "w", "w_scale", "zero", "y_scale", "middle"], ["y"]
        ),
        helper.make_node("DequantizeLinear", ["y", "y_scale", "middle"], ["wide"]),
        helper.make_node("QuantizeLinear", ["wide", "x_scale", "zero"], ["narrow"]),
    ]
    kinds = {"x": TensorProto.UINT8, "y": TensorProto.UINT8, "narrow": TensorProto.INT8}
    return (
        graph(nodes, {"x": (12,)}, {"y": (4,), "narrow": (4,)}, weights, kinds=kinds),
        lambda more, rows: {"x": more.integers(0, 256, (rows, 12), dtype=np.uint8)},
    )


_SCALES = {"x_scale": 0.05, "w_scale": 0.01, "y_scale": 0.1}


def half() -> Drawn:
    """Return a dense layer in FP16."""
    dice = np.random.default_rng(7)
    weights = [numpy_helper.from_array(dice.normal(size=(8, 3)).astype(np.float16), "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    kinds = dict.fromkeys(("x", "y"), TensorProto.FLOAT16)
    return (
        graph(nodes, {"x": (8,)}, {"y": (3,)}, weights, kinds=kinds),
        lambda more, rows: {"x": more.normal(size=(rows, 8)).astype(np.float16)},
    )


def brain(*, twin: bool = False) -> Drawn:
    """Return a dense layer between casts from and to BF16.

    Args:
        twin: Give it FP32 outside with the same values: what a program can ask that has no BF16.
    """
    dice = np.random.default_rng(8)
    cast = [
        helper.make_node("Cast", ["narrow"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["wide", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["rounded"], to=TensorProto.BFLOAT16),
    ]
    before = helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16)
    after = helper.make_node("Cast", ["rounded"], ["y"], to=TensorProto.FLOAT)
    if not twin:
        before = helper.make_node("Identity", ["x"], ["narrow"])
        after = helper.make_node("Identity", ["rounded"], ["y"])
    kinds = {} if twin else dict.fromkeys(("x", "y"), TensorProto.BFLOAT16)

    def draw(more: np.random.Generator, rows: int) -> dict[str, NDArray[Any]]:
        array = more.normal(size=(rows, 8)).astype(np.float32)
        return {"x": (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)}

    return graph([before, *cast, after], {"x": (8,)}, {"y": (3,)}, [floats("w", dice, 8, 3)], kinds=kinds), draw
