"""Write small graphs as ONNX, and draw questions for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 10
OPSETS = {"": 18, "ai.onnx.ml": 3}

Draw = Callable[[np.random.Generator, int], dict[str, NDArray[Any]]]
"""Returns so many rows of every input."""

Drawn = tuple[bytes, Draw]
"""A model, and how to draw questions for it."""


def normal(shapes: dict[str, tuple[int, ...]]) -> Draw:
    """Return a way to draw FP32 inputs of these shapes, without their row axis."""
    return lambda dice, rows: {
        name: dice.normal(size=(rows, *shape)).astype(np.float32) for name, shape in shapes.items()
    }


def floats(name: str, dice: np.random.Generator, *shape: int) -> Any:
    """Return weights."""
    return numpy_helper.from_array((dice.normal(size=shape) / 2).astype(np.float32), name)


def graph(
    nodes: list[Any],
    inputs: dict[str, tuple[int, ...]],
    outputs: dict[str, tuple[int, ...]],
    weights: list[Any],
    *,
    kinds: dict[str, int] | None = None,
    rows: bool = True,
) -> bytes:
    """Return a model; tensors are FP32 but for those whose element type is given."""
    first = ["N"] if rows else []
    described = [
        [
            helper.make_tensor_value_info(name, (kinds or {}).get(name, TensorProto.FLOAT), [*first, *shape])
            for name, shape in tensors.items()
        ]
        for tensors in (inputs, outputs)
    ]
    made = helper.make_graph(nodes, "g", *described, weights)
    opsets = [helper.make_opsetid(*one) for one in OPSETS.items()]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())
