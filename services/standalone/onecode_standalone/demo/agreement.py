"""Ask every face with the unmodified stock client and compare each number with ONNX Runtime's in this process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc, http
from tritonclient.utils import InferenceServerException

ROWS = 64
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Server:
    """One server's two faces, host:port each."""

    name: str
    grpc: str
    http: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many single-row answers were compared, from how many faces, and how many differ in any bit."""

    answers: int
    faces: int
    differences: int


def compare_with_runtime(
    model: str,
    servers: Sequence[Server],
    readings: NDArray[np.float32],
    expected: NDArray[np.float32],
    patience_s: float,
) -> Agreement:
    """Send the first rows one by one to each face.

    Args:
        model: Name of the model.
        servers: Cloud and gateways.
        readings: float32 [n, 9]; the first :data:`ROWS` are sent.
        expected: float32 [n, classes], the same rows by ONNX Runtime.
        patience_s: How long a server that restarts is waited for.
    """
    answers = differences = 0
    for server in servers:
        for ask in (_over_grpc, _over_http):
            got = _patiently(partial(ask, model, server, readings[:ROWS]), patience_s)
            answers += len(got)
            differences += int((got != expected[:ROWS]).any(axis=1).sum())
    return Agreement(answers, 2 * len(servers), differences)


def _patiently(ask: Callable[[], NDArray[np.float32]], patience_s: float) -> NDArray[np.float32]:
    end = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except (InferenceServerException, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)


def _over_grpc(model: str, server: Server, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    client = grpc.InferenceServerClient(server.grpc)
    tensor = grpc.InferInput("features", [1, rows.shape[1]], "FP32")
    scores = []
    for index in range(len(rows)):
        tensor.set_data_from_numpy(rows[index : index + 1])
        scores.append(client.infer(model, [tensor]).as_numpy("probabilities"))
    client.close()
    return np.concatenate(scores)


def _over_http(model: str, server: Server, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    client = http.InferenceServerClient(server.http)
    tensor = http.InferInput("features", [1, rows.shape[1]], "FP32")
    scores = []
    for index in range(len(rows)):
        # Every other row as JSON: both forms must give the same numbers.
        tensor.set_data_from_numpy(rows[index : index + 1], binary_data=index % 2 == 0)
        scores.append(client.infer(model, [tensor]).as_numpy("probabilities"))
    client.close()
    return np.concatenate(scores)
