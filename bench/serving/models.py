"""Give every measurement the same models, bit for bit: three small ones that people deploy, and two dear ones.

Each is a pure function of its seed, so that the load and the server can build them apart and agree on every answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

IR_VERSION = 10
OPSET = 18
ROWS = 8
"""Different rows that a connection sends in turn."""

_MLP = (64, 128, 64, 10)
_GBT_COLUMNS = 32
_GBT_TREES = 100
_GBT_DEPTH = 3
_DEAR_CHANNELS = 16
_DEAR_SIDE = 40
_SLOW_COLUMNS = 16
_SLOW_LAYERS = 50


@dataclass(frozen=True)
class Tensor:
    """One input or output: protocol datatype, and shape with -1 for the batch axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """A network as ONNX with what it takes and gives."""

    name: str
    onnx: bytes
    input: Tensor
    outputs: tuple[Tensor, ...]

    def rows(self) -> list[NDArray[np.float32]]:
        """Return the rows that are sent, each with its batch axis of one."""
        dice = np.random.default_rng(11)
        shape = (1, *self.input.shape[1:])
        return [dice.normal(size=shape).astype(np.float32) for _ in range(ROWS)]

    def session(self) -> ort.InferenceSession:
        """Return a session with the options of a small model: one thread that does not spin."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        return ort.InferenceSession(self.onnx, options, providers=["CPUExecutionProvider"])

    def answers(self) -> list[tuple[bytes, ...]]:
        """Return the raw bytes of all outputs for each of :meth:`rows`."""
        session, names = self.session(), [one.name for one in self.outputs]
        return [tuple(a.tobytes() for a in session.run(names, {self.input.name: row})) for row in self.rows()]


def build(name: str, seed: int = 7) -> Model:
    """Return a model by name; another seed gives other answers to the same rows."""
    return _BUILDERS[name](seed)


@cache
def _mlp(seed: int) -> Model:
    """Three dense layers, 64-128-64-10."""
    dice, nodes, weights, last = np.random.default_rng(seed), [], [], "x"
    for layer, (fan_in, fan_out) in enumerate(pairwise(_MLP)):
        final = layer == len(_MLP) - 2
        weights.append(_weight(f"w{layer}", dice.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in)))
        weights.append(_weight(f"b{layer}", dice.normal(size=fan_out) / 10))
        dense = "y" if final else f"d{layer}"
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [dense]))
        if not final:
            nodes.append(helper.make_node("Relu", [dense], [f"r{layer}"]))
        last = f"r{layer}"
    return _model("mlp", nodes, weights, (_MLP[0],), (_MLP[-1],))


@cache
def _cnn(seed: int) -> Model:
    """Two convolutions with pooling on 1x28x28, then one dense layer to ten classes."""
    dice = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for block, (channels_in, channels) in enumerate(((1, 8), (8, 16))):
        fan_in = channels_in * 9
        weights.append(_weight(f"k{block}", dice.normal(size=(channels, channels_in, 3, 3)) / np.sqrt(fan_in)))
        convolution = [last, f"k{block}"]
        nodes += [
            helper.make_node("Conv", convolution, [f"c{block}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{block}"], [f"r{block}"]),
            helper.make_node("MaxPool", [f"r{block}"], [f"p{block}"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        last = f"p{block}"
    weights.append(_weight("w", dice.normal(size=(16 * 7 * 7, 10)) / 28))
    nodes += [helper.make_node("Flatten", [last], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    return _model("cnn", nodes, weights, (1, 28, 28), (10,))


@cache
def _dear(seed: int) -> Model:
    """Two convolutions on 1x40x40: a tenth of a millisecond a row that no batch makes cheaper."""
    dice, side, channels = np.random.default_rng(seed), _DEAR_SIDE, _DEAR_CHANNELS
    weights = [
        _weight("k0", dice.normal(size=(channels, 1, 3, 3)) / 3),
        _weight("k1", dice.normal(size=(channels, channels, 3, 3)) / 12),
        _weight("w", dice.normal(size=(channels, 10)) / 4),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "k0"], ["c0"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "k1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c1"], ["g"]),
        helper.make_node("Flatten", ["g"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return _model("dear", nodes, weights, (1, side, side), (10,))


@cache
def _slow(seed: int) -> Model:
    """Fifty times the dear convolution, from a row of sixteen numbers: some five milliseconds."""
    dice, side, channels = np.random.default_rng(seed), _DEAR_SIDE, _DEAR_CHANNELS
    weights = [
        _weight("first", dice.normal(size=(_SLOW_COLUMNS, side * side)) / 4),
        numpy_helper.from_array(np.array([0, 1, side, side], np.int64), "image"),
        _weight("k0", dice.normal(size=(channels, 1, 3, 3)) / 3),
        _weight("k1", dice.normal(size=(channels, channels, 3, 3)) / 12),
        _weight("w", dice.normal(size=(channels, 10)) * 4),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["m"]),
        helper.make_node("Reshape", ["m", "image"], ["i"]),
        helper.make_node("Conv", ["i", "k0"], ["c0"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    for layer in range(_SLOW_LAYERS):
        taken = [f"c{layer}", "k1"]
        nodes.append(helper.make_node("Conv", taken, [f"c{layer + 1}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"c{_SLOW_LAYERS}"], ["g"]),
        helper.make_node("Flatten", ["g"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return _model("slow", nodes, weights, (_SLOW_COLUMNS,), (10,))


@cache
def _gbt(seed: int) -> Model:
    """A hundred boosted trees of depth 3: a label and two probabilities."""
    import lightgbm  # noqa: PLC0415 - half a second that other models do not need
    from onnxmltools import convert_lightgbm  # noqa: PLC0415
    from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

    dice = np.random.default_rng(seed)
    rows = dice.normal(size=(2000, _GBT_COLUMNS)).astype(np.float32)
    labels = (rows[:, :4].sum(axis=1) + dice.normal(size=len(rows)) > 0).astype(int)
    trees = lightgbm.LGBMClassifier(
        n_estimators=_GBT_TREES, max_depth=_GBT_DEPTH, num_leaves=2**_GBT_DEPTH, n_jobs=1, seed=seed, verbose=-1
    ).fit(rows, labels)
    types = [("x", FloatTensorType([None, _GBT_COLUMNS]))]
    proto = convert_lightgbm(trees, initial_types=types, zipmap=False, target_opset=15)
    proto.ir_version = IR_VERSION
    # The converter states one label whatever the rows; onnxruntime would warn at each larger batch.
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    outputs = (Tensor("label", "INT64", (-1,)), Tensor("probabilities", "FP32", (-1, 2)))
    return Model("gbt", proto.SerializeToString(), Tensor("x", "FP32", (-1, _GBT_COLUMNS)), outputs)


_BUILDERS: dict[str, Callable[[int], Model]] = {"mlp": _mlp, "cnn": _cnn, "gbt": _gbt, "dear": _dear, "slow": _slow}


def _weight(name: str, values: NDArray[np.float64]) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _value(name: str, shape: tuple[int, ...]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def _model(
    name: str, nodes: list[NodeProto], weights: list[TensorProto], takes: tuple[int, ...], gives: tuple[int, ...]
) -> Model:
    graph = helper.make_graph(nodes, name, [_value("x", takes)], [_value("y", gives)], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    proto: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return Model(
        name, proto.SerializeToString(), Tensor("x", "FP32", (-1, *takes)), (Tensor("y", "FP32", (-1, *gives)),)
    )
