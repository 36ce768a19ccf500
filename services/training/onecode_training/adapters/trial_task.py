"""Do the work of one trial; it runs in a Ray worker and returns what it made."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from onecode_common.errors import OnecodeError
from onecode_training.adapters import estimators, scores
from onecode_training.adapters.onnx_export import export
from onecode_training.adapters.proofs import prove
from onecode_training.domain.parity import Parity
from onecode_training.domain.portfolio import Candidate
from onecode_training.domain.recipe import Recipe
from onecode_training.domain.tabledata import Plan, TableData


@dataclass(frozen=True, slots=True)
class Question:
    """What all trials of a run share.

    Attributes:
        positive: Place of the class that matters among two, or None.
    """

    data: TableData
    plan: Plan
    recipe: Recipe
    metric: str
    positive: int | None


@dataclass(frozen=True, slots=True)
class Made:
    """What a trial gave.

    Attributes:
        score: Mean over the folds; ``error`` is its standard error.
        parity: Of the file on the rows it was compared on.
        reason: Why there is no file; empty: there is one.
    """

    score: float | None = None
    error: float | None = None
    seconds: float = 0.0
    content: bytes = b""
    parity: Parity | None = None
    curve: tuple[float, ...] = ()
    reason: str = ""


Work = Callable[[Question, Candidate], Made]
"""A trial: a function of an importable module, which tells failures and raises nothing."""


def compare(question: Question, candidate: Candidate) -> Made:
    """Fit and score on each fold, and convert the last fit; what fails is told, not raised."""
    return _told(lambda: _compare(question, candidate))


def finish(question: Question, candidate: Candidate) -> Made:
    """Fit on everything that is not held out, convert, and prove the file on the held-out rows."""
    return _told(lambda: _finish(question, candidate))


def _told(work: Any) -> Made:
    # One thread each: as many trials run beside each other as there are processors.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begun = time.perf_counter()
    with warnings.catch_warnings():
        # Estimators that stop at their last step say so; the scores tell whether that matters.
        warnings.simplefilter("ignore")
        try:
            made: Made = work()
        except OnecodeError as error:
            return Made(reason=error.message, seconds=time.perf_counter() - begun)
        except Exception as error:  # noqa: BLE001 - third-party estimators raise anything; the other trials go on.
            return Made(reason=f"{type(error).__name__}: {str(error)[:300]}", seconds=time.perf_counter() - begun)
    return made


def _compare(question: Question, candidate: Candidate) -> Made:
    data, plan = question.data, question.plan
    begun = time.perf_counter()
    found: list[float] = []
    error = 0.0
    pipeline: Pipeline | None = None
    for fitted, compared in plan.folds:
        pipeline = _fitted(question, candidate, fitted)
        predicted = estimators.predict(pipeline, data.numbers[compared], data.texts[compared])
        target = data.target[compared]
        found.append(scores.score(question.metric, target, predicted, question.positive))
        if plan.single:
            seed = question.recipe.seed
            error = scores.standard_error(question.metric, target, predicted, question.positive, seed)
    if len(found) > 1:
        error = float(np.std(found, ddof=1) / np.sqrt(len(found)))
        pipeline = _fitted(question, candidate, plan.fit)
    if pipeline is None or not np.isfinite(found).all():
        return Made(reason="its score is not a number", seconds=time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    made = _converted(pipeline, data, plan.folds[-1][1])
    return _with(made, score=float(np.mean(found)), error=error, seconds=seconds)


def _finish(question: Question, candidate: Candidate) -> Made:
    begun = time.perf_counter()
    pipeline = _fitted(question, candidate, question.plan.fit)
    seconds = time.perf_counter() - begun
    return _with(_converted(pipeline, question.data, question.plan.test), seconds=seconds)


def _fitted(question: Question, candidate: Candidate, rows: NDArray[np.int64]) -> Pipeline:
    pipeline = estimators.build(candidate.family, candidate.parameters, question.data, len(rows), question.recipe)
    return estimators.fit(pipeline, question.data, rows)


def _converted(pipeline: Pipeline, data: TableData, rows: NDArray[np.int64]) -> Made:
    curve = estimators.curve_of(pipeline)
    content = export(pipeline, data)
    parity = prove(pipeline, content, data, rows)
    reason = "" if parity.passed else f"the file does not answer as the trained object: {parity.detail}"
    return Made(content=content, parity=parity, curve=curve, reason=reason)


def _with(made: Made, **more: Any) -> Made:
    fields: Mapping[str, Any] = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return Made(**{**fields, **more})
