"""Twenty small models of different kinds, with questions and the answers that onnxruntime alone gives."""

import functools
import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import same_networks as networks
import same_others as others
from numpy.typing import NDArray
from same_graph import Draw, Drawn
from serving_models import DATATYPES, Built

from onecode_common.canonical import canonical

Arrays = dict[str, NDArray[Any]]
GOLDEN_ROWS = 6
ROWS = (1, 3)
"""Rows of the questions; a model without a row axis is asked once more instead."""

_NAMES = {**DATATYPES, "tensor(bfloat16)": "BF16"}


@dataclass(frozen=True)
class Tensor:
    """One input or output; the shape has -1 for the row axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A tensor of a question or an answer: its datatype, its shape, and its bytes as the protocol has them."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes


@dataclass(frozen=True)
class Question:
    """Inputs as arrays (BF16 as the FP32 of the same value), and the outputs that are right."""

    inputs: Arrays
    answer: tuple[Value, ...]


@dataclass(frozen=True)
class Sample:
    """A model as the registry would hand it out, and what is asked of it."""

    name: str
    built: Built
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    questions: tuple[Question, ...]

    @property
    def datatypes(self) -> set[str]:
        """Of all its tensors."""
        return {one.datatype for one in (*self.inputs, *self.outputs)}

    def values(self, question: Question) -> tuple[Value, ...]:
        """Return the inputs of a question as the protocol has them."""
        return tuple(value_of(one, question.inputs[one.name]) for one in self.inputs)


def value_of(tensor: Tensor, array: NDArray[Any]) -> Value:
    """Return an array as the protocol has it: little-endian; texts with their length; BF16 the upper half of FP32."""
    if tensor.datatype == "BYTES":
        texts = [str(item).encode() for item in array.ravel()]
        raw = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    elif tensor.datatype == "BF16":
        raw = (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    else:
        raw = array.tobytes()
    return Value(tensor.name, tensor.datatype, tuple(array.shape), raw)


@functools.cache
def samples() -> tuple[Sample, ...]:
    """Return all of them; made once."""
    with warnings.catch_warnings():
        # The converters use what their own dependencies no longer recommend.
        warnings.simplefilter("ignore")
        return tuple(_sample(name, *make()) for name, make in _MODELS.items())


def _sample(name: str, onnx: bytes, draw: Draw) -> Sample:
    session = _session(onnx)
    inputs, outputs = (
        tuple(Tensor(node.name, _NAMES[node.type], _shape(node.shape)) for node in nodes)
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    # onnxruntime gives no BF16 to numpy: the same graph with FP32 around it answers for it.
    reference = _session(networks.brain(twin=True)[0]) if name == "brain" else session
    dice = np.random.default_rng(len(name))

    def asked(rows: int) -> Question:
        feeds = draw(dice, rows)
        arrays = reference.run([one.name for one in outputs], feeds)
        return Question(feeds, tuple(value_of(one, array) for one, array in zip(outputs, arrays, strict=True)))

    golden = _golden(inputs, outputs, reference, [draw(dice, 1) for _ in range(GOLDEN_ROWS)])
    built = Built(_manifest(name, onnx, golden, inputs, outputs), onnx, golden)
    return Sample(name, built, inputs, outputs, tuple(asked(rows) for rows in ROWS))


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def _shape(shape: list[Any]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def _golden(
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    session: onnxruntime.InferenceSession,
    rows: list[Arrays],
) -> bytes:
    lines: list[dict[str, Any]] = [{"format": 1, "rows": len(rows), "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}]
    for feeds in rows:
        answers = session.run([one.name for one in outputs], feeds)
        lines.append(
            {
                "inputs": [_stated(one, feeds[one.name]) for one in inputs],
                "outputs": [_stated(one, array) for one, array in zip(outputs, answers, strict=True)],
            }
        )
    return "\n".join(json.dumps(line) for line in lines).encode() + b"\n"


def _stated(tensor: Tensor, array: NDArray[Any]) -> dict[str, Any]:
    data = [str(item) for item in array.ravel()] if tensor.datatype == "BYTES" else array.ravel().tolist()
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(array.shape), "data": data}


def _manifest(
    name: str, onnx: bytes, golden: bytes, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> dict[str, Any]:
    files = {"model.onnx": onnx, "golden.jsonl": golden}
    contract = {
        "task": "unknown",
        **{
            kind: [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in tensors]
            for kind, tensors in (("inputs", inputs), ("outputs", outputs))
        },
    }
    manifest = {
        "schema": 1, "project": "default", "model": name, "release": 1, "request_id": "same-1",
        "created": "2026-11-01T00:00:00Z",
        "files": [
            {"name": file, "sha256": hashlib.sha256(data).hexdigest(), "length": len(data)}
            for file, data in files.items()
        ],
        "contract": contract,
        "golden": {"rows": GOLDEN_ROWS, "atol": "0.0001", "rtol": "0.001"},
    }  # fmt: skip
    return dict(json.loads(canonical(manifest)))


_MODELS: dict[str, Callable[[], Drawn]] = {
    "narrow": lambda: networks.dense((4, 8, 3), "Relu"),
    "medium": lambda: networks.dense((16, 32, 10), "Tanh"),
    "wide": lambda: networks.dense((64, 128, 64, 10), "Relu"),
    "long": lambda: networks.dense((256, 64, 1), "Sigmoid"),
    "image": networks.image,
    "signal": networks.signal,
    "lstm": lambda: networks.recurrent("LSTM"),
    "gru": lambda: networks.recurrent("GRU"),
    "forest": others.forest,
    "boosted": others.boosted,
    "light": others.light,
    "words": others.words,
    "topic": others.topic,
    "whole-numbers": others.whole_numbers,
    "quantised": networks.quantised,
    "half": networks.half,
    "brain": networks.brain,
    "several-inputs": others.several_inputs,
    "several-outputs": others.several_outputs,
    "no-rows": others.no_rows,
}
