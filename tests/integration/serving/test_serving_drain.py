"""A server that ends under load has answered everything that it took."""

import http.client
import json
import threading
from collections.abc import Callable

import numpy as np
import pytest
import serving_models as make
import tritonclient.grpc as triton_grpc
from serving_server import running
from tritonclient.utils import InferenceServerException

ROW = np.ones((1, make.FEATURES), np.float32)
BODY = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}]})
BEFORE_END = 200
"""Answers of each caller before the server is told to end."""


class Load:
    """Callers that ask until they find nobody, and note every request that got no answer otherwise."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.answered: dict[str, int] = {}
        self.warm = threading.Semaphore(0)

    def keep(self, name: str, ask: Callable[[], bool]) -> None:
        number = 0
        while True:
            try:
                if not ask():
                    break
            except Exception as error:  # noqa: BLE001 - told below
                self.lost.append(f"{name} after {number}: {error!r}")
                break
            number += 1
            if number == BEFORE_END:
                self.warm.release()
        self.answered[name] = number
        self.warm.release()

    def over_grpc(self, name: str, address: str) -> None:
        with triton_grpc.InferenceServerClient(address) as client:
            tensor = triton_grpc.InferInput("features", [1, 4], "FP32").set_data_from_numpy(ROW)

            def ask() -> bool:
                try:
                    answer = client.infer("plus", [tensor]).as_numpy("prediction")
                except InferenceServerException as error:
                    if "failed to connect" in str(error):
                        return False
                    raise
                return bool((answer == 2).all())

            self.keep(name, ask)

    def over_rest(self, name: str, address: str, *, again: bool) -> None:
        """Ask on one connection, or on a new one each time."""
        connection = http.client.HTTPConnection(address, timeout=20)

        def ask() -> bool:
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionRefusedError:
                return False
            connection.request("POST", "/v2/models/plus/infer", BODY)
            answer = connection.getresponse()
            good = answer.status == 200 and json.loads(answer.read())["outputs"][0]["data"] == [2.0] * 4
            if again:
                connection.close()
            return good

        self.keep(name, ask)
        connection.close()


@pytest.mark.parametrize("turn", range(3))
def test_nothing_that_was_accepted_is_lost(turn: int) -> None:
    load = Load()
    with running() as server:
        jobs: list[tuple[Callable[..., None], tuple[object, ...], dict[str, bool]]] = []
        jobs += [(load.over_grpc, (f"grpc {number}", server.grpc), {}) for number in range(3)]
        jobs += [(load.over_rest, (f"kept {number}", server.rest), {"again": False}) for number in range(3)]
        jobs += [(load.over_rest, (f"new {number}", server.rest), {"again": True}) for number in range(2)]
        threads = [threading.Thread(target=run, args=arguments, kwargs=more) for run, arguments, more in jobs]
        for thread in threads:
            thread.start()
        for _ in threads:
            load.warm.acquire()
    for thread in threads:
        thread.join()
    assert load.lost == [], turn
    assert all(number >= BEFORE_END for number in load.answered.values()), load.answered
