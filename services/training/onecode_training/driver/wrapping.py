"""Wrap up a finished model: its file, the golden set cut from held-out rows, and the contract it keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecode_common.canonical import sha256_hex
from onecode_common.files import write_file
from onecode_training.adapters.proofs import answers_of, ask_each
from onecode_training.adapters.trial_task import Question
from onecode_training.domain.golden import golden_file
from onecode_training.domain.job import GOLDEN_FILE, MODEL_FILE
from onecode_training.domain.names import CATEGORIES, FEATURES, LABEL, PREDICTION, PROBABILITIES
from onecode_training.domain.parity import MARGIN, Parity
from onecode_training.domain.portfolio import Candidate
from onecode_training.domain.rows import GOLDEN_ROWS, golden_rows

_MADE_WITH = ("scikit-learn", "lightgbm", "skl2onnx", "onnxmltools", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Finished:
    """The winner.

    Attributes:
        metrics: Of the file on the held-out rows.
    """

    candidate: Candidate
    content: bytes
    parity: Parity
    p95_us: float
    metrics: Mapping[str, float]

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return len(self.content)


def write_outcome(folder: Path, question: Question, columns: tuple[str, ...], finished: Finished) -> dict[str, Any]:
    """Write model and golden set into the run's folder and return what is to be registered."""
    golden = _golden(question, finished.content)
    write_file(folder / MODEL_FILE, finished.content)
    write_file(folder / GOLDEN_FILE, golden)
    return {
        "winner": finished.candidate.number,
        "family": finished.candidate.family,
        "parameters": finished.candidate.parameters_text(),
        "model_sha256": sha256_hex(finished.content),
        "model_bytes": finished.bytes,
        "golden_sha256": sha256_hex(golden),
        "p95_us": round(finished.p95_us, 2),
        "test_metrics": dict(finished.metrics),
        "parity": asdict(finished.parity),
        "contract": _contract(question, columns),
        "made_with": {name: version(name) for name in _MADE_WITH},
    }


def _golden(question: Question, content: bytes) -> bytes:
    data, plan = question.data, question.plan
    rng = np.random.default_rng(question.recipe.seed)
    classes = None if data.is_regression else data.target[plan.test]
    chosen = plan.test[golden_rows(classes, _sure(question, content, plan.test), rng)]
    if len(chosen) < GOLDEN_ROWS:
        # A small table has fewer held-out rows than a golden set; what counts is the file's answer, not the row.
        more = golden_rows(None, np.ones(len(plan.fit), bool), rng, GOLDEN_ROWS - len(chosen))
        chosen = np.concatenate([chosen, plan.fit[more]])
    return golden_file(*ask_each(content, data, chosen))


def _sure(question: Question, content: bytes, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    if question.data.is_regression:
        return np.ones(len(rows), bool)
    top = np.sort(answers_of(content, question.data, rows), axis=1)[:, -2:]
    sure: NDArray[np.bool_] = top[:, 1] - top[:, 0] > MARGIN
    return sure


def _contract(question: Question, columns: tuple[str, ...]) -> dict[str, Any]:
    data, fit = question.data, question.plan.fit
    count = data.numbers.shape[1]
    inputs: list[dict[str, Any]] = []
    if count:
        numbers = data.numbers[fit]
        inputs.append(
            {
                "name": FEATURES,
                "datatype": "FP32",
                "shape": [-1, count],
                "columns": list(columns[:count]),
                "minimum": _seen(np.fmin.reduce(numbers)),
                "maximum": _seen(np.fmax.reduce(numbers)),
                "allow_nan": True,
            }
        )
    if data.texts.shape[1]:
        shape = [-1, data.texts.shape[1]]
        inputs.append({"name": CATEGORIES, "datatype": "BYTES", "shape": shape, "columns": list(columns[count:])})
    if data.is_regression:
        outputs: list[dict[str, Any]] = [{"name": PREDICTION, "datatype": "FP32", "shape": [-1, 1]}]
        return {"task": "regression", "inputs": inputs, "outputs": outputs}
    kind = "INT64" if isinstance(data.classes[0], int) else "BYTES"
    shape = [-1, len(data.classes)]
    outputs = [
        {"name": LABEL, "datatype": kind, "shape": [-1]},
        {"name": PROBABILITIES, "datatype": "FP32", "shape": shape, "labels": list(data.labels)},
    ]
    return {"task": "classification", "inputs": inputs, "outputs": outputs}


def _seen(values: NDArray[np.float32]) -> list[float]:
    # A column that is missing in every row that was learnt from has no range.
    return [float(value) if np.isfinite(value) else 0.0 for value in values]
