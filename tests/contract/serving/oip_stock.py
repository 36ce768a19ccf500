"""Stock gRPC clients in every way that they can be used, against a server in another process."""

import asyncio
import hashlib
import json
import queue
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serving_models as make
import tritonclient.grpc as stock
import tritonclient.grpc.aio as stock_aio
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

FORMS = ("plain", "gzip", "deflate", "callback", "aio", "aio gzip", "stream", "stream gzip", "aio stream")
"""Ways to make a prediction."""

WAIT_S = 30
KEYS = {
    "admin": {"verbs": ["read", "infer", "admin"]},
    "caller": {},
    "reader": {"verbs": ["read"]},
    "narrow": {"models": ["plus"]},
    "slow": {"rate": {"per_s": 0.001, "burst": 3}},
}
"""Principals by key."""


class Server:
    """A running server; ``grpc`` and ``rest`` are host:port."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self.folder = folder
        ports = self._answer()
        self.rest = f"127.0.0.1:{ports['rest']}"
        self.grpc = f"127.0.0.1:{ports['grpc']}"

    def ready(self, reason: str = "") -> None:
        """Be ready, or not for this reason."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"ready {reason}\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server ended"
        return json.loads(line)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a server until the block ends; it must then end by itself with status 0."""
    tenants = [
        {"principal": name, "keys": [hashlib.sha256(name.encode()).hexdigest()], **rules}
        for name, rules in KEYS.items()
    ]
    (folder / "tenants.json").write_text(json.dumps({"schema": 1, "tenants": tenants}))
    here = Path(__file__).resolve()
    unit = here.parents[2] / "unit" / "serving"
    code = (
        f"import sys, runpy; sys.path[:0] = [{str(unit)!r}, {str(unit / 'oip')!r}]; sys.argv[1:] = [{str(folder)!r}]; "
        f"runpy.run_path({str(here.with_name('oip_process.py'))!r}, run_name='__main__')"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process, folder)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=WAIT_S) == 0
        finally:
            process.kill()


def headers(key: str = "caller") -> dict[str, str]:
    """Return what a principal shows."""
    return {"authorization": f"Bearer {key}"}


class Stock:
    """One client of each kind, asking in any form.

    Args:
        address: host:port of the server.
    """

    def __init__(self, address: str) -> None:
        self.client = stock.InferenceServerClient(address)
        self._loop = asyncio.new_event_loop()
        self._aio = self.run(self._make(address))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop of the asyncio client."""
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, WAIT_S))

    @property
    def aio(self) -> Any:
        """The asyncio client, for use inside of :meth:`run`."""
        return self._aio

    def close(self) -> None:
        """End both clients."""
        self.client.close()
        self.run(self._aio.close())
        self._loop.close()

    def infer(self, form: str, model: str, inputs: list[InferInput], key: str = "caller", **more: Any) -> Any:
        """Predict in one of :data:`FORMS`; raises the stock client's error."""
        name, _, encoding = form.rpartition(" ")
        encoding = encoding if encoding in ("gzip", "deflate") else ""
        kind = name if encoding else form
        more = {"headers": headers(key), **more}
        if kind in ("stream", "aio stream"):
            opening = {"headers": more.pop("headers"), **({"compression_algorithm": encoding} if encoding else {})}
            request = {"model_name": model, "inputs": inputs, **more}
            return (
                self.streamed([request], opening)[0] if kind == "stream" else self.aio_streamed([request], opening)[0]
            )
        if encoding:
            more["compression_algorithm"] = encoding
        if kind == "aio":
            return self.run(self._aio.infer(model, inputs, **more))
        if kind == "callback":
            return self._by_callback(model, inputs, **more)
        return self.client.infer(model, inputs, **more)

    def streamed(self, requests: list[dict[str, Any]], opening: dict[str, Any] | None = None) -> list[Any]:
        """Send all over one stream of the thread client and return the results; raises the first error."""
        found = self.outcomes(requests, opening)
        for _, error in found:
            if error is not None:
                raise error
        return [result for result, _ in found]

    def outcomes(self, requests: list[dict[str, Any]], opening: dict[str, Any] | None = None) -> list[tuple[Any, Any]]:
        """Send all over one stream and return (result, error) of each."""
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.start_stream(
            lambda result, error: answers.put((result, error)), **(opening or {"headers": headers()})
        )
        try:
            for request in requests:
                self.client.async_stream_infer(**request)
            return [answers.get(timeout=WAIT_S) for _ in requests]
        finally:
            self.client.stop_stream()

    def first_of_stream(self, **opening: Any) -> Any:
        """Open a stream, send nothing and return the error that comes."""
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.start_stream(lambda result, error: answers.put((result, error)), **opening)
        try:
            return answers.get(timeout=WAIT_S)[1]
        finally:
            self.client.stop_stream()

    def aio_streamed(self, requests: list[dict[str, Any]], opening: dict[str, Any] | None = None) -> list[Any]:
        """Send all over one stream of the asyncio client and return the results; raises the first error."""

        async def ask() -> AsyncIterator[dict[str, Any]]:
            for request in requests:
                yield request

        async def collect() -> list[Any]:
            found = []
            async for result, error in self._aio.stream_infer(ask(), **(opening or {"headers": headers()})):
                if error is not None:
                    raise error
                found.append(result)
            return found

        return list(self.run(collect()))

    def _by_callback(self, model: str, inputs: list[InferInput], **more: Any) -> Any:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.client.async_infer(model, inputs, lambda result, error: answers.put((result, error)), **more)
        result, error = answers.get(timeout=WAIT_S)
        if error is not None:
            raise error
        return result

    async def _make(self, address: str) -> Any:
        return stock_aio.InferenceServerClient(address)


Ask = Callable[..., Any]
"""A method of the stock client by name, with its arguments; threads or asyncio."""


def status_of(call: Callable[[], Any]) -> str:
    """Return the name of the status with which a call fails."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return str(caught.value.status()).removeprefix("StatusCode.")


def tensor(name: str, array: Any, datatype: str = "FP32") -> InferInput:
    """Return an input of the stock client."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def features(rows: int = 1, seed: int = 3) -> Any:
    """Return rows of four numbers."""
    return np.abs(np.random.default_rng(seed).normal(size=(rows, make.FEATURES))).astype(np.float32)
