"""What a tenants file says is what callers meet, on both faces, from the moment it says so."""

import functools
import hashlib
import http.client
import json
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import serving_models as make
import tritonclient.grpc as triton_grpc
from serving_server import Server, running
from tritonclient.utils import InferenceServerException

BODY = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}]})


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def write(path: Path, *tenants: dict[str, Any], **more: Any) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"schema": 1, "tenants": list(tenants), **more}))
    fresh.replace(path)


PLUS = {"principal": "plus-only", "keys": [sha("plus")], "models": ["plus"]}
SLOW = {"principal": "slow", "keys": [sha("slow")], "rate": {"per_s": 0.01, "burst": 3}}
CHIEF = {"principal": "chief", "keys": [sha("chief")], "verbs": ["read", "infer", "admin"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.json"
    write(path, PLUS, SLOW, CHIEF, secret_names=True)
    return path


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    with running(str(path)) as server:
        yield server


class Rest:
    """One kept connection."""

    def __init__(self, server: Server, key: str) -> None:
        self.connection = http.client.HTTPConnection(server.rest, timeout=20)
        self.key = key

    def post(self, url: str, body: str = "") -> tuple[int, Any, Any]:
        self.connection.request("POST", url, body, {"Authorization": f"Bearer {self.key}"})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}, answer.headers

    def infer(self, model: str) -> int:
        return self.post(f"/v2/models/{model}/infer", BODY)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def grpc_status(call: Callable[[], object]) -> str:
    try:
        call()
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    return "OK"


def infer(client: Any, model: str, key: str) -> str:
    tensor = triton_grpc.InferInput("features", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, make.FEATURES), np.float32))
    return grpc_status(lambda: client.infer(model, [tensor], headers={"authorization": f"Bearer {key}"}))


class Stream:
    """One stream, asked one request at a time."""

    def __init__(self, server: Server, key: str) -> None:
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.client = triton_grpc.InferenceServerClient(server.grpc)
        self.client.start_stream(self._told, headers={"authorization": f"Bearer {key}"})

    def ask(self, model: str) -> str:
        """Return why the request is refused, empty if it is not."""
        tensor = triton_grpc.InferInput("features", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, make.FEATURES), np.float32))
        self.client.async_stream_infer(model, [tensor])
        return self.answers.get(timeout=20)

    def _told(self, result: object, error: InferenceServerException | None) -> None:
        del result
        self.answers.put("" if error is None else str(error.message()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_stream()
        self.client.close()


def test_keys_models_verbs_and_rates_hold_on_both_faces(server: Server) -> None:
    with Rest(server, "plus") as plus, Rest(server, "chief") as chief, Rest(server, "slow") as slow:
        assert (plus.infer("plus"), plus.infer("dense"), plus.infer("absent")) == (200, 404, 404)
        secret = plus.post("/v2/models/dense/infer", BODY)[1]["error"].replace("dense", "absent")
        absent = plus.post("/v2/models/absent/infer", BODY)[1]["error"]
        assert secret == absent, "a secret name is refused by the words for a name that is not there"
        assert "dense" not in absent.replace("absent", "")
        wrong = BODY.replace("FP32", "FP64")
        assert [plus.post("/v2/models/dense/infer", wrong)[0] for _ in range(3)] == [404] * 3
        assert [plus.post("/v2/models/dense/versions/9/infer", BODY)[0] for _ in range(3)] == [404] * 3
        assert [slow.infer("plus") for _ in range(4)] == [200, 200, 200, 429]
        assert int(slow.post("/v2/models/plus/infer", BODY)[2]["Retry-After"]) > 30
        for caller, wanted in ((plus, 403), (chief, 200)):
            assert caller.post("/v2/repository/models/plus/unload")[0] == wanted
            assert caller.post("/v2/repository/models/plus/load")[0] == wanted
    with triton_grpc.InferenceServerClient(server.grpc) as client:
        assert infer(client, "plus", "plus") == "OK"
        assert infer(client, "dense", "plus") == "NOT_FOUND"
        assert infer(client, "plus", "nobody") == "UNAUTHENTICATED"
        bad = triton_grpc.InferInput("features", [1, 4], "FP64").set_data_from_numpy(np.ones((1, 4)))
        for _ in range(3):
            # What is wrong with a request would tell that there is such a model.
            call = functools.partial(client.infer, "dense", [bad], headers={"authorization": "Bearer plus"})
            assert grpc_status(call) == "NOT_FOUND"
        statuses = [infer(client, "dense", "slow") for _ in range(4)]
        assert statuses == ["OK", "OK", "OK", "RESOURCE_EXHAUSTED"]
        headers = {"authorization": "Bearer plus"}
        assert grpc_status(lambda: client.unload_model("plus", headers=headers)) == "PERMISSION_DENIED"
        assert grpc_status(lambda: client.update_log_settings({"log_verbose_level": 1}, headers=headers)) == (
            "PERMISSION_DENIED"
        )
        index = client.get_model_repository_index(headers=headers)
        assert {one.name for one in index.models} == {"plus"}, "a list names no secret model"


def test_a_revoked_key_is_refused_on_connections_that_are_open(server: Server, path: Path) -> None:
    with triton_grpc.InferenceServerClient(server.grpc) as client, Rest(server, "plus") as plus:
        for _ in range(3):
            assert infer(client, "plus", "plus") == "OK"
            assert plus.infer("plus") == 200
        write(path, CHIEF)
        end = time.monotonic() + 10
        while infer(client, "plus", "plus") == "OK":
            assert time.monotonic() < end
        assert infer(client, "plus", "plus") == "UNAUTHENTICATED"
        assert plus.infer("plus") == 401
        write(path, PLUS)
        while infer(client, "plus", "plus") != "OK":
            assert time.monotonic() < end
        assert plus.infer("plus") == 200


def test_a_key_that_is_added_is_let_in_on_connections_that_were_refused(server: Server, path: Path) -> None:
    write(path, CHIEF)
    end = time.monotonic() + 10
    with triton_grpc.InferenceServerClient(server.grpc) as client, Rest(server, "plus") as plus:
        while infer(client, "plus", "plus") == "OK":
            assert time.monotonic() < end
        assert [infer(client, "plus", "plus") for _ in range(4)] == ["UNAUTHENTICATED"] * 4
        assert [plus.infer("plus") for _ in range(2)] == [401, 401]
        write(path, CHIEF, PLUS)
        while infer(client, "plus", "plus") != "OK":
            assert time.monotonic() < end
        assert plus.infer("plus") == 200


def test_rules_that_change_hold_on_streams_that_are_open(server: Server, path: Path) -> None:
    with Stream(server, "plus") as stream:
        assert [stream.ask("plus") for _ in range(3)] == ["", "", ""]
        assert "model 'dense' is not known here" in stream.ask("dense")
        write(path, {**PLUS, "models": ["dense"]}, secret_names=True)
        end = time.monotonic() + 10
        while not stream.ask("plus"):
            assert time.monotonic() < end
        assert [stream.ask("dense") for _ in range(3)] == ["", "", ""]
        write(path, CHIEF)
        while not (why := stream.ask("dense")):
            assert time.monotonic() < end
        assert "bearer token is not known" in why
        assert "bearer token is not known" in stream.ask("plus"), "the stream stays, and says so for each request"
        write(path, PLUS)
        while stream.ask("plus"):
            assert time.monotonic() < end
