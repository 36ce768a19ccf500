"""Hold a file against the trained object on real rows and on rows that nobody measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from onecode_training.adapters.estimators import predict
from onecode_training.adapters.onnx_runs import Feeds, feeds_of, open_session, run
from onecode_training.domain.names import LABEL, PREDICTION, PROBABILITIES
from onecode_training.domain.parity import Parity, compare_classes, compare_numbers
from onecode_training.domain.rows import edge_rows
from onecode_training.domain.tabledata import TableData

MOST_ROWS = 20_000
_BATCHES = (1, 2, 33)


def prove(pipeline: Pipeline, content: bytes, data: TableData, rows: NDArray[np.int64]) -> Parity:
    """Compare file and trained object on these rows (at most 20,000) and on edge rows, in batches of all sizes."""
    numbers, texts = data.numbers[rows[:MOST_ROWS]], data.texts[rows[:MOST_ROWS]]
    edge_numbers, edge_texts = edge_rows(data.numbers, data.texts)
    numbers, texts = np.concatenate([numbers, edge_numbers]), np.concatenate([texts, edge_texts])
    trained = predict(pipeline, numbers, texts)
    session = open_session(content)
    answers = run(session, feeds_of(numbers, texts))
    found = _compare(trained, answers, data)
    if not found.passed:
        return found
    for size in _BATCHES:
        some = run(session, feeds_of(numbers, texts, slice(0, size)))
        part = _compare(trained[:size], some, data)
        if not part.passed:
            return part
    return found


def answers_of(content: bytes, data: TableData, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the file's probabilities [n, classes] or predictions [n] for these rows."""
    answers = run(open_session(content), feeds_of(data.numbers, data.texts, rows))
    if data.is_regression:
        return np.asarray(answers[PREDICTION], np.float64).reshape(-1)
    return np.asarray(answers[PROBABILITIES], np.float64)


def ask_each(content: bytes, data: TableData, rows: NDArray[np.int64]) -> tuple[list[Feeds], list[Feeds]]:
    """Return questions of one row each and the file's answers."""
    session = open_session(content)
    questions = [feeds_of(data.numbers, data.texts, slice(row, row + 1)) for row in rows]
    return questions, [run(session, question) for question in questions]


def _compare(trained: NDArray[np.float64], answers: Feeds, data: TableData) -> Parity:
    if data.is_regression:
        return compare_numbers(trained, answers[PREDICTION], float(np.std(data.target)))
    return compare_classes(trained, answers[PROBABILITIES], _places(answers[LABEL], data))


def _places(labels: NDArray[Any], data: TableData) -> NDArray[np.int64]:
    by_label = {each: place for place, each in enumerate(data.classes)}
    return np.array([by_label.get(each, -1) for each in labels.tolist()], np.int64)
