"""Draw the graphs of small models, each with a way to draw questions for it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Draw = Callable[[np.random.Generator, int], dict[str, NDArray[Any]]]
"""Returns so many rows of every input."""

Drawn = tuple[bytes, Draw]

_OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
_IR_VERSION = 10
_WORDS = ("hot", "cold", "läuft", "steht", "轴承", "油温")
_VECTORS = 5


def dense(widths: tuple[int, ...], kind: str) -> Drawn:
    """Return dense layers of these widths with an activation between them, and after the last where there is one output."""
    dice, nodes, weights, last = np.random.default_rng(sum(widths)), [], [], "x"
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
        weights += [_floats(f"w{layer}", dice, fan_in, fan_out), _floats(f"b{layer}", dice, fan_out)]
        nodes += [
            helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"d{layer}"]),
            helper.make_node(kind, [f"d{layer}"], [f"r{layer}"]),
        ]
        last = f"r{layer}"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    return _graph(nodes, {"x": (widths[0],)}, {"y": (widths[-1],)}, weights), _normal({"x": (widths[0],)})


def image() -> Drawn:
    """Return a convolution, a pool and a dense layer over one 8x8 channel."""
    dice = np.random.default_rng(1)
    weights = [_floats("k", dice, 4, 1, 3, 3), _floats("w", dice, 64, 5)]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    return _graph(nodes, {"x": (1, 8, 8)}, {"y": (5,)}, weights), _normal({"x": (1, 8, 8)})


def signal() -> Drawn:
    """Return a convolution along time over three channels, and its mean."""
    dice = np.random.default_rng(2)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], kernel_shape=[5], dilations=[2]),
        helper.make_node("Tanh", ["c"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    return _graph(nodes, {"x": (3, 32)}, {"y": (6,)}, [_floats("k", dice, 6, 3, 5)]), _normal({"x": (3, 32)})


def recurrent(kind: str) -> Drawn:
    """Return the last state of an LSTM or a GRU over six steps of three numbers."""
    dice, gates, state = np.random.default_rng(3), {"LSTM": 4, "GRU": 3}[kind], 5
    weights = [
        _floats("w", dice, 1, gates * state, 3),
        _floats("r", dice, 1, gates * state, state),
        _floats("b", dice, 1, 2 * gates * state),
        numpy_helper.from_array(np.array([0], np.int64), "first"),
    ]
    outputs = ["all", "last"] if kind == "GRU" else ["all", "last", "cell"]
    nodes = [
        helper.make_node("Transpose", ["x"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node(kind, ["by_time", "w", "r", "b"], outputs, hidden_size=state),
        helper.make_node("Squeeze", ["last", "first"], ["y"]),
    ]
    return _graph(nodes, {"x": (6, 3)}, {"y": (state,)}, weights), _normal({"x": (6, 3)})


def forest() -> Drawn:
    """Return a random forest of scikit-learn: a label and three probabilities."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rows, labels = _plant(6, 3)
    trained = RandomForestClassifier(8, max_depth=4, random_state=1).fit(rows, labels)
    proto = to_onnx(trained, rows[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
    return _finished(proto), _normal({"X": (6,)})


def boosted() -> Drawn:
    """Return a gradient-boosted regression of scikit-learn."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingRegressor

    rows, labels = _plant(5, 4)
    trained = GradientBoostingRegressor(n_estimators=12, max_depth=3, random_state=1).fit(rows, labels * 1.5)
    proto = to_onnx(trained, rows[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    return _finished(proto), _normal({"X": (5,)})


def light() -> Drawn:
    """Return a classifier of LightGBM, converted by onnxmltools."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    rows, labels = _plant(8, 2)
    trained = lightgbm.LGBMClassifier(n_estimators=15, max_depth=3, n_jobs=1, verbose=-1).fit(rows, labels)
    types = [("x", FloatTensorType([None, 8]))]
    return _finished(convert_lightgbm(trained, initial_types=types, zipmap=False, target_opset=15)), _normal({"x": (8,)})


def words() -> Drawn:
    """Return a score of three words, each looked up in a table; unknown ones share a place."""
    dice = np.random.default_rng(4)
    weights = [_floats("table", dice, len(_WORDS) + 1, _VECTORS), _floats("w", dice, 3 * _VECTORS, 2)]
    weights.append(numpy_helper.from_array(np.array([0, 3 * _VECTORS], np.int64), "flat"))
    nodes = [
        _labels(["x"], ["i"], keys_strings=_WORDS, values_int64s=range(1, len(_WORDS) + 1), default_int64=0),
        helper.make_node("Gather", ["table", "i"], ["vectors"]),
        helper.make_node("Reshape", ["vectors", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["y"]),
    ]
    return _graph(nodes, {"x": (3,)}, {"y": (2,)}, weights, kinds={"x": TensorProto.STRING}), _texts(3)


def topic() -> Drawn:
    """Return the counts of words in a text of six, and a topic as text."""
    dice = np.random.default_rng(5)
    topics = ("lager", "öl", "电机")
    nodes = [
        helper.make_node(
            "TfIdfVectorizer",
            ["x"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(_WORDS))),
            pool_strings=list(_WORDS),
        ),
        helper.make_node("MatMul", ["counts", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=1),
        _labels(["best"], ["topic"], keys_int64s=range(len(topics)), values_strings=topics, default_string="?"),
    ]
    outputs = {"topic": (1,), "counts": (len(_WORDS),)}
    kinds = {"x": TensorProto.STRING, "topic": TensorProto.STRING}
    weights = [_floats("w", dice, len(_WORDS), len(topics))]
    return _graph(nodes, {"x": (6,)}, outputs, weights, kinds=kinds), _texts(6)


def whole_numbers() -> Drawn:
    """Return sums and remainders of 64 and 32 bits."""
    weights = [
        numpy_helper.from_array(np.array([7, 1_000_003, 2**40], np.int64), "m"),
        # A server proves a model with zeros, and a remainder by zero has no answer.
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    nodes = [
        helper.make_node("Mul", ["x", "m"], ["product"]),
        helper.make_node("Cast", ["z"], ["long"], to=TensorProto.INT64),
        helper.make_node("Max", ["long", "one"], ["divisor"]),
        helper.make_node("Mod", ["product", "divisor"], ["rest"]),
        helper.make_node("Add", ["z", "z"], ["twice"]),
    ]
    kinds = {"x": TensorProto.INT64, "z": TensorProto.INT32, "rest": TensorProto.INT64, "twice": TensorProto.INT32}
    return (
        _graph(nodes, {"x": (3,), "z": (3,)}, {"rest": (3,), "twice": (3,)}, weights, kinds=kinds),
        lambda dice, rows: {
            "x": dice.integers(-(2**20), 2**20, (rows, 3)),
            "z": dice.integers(1, 1000, (rows, 3), dtype=np.int32),
        },
    )


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
        _graph(nodes, {"x": (12,)}, {"y": (4,), "narrow": (4,)}, weights, kinds=kinds),
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
        _graph(nodes, {"x": (8,)}, {"y": (3,)}, weights, kinds=kinds),
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

    return _graph([before, *cast, after], {"x": (8,)}, {"y": (3,)}, [_floats("w", dice, 8, 3)], kinds=kinds), draw


def several_inputs() -> Drawn:
    """Return a choice between two inputs by a third."""
    nodes = [
        helper.make_node("ReduceSum", ["matrix", "axes"], ["sums"], keepdims=0),
        helper.make_node("Where", ["which", "sums", "vector"], ["y"]),
    ]
    axes = [numpy_helper.from_array(np.array([2], np.int64), "axes")]
    shapes = {"matrix": (4, 3), "vector": (4,), "which": (4,)}

    def draw(dice: np.random.Generator, rows: int) -> dict[str, NDArray[Any]]:
        floats = _normal({"matrix": (4, 3), "vector": (4,)})(dice, rows)
        return {**floats, "which": dice.random((rows, 4)) < 0.5}

    return _graph(nodes, shapes, {"y": (4,)}, axes, kinds={"which": TensorProto.BOOL}), draw


def several_outputs() -> Drawn:
    """Return four views of a row in FP64: mean, largest, its place, and which are positive."""
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    zero = numpy_helper.from_array(np.array(0.0), "zero")
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("ReduceMax", ["x", "axes"], ["largest"], keepdims=0),
        helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=0),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
    ]
    kinds = {**dict.fromkeys(("x", "mean", "largest"), TensorProto.DOUBLE), "place": TensorProto.INT64}
    kinds["positive"] = TensorProto.BOOL
    outputs: dict[str, tuple[int, ...]] = {"mean": (1,), "largest": (), "place": (), "positive": (7,)}
    return (
        _graph(nodes, {"x": (7,)}, outputs, [axes, zero], kinds=kinds),
        lambda dice, rows: {"x": dice.normal(size=(rows, 7))},
    )


def no_rows() -> Drawn:
    """Return a product of a fixed 2x3 matrix with its own transposed: a model without a row axis."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    return (
        _graph(nodes, {"x": (2, 3)}, {"y": (2, 2)}, [], rows=False),
        lambda dice, _rows: {"x": dice.normal(size=(2, 3)).astype(np.float32)},
    )


def _normal(shapes: dict[str, tuple[int, ...]]) -> Draw:
    return lambda dice, rows: {
        name: dice.normal(size=(rows, *shape)).astype(np.float32) for name, shape in shapes.items()
    }


def _texts(count: int) -> Draw:
    return lambda dice, rows: {"x": dice.choice(np.array([*_WORDS, "neu", ""], object), (rows, count))}


def _plant(columns: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    dice = np.random.default_rng(columns)
    rows = dice.normal(size=(200, columns)).astype(np.float32)
    return rows, np.digitize(rows.sum(axis=1), np.linspace(-2, 2, classes - 1)) if classes > 2 else (rows[:, 0] > 0) * 1


def _finished(proto: Any) -> bytes:
    proto.ir_version = _IR_VERSION
    for output in proto.graph.output:
        # Converters state one label whatever the rows.
        output.type.tensor_type.shape.dim[0].dim_param = "N"
    return bytes(proto.SerializeToString())


def _labels(takes: list[str], gives: list[str], **tables: Any) -> Any:
    named = {name: list(value) if isinstance(value, (tuple, range)) else value for name, value in tables.items()}
    return helper.make_node("LabelEncoder", takes, gives, domain="ai.onnx.ml", **named)


def _floats(name: str, dice: np.random.Generator, *shape: int) -> Any:
    return numpy_helper.from_array((dice.normal(size=shape) / 2).astype(np.float32), name)


def _graph(
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
    graph = helper.make_graph(nodes, "g", *described, weights)
    return bytes(helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION).SerializeToString())
