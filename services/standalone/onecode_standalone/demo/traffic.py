"""Replay held-out readings as requests of an unmodified Open Inference Protocol client, and check each answer."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tritonclient import grpc as oip
from tritonclient.utils import InferenceServerException

_TOLERANCE = 1e-5
_PAUSE_AFTER_ERROR_S = 0.02


@dataclass(slots=True)
class Tally:
    """What the clients saw.

    Attributes:
        answered: Right answers by release.
        wrong: Answers that differ from ONNX Runtime's in process.
        refused: Errors by their text.
    """

    answered: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """All requests that got an answer or an error."""
        return self.answered.total() + self.wrong.total() + self.refused.total()


class Traffic:
    """Clients that ask one server each, one request in flight, until stopped; use it as a context manager.

    Args:
        model: Name of the model.
        servers: host:port of OIP gRPC faces.
        readings: float32 [n, 9].
        expected: Scores by release as text, float32 [n, classes]; NaN where the model fails.
        token: Bearer token, where the servers ask for one.
    """

    def __init__(
        self,
        model: str,
        servers: Sequence[str],
        readings: NDArray[np.float32],
        expected: Mapping[str, NDArray[np.float32]],
        *,
        token: str = "",
    ) -> None:
        self.tally = Tally()
        self._model = model
        self._readings = readings
        self._expected = expected
        self._headers = {"authorization": f"Bearer {token}"} if token else None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._client, args=(server, index), daemon=True)
            for index, server in enumerate(servers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _client(self, server: str, offset: int) -> None:
        client = oip.InferenceServerClient(server)
        tensor = oip.InferInput("features", [1, self._readings.shape[1]], "FP32")
        outputs = [oip.InferRequestedOutput("probabilities")]
        index = offset * 997
        while not self._stopping.is_set():
            index = (index + 1) % len(self._readings)
            tensor.set_data_from_numpy(self._readings[index : index + 1])
            try:
                answer = client.infer(self._model, [tensor], outputs=outputs, headers=self._headers, client_timeout=10)
            except InferenceServerException as error:
                self._count(self.tally.refused, str(error.message() or error)[:80])
                self._stopping.wait(_PAUSE_AFTER_ERROR_S)
                continue
            release = answer.get_response().model_version
            wanted = self._expected.get(release)
            right = wanted is not None and np.allclose(
                answer.as_numpy("probabilities")[0], wanted[index], rtol=0, atol=_TOLERANCE
            )
            self._count(self.tally.answered if right else self.tally.wrong, release)
        client.close()

    def _count(self, counter: Counter[str], key: str) -> None:
        with self._lock:
            counter[key] += 1
