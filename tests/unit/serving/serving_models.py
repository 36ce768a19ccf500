"""Small real models with their manifests and golden sets, for tests of serving."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from onecode_common.canonical import canonical, digest_of

FEATURES = 4
OPSETS = [helper.make_opsetid("", 18)]


def serialized(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any] | None = None) -> bytes:
    """Return a checked model of IR 10, opset 18."""
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights or [])
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def value(name: str, kind: int, shape: list[Any]) -> Any:
    """Return the description of a graph's input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def dense(seed: int = 1, offset: float = 0.0) -> bytes:
    """Return softmax(features · W + b) and its label; the seed decides the weights."""
    rng = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(rng.normal(size=(FEATURES, 3)).astype(np.float32), "w"),
        numpy_helper.from_array((rng.normal(size=3) + offset).astype(np.float32), "b"),
    ]
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    return serialized(
        nodes,
        [value("features", TensorProto.FLOAT, ["N", FEATURES])],
        [value("label", TensorProto.INT64, ["N"]), value("probabilities", TensorProto.FLOAT, ["N", 3])],
        weights,
    )


def plus(constant: float) -> bytes:
    """Return ``features + constant``: an answer that says which version gave it."""
    nodes = [helper.make_node("Add", ["features", "c"], ["prediction"])]
    return serialized(
        nodes,
        [value("features", TensorProto.FLOAT, ["N", FEATURES])],
        [value("prediction", TensorProto.FLOAT, ["N", FEATURES])],
        [numpy_helper.from_array(np.array([constant], np.float32), "c")],
    )


def root_of() -> bytes:
    """Return sqrt(features): NaN for negative numbers, finite elsewhere."""
    nodes = [helper.make_node("Sqrt", ["features"], ["prediction"])]
    return serialized(
        nodes,
        [value("features", TensorProto.FLOAT, ["N", FEATURES])],
        [value("prediction", TensorProto.FLOAT, ["N", FEATURES])],
    )


def many_types() -> bytes:
    """Return the identity of one input of every kind that the protocol carries."""
    kinds = {
        "b": TensorProto.BOOL,
        "i8": TensorProto.INT8,
        "i16": TensorProto.INT16,
        "i32": TensorProto.INT32,
        "i64": TensorProto.INT64,
        "u8": TensorProto.UINT8,
        "u16": TensorProto.UINT16,
        "u32": TensorProto.UINT32,
        "u64": TensorProto.UINT64,
        "f16": TensorProto.FLOAT16,
        "f32": TensorProto.FLOAT,
        "f64": TensorProto.DOUBLE,
        "s": TensorProto.STRING,
    }
    return serialized(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        [value(name, kind, ["N", 2]) for name, kind in kinds.items()],
        [value(f"{name}_out", kind, ["N", 2]) for name, kind in kinds.items()],
    )


def memory_bomb() -> bytes:
    """Return a small file that asks for 2.8 GB when it is loaded or run."""
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([700_000_000], np.int64))),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["total"], keepdims=0),
        helper.make_node("Add", ["features", "total"], ["prediction"]),
    ]
    return serialized(
        nodes,
        [value("features", TensorProto.FLOAT, ["N", FEATURES])],
        [value("prediction", TensorProto.FLOAT, ["N", FEATURES])],
    )


def endless_loop() -> bytes:
    """Return a model whose Loop never ends."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["x", "x"], ["y"]),
        ],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, None)],
        [value("go_on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, None)],
    )
    weights = [
        numpy_helper.from_array(np.array(2**62, np.int64), "trips"),
        numpy_helper.from_array(np.array(True), "yes"),  # noqa: FBT003 - a tensor's value
    ]
    return serialized(
        [helper.make_node("Loop", ["trips", "yes", "features"], ["prediction"], body=body)],
        [value("features", TensorProto.FLOAT, ["N", FEATURES])],
        [value("prediction", TensorProto.FLOAT, ["N", FEATURES])],
        weights,
    )


DATATYPES = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16", "tensor(string)": "BYTES",
    "tensor(bool)": "BOOL", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
}  # fmt: skip


@dataclass(frozen=True)
class Built:
    """A model as the registry would hand it out."""

    manifest: dict[str, Any]
    onnx: bytes
    golden: bytes

    @property
    def digest(self) -> str:
        """The model digest."""
        return digest_of(self.manifest)


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """Return a plain session: what the server's answers are compared with."""
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def built(model: str, release: int, content: bytes, *, allow_nan: bool = False, golden: bytes | None = None) -> Built:
    """Return the bytes with a manifest made from the graph, and a golden set made by onnxruntime."""
    session = session_of(content)
    golden = golden if golden is not None else golden_set(content)
    files = {"model.onnx": content, "golden.jsonl": golden}
    contract = {
        "task": "unknown",
        "inputs": [_described(node, allow_nan) for node in session.get_inputs()],
        "outputs": [_described(node, allow_nan) for node in session.get_outputs()],
    }
    manifest = {
        "schema": 1, "project": "default", "model": model, "release": release, "request_id": f"test-{release}",
        "created": "2026-11-01T00:00:00Z",
        "files": [
            {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}
            for name, data in files.items()
        ],
        "contract": contract,
        "golden": {"rows": 64, "atol": "0.0001", "rtol": "0.001"},
    }  # fmt: skip
    return Built(json.loads(canonical(manifest)), content, golden)


def golden_set(content: bytes, rows: int = 64, *, spoil: float = 0.0) -> bytes:
    """Return a golden set of a model with FP32 features; ``spoil`` is added to the expected numbers."""
    session = session_of(content)
    rng = np.random.default_rng(5)
    lines = [{"format": 1, "rows": rows, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}]
    if [node.name for node in session.get_inputs()] != ["features"]:
        rows = 0
    for _ in range(rows):
        row = np.abs(rng.normal(size=(1, FEATURES))).astype(np.float32)
        outputs = []
        for node, array in zip(session.get_outputs(), session.run(None, {"features": row}), strict=True):
            data = (array + spoil).ravel().tolist() if node.type == "tensor(float)" else array.ravel().tolist()
            shape = list(array.shape)
            outputs.append({"name": node.name, "datatype": DATATYPES[node.type], "shape": shape, "data": data})
        features = {"name": "features", "datatype": "FP32", "shape": [1, FEATURES], "data": row.ravel().tolist()}
        lines.append({"inputs": [features], "outputs": outputs})
    return "\n".join(json.dumps(line) for line in lines).encode() + b"\n"


def _described(node: Any, allow_nan: bool) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in node.shape]
    return {"name": node.name, "datatype": DATATYPES[node.type], "shape": shape, "allow_nan": allow_nan}
