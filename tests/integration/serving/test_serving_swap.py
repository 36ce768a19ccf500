"""Versions change under load and nobody notices: no failed request, no answer of a version that it does not name."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import serving_models as make
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from serving_server import Server, running

EACH = 700
"""Requests of each of the clients."""


def _over_grpc(address: str, serve: Callable[[Any, int, str, str], None]) -> None:
    with triton_grpc.InferenceServerClient(address) as client:
        for number in range(EACH):
            row = np.full((1, make.FEATURES), number, np.float32)
            result = client.infer("plus", [triton_grpc.InferInput("features", [1, 4], "FP32").set_data_from_numpy(row)])
            reply = result.get_response()
            parameters = reply.parameters
            digest = parameters["onecode_model_digest"].string_param
            serve(result.as_numpy("prediction"), number, reply.model_version, digest)


def _over_rest(address: str, serve: Callable[[Any, int, str, str], None]) -> None:
    with triton_http.InferenceServerClient(address) as client:
        for number in range(EACH):
            row = np.full((1, make.FEATURES), number, np.float32)
            tensor = triton_http.InferInput("features", [1, 4], "FP32")
            tensor.set_data_from_numpy(row)
            result = client.infer("plus", [tensor])
            reply = result.get_response()
            digest = reply["parameters"]["onecode_model_digest"]
            serve(result.as_numpy("prediction"), number, reply["model_version"], digest)


@pytest.fixture
def digests() -> dict[str, str]:
    return {str(release): make.built("plus", release, make.plus(release)).digest for release in range(1, 8)}


def test_swaps_under_load_lose_nothing_and_every_request_is_counted_once(digests: dict[str, str]) -> None:
    wrong: list[object] = []
    seen: dict[str, int] = {}
    failures: list[BaseException] = []
    lock = threading.Lock()

    def check(answer: Any, number: int, version: str, digest: str) -> None:
        with lock:
            seen[version] = seen.get(version, 0) + 1
            if digest != digests[version] or answer.tolist() != [[number + float(version)] * make.FEATURES]:
                wrong.append((number, version, digest, answer))

    def client(run: Callable[..., None], address: str) -> None:
        try:
            run(address, check)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    with running() as server:
        jobs = [(_over_grpc, server.grpc), (_over_rest, server.rest)] * 2
        threads = [threading.Thread(target=client, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        swaps = _swap_while(server, threads)
        rows = [row for row in server.counters() if row["model"] == "plus"]
    assert (failures, wrong) == ([], [])
    assert swaps > 50
    assert sum(seen.values()) == len(jobs) * EACH
    counted: dict[str, int] = {}
    for row in rows:
        counted[row["digest"]] = counted.get(row["digest"], 0) + int(row["requests"])
        assert "errors" not in row
        assert sum(int(count) for count in row["latency"]["counts"]) == int(row["requests"])
    assert counted == {digests[version]: number for version, number in seen.items()}


def _swap_while(server: Server, threads: list[threading.Thread]) -> int:
    """Change the versions all the time, with and without a candidate, until the clients are done."""
    swaps = 0
    while any(thread.is_alive() for thread in threads):
        stable, candidate = swaps % 7 + 1, (swaps + 3) % 7 + 1
        if swaps % 2:
            server.route("plus", candidate, stable)
        else:
            server.route("plus", stable)
        swaps += 1
        threads[0].join(timeout=0.01)
    return swaps
