"""Run ONNX files the way a gateway does, and measure what one call costs."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onecode_common.errors import InvalidError
from onecode_serving.runtime_errors import RUNTIME_ERRORS
from onecode_training.domain.names import CATEGORIES, FEATURES

_ROUNDS, _CALLS = 15, 60
_FATAL = 4

Feeds = dict[str, NDArray[Any]]


def open_session(content: bytes) -> ort.InferenceSession:
    """Return a session with one thread that never spins.

    Raises:
        InvalidError: ``model.load``, with the runtime's own words.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        message = f"the file cannot be loaded: {str(error)[:300]}"
        raise InvalidError(message, code="model.load") from error


def feeds_of(numbers: NDArray[np.float32], texts: NDArray[np.object_], rows: Any = slice(None)) -> Feeds:
    """Return rows as the inputs of a file."""
    feeds: Feeds = {}
    if numbers.shape[1]:
        feeds[FEATURES] = np.ascontiguousarray(numbers[rows], np.float32)
    if texts.shape[1]:
        feeds[CATEGORIES] = texts[rows]
    return feeds


def run(session: ort.InferenceSession, feeds: Mapping[str, NDArray[Any]]) -> Feeds:
    """Return the outputs by name.

    Raises:
        InvalidError: ``model.run``: the file fails on this input.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except RUNTIME_ERRORS as error:
        message = f"the file fails: {str(error)[:300]}"
        raise InvalidError(message, code="model.run") from error


def p95_us(files: Sequence[bytes], rows: Sequence[Feeds]) -> list[float]:
    """Return, for each file, the 95th percentile of the CPU time of a call with one row, in microseconds.

    Candidates take turns within each round, so that noise hits all alike; each gets the median of its rounds.
    """
    sessions = [open_session(content) for content in files]
    names = [[output.name for output in session.get_outputs()] for session in sessions]
    for session, wanted in zip(sessions, names, strict=True):
        session.run(wanted, rows[0])
    rounds: list[list[float]] = [[] for _ in sessions]
    for _ in range(_ROUNDS):
        for place, session in enumerate(sessions):
            rounds[place].append(float(np.percentile(_calls(session, names[place], rows), 95)))
    return [float(np.median(each)) for each in rounds]


def _calls(session: ort.InferenceSession, names: list[str], rows: Sequence[Feeds]) -> list[float]:
    times = []
    for call in range(_CALLS):
        feeds = rows[call % len(rows)]
        begun = time.thread_time_ns()
        session.run(names, feeds)
        times.append((time.thread_time_ns() - begun) / 1000)
    return times
