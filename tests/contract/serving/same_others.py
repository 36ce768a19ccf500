"""Draw small models that are no networks: trees, text, whole numbers, several inputs and outputs, no row axis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from same_graph import IR_VERSION, OPSETS, Draw, Drawn, floats, graph, normal

_WORDS = ("hot", "cold", "läuft", "steht", "轴承", "油温")
_VECTORS = 5


def forest() -> Drawn:
    """Return a random forest of scikit-learn: a label and three probabilities."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rows, labels = _plant(6, 3)
    trained = RandomForestClassifier(8, max_depth=4, random_state=1).fit(rows, labels)
    proto = to_onnx(trained, rows[:1], options={"zipmap": False}, target_opset=OPSETS)
    return _finished(proto), normal({"X": (6,)})


def boosted() -> Drawn:
    """Return a gradient-boosted regression of scikit-learn."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingRegressor

    rows, labels = _plant(5, 4)
    trained = GradientBoostingRegressor(n_estimators=12, max_depth=3, random_state=1).fit(rows, labels * 1.5)
    proto = to_onnx(trained, rows[:1], target_opset=OPSETS)
    return _finished(proto), normal({"X": (5,)})


def light() -> Drawn:
    """Return a classifier of LightGBM, converted by onnxmltools."""
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    rows, labels = _plant(8, 2)
    trained = lightgbm.LGBMClassifier(n_estimators=15, max_depth=3, n_jobs=1, verbose=-1).fit(rows, labels)
    types = [("x", FloatTensorType([None, 8]))]
    return _finished(convert_lightgbm(trained, initial_types=types, zipmap=False, target_opset=15)), normal({"x": (8,)})


def words() -> Drawn:
    """Return a score of three words, each looked up in a table; unknown ones share a place."""
    dice = np.random.default_rng(4)
    weights = [floats("table", dice, len(_WORDS) + 1, _VECTORS), floats("w", dice, 3 * _VECTORS, 2)]
    weights.append(numpy_helper.from_array(np.array([0, 3 * _VECTORS], np.int64), "flat"))
    nodes = [
        _labels(["x"], ["i"], keys_strings=_WORDS, values_int64s=range(1, len(_WORDS) + 1), default_int64=0),
        helper.make_node("Gather", ["table", "i"], ["vectors"]),
        helper.make_node("Reshape", ["vectors", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["y"]),
    ]
    return graph(nodes, {"x": (3,)}, {"y": (2,)}, weights, kinds={"x": TensorProto.STRING}), _texts(3)


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
    weights = [floats("w", dice, len(_WORDS), len(topics))]
    return graph(nodes, {"x": (6,)}, outputs, weights, kinds=kinds), _texts(6)


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
        graph(nodes, {"x": (3,), "z": (3,)}, {"rest": (3,), "twice": (3,)}, weights, kinds=kinds),
        lambda dice, rows: {
            "x": dice.integers(-(2**20), 2**20, (rows, 3)),
            "z": dice.integers(1, 1000, (rows, 3), dtype=np.int32),
        },
    )


def several_inputs() -> Drawn:
    """Return a choice between two inputs by a third."""
    nodes = [
        helper.make_node("ReduceSum", ["matrix", "axes"], ["sums"], keepdims=0),
        helper.make_node("Where", ["which", "sums", "vector"], ["y"]),
    ]
    axes = [numpy_helper.from_array(np.array([2], np.int64), "axes")]
    shapes = {"matrix": (4, 3), "vector": (4,), "which": (4,)}

    def draw(dice: np.random.Generator, rows: int) -> dict[str, NDArray[Any]]:
        floats = normal({"matrix": (4, 3), "vector": (4,)})(dice, rows)
        return {**floats, "which": dice.random((rows, 4)) < 0.5}

    return graph(nodes, shapes, {"y": (4,)}, axes, kinds={"which": TensorProto.BOOL}), draw


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
        graph(nodes, {"x": (7,)}, outputs, [axes, zero], kinds=kinds),
        lambda dice, rows: {"x": dice.normal(size=(rows, 7))},
    )


def no_rows() -> Drawn:
    """Return a product of a fixed 2x3 matrix with its own transposed: a model without a row axis."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    return (
        graph(nodes, {"x": (2, 3)}, {"y": (2, 2)}, [], rows=False),
        lambda dice, _rows: {"x": dice.normal(size=(2, 3)).astype(np.float32)},
    )


def _texts(count: int) -> Draw:
    return lambda dice, rows: {"x": dice.choice(np.array([*_WORDS, "neu", ""], object), (rows, count))}


def _plant(columns: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    dice = np.random.default_rng(columns)
    rows = dice.normal(size=(200, columns)).astype(np.float32)
    return rows, np.digitize(rows.sum(axis=1), np.linspace(-2, 2, classes - 1)) if classes > 2 else (rows[:, 0] > 0) * 1


def _finished(proto: Any) -> bytes:
    proto.ir_version = IR_VERSION
    for output in proto.graph.output:
        # Converters state one label whatever the rows.
        output.type.tensor_type.shape.dim[0].dim_param = "N"
    return bytes(proto.SerializeToString())


def _labels(takes: list[str], gives: list[str], **tables: Any) -> Any:
    named = {name: list(value) if isinstance(value, (tuple, range)) else value for name, value in tables.items()}
    return helper.make_node("LabelEncoder", takes, gives, domain="ai.onnx.ml", **named)
