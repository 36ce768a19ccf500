"""The asyncio client and the model server understand each other: answers, refusals, deadlines, goodbyes, TLS."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_certificate import write_certificate
from client_model_server import TOKEN, Running, running
from serving_models import dense, session_of

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnauthenticatedError, UnavailableError
from onecode_serving.client import OipClient

ROWS = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def ask(server: Running, work: Any, **settings: Any) -> Any:
    async def run() -> Any:
        async with OipClient(server.address, **{"token": TOKEN, **settings}) as client:
            return await work(client)

    return asyncio.run(run())


def test_a_thousand_calls_at_once_get_their_own_answers(models: Running) -> None:
    async def work(client: OipClient) -> list[Any]:
        return await asyncio.gather(
            *(client.infer("dense", {"features": ROWS[n % 64 : n % 64 + 1]}) for n in range(1000))
        )

    labels, probabilities = session_of(dense()).run(None, {"features": ROWS})
    for number, answer in enumerate(ask(models, work)):
        assert answer.outputs["label"][0] == labels[number % 64]
        np.testing.assert_allclose(answer.outputs["probabilities"][0], probabilities[number % 64], atol=1e-6)


def test_a_batch_of_requests_is_answered_in_order(models: Running) -> None:
    batch = [{"features": ROWS[number : number + 1]} for number in range(64)] * 4
    answers = ask(models, lambda client: client.infer_many("dense", batch, outputs=["label"]))
    labels = session_of(dense()).run(["label"], {"features": ROWS})[0].tolist()
    assert [int(answer.outputs["label"][0]) for answer in answers] == labels * 4


def test_an_answer_says_who_gave_it(models: Running) -> None:
    answer = ask(models, lambda client: client.infer("halves", {"features": np.zeros((1, 4), np.float32)}, unit="u1"))
    assert answer.version == str(answer.release)
    assert answer.outputs["prediction"][0, 0] == answer.release
    assert answer.arm == {1: "stable", 2: "candidate"}[answer.release]
    assert models.plane.version(answer.digest) is not None


def every_datatype(rows: int, word: str) -> dict[str, Any]:
    """Return inputs for the model that gives back one input of every kind."""
    kinds = {"b": "?", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4"}
    kinds |= {"u64": "u8", "f16": "f2", "f32": "f4", "f64": "f8"}
    data: dict[str, Any] = {name: np.array([[0, 1]] * rows, kind) for name, kind in kinds.items()}
    return {**data, "s": np.array([["", word]] * rows, object)}


def test_every_datatype_and_metadata(models: Running) -> None:
    data = every_datatype(1, "üñí")

    async def work(client: OipClient) -> Any:
        assert await client.server_ready()
        assert await client.model_ready("many")
        assert not await client.model_ready("nobody")
        model = await client.metadata("many")
        assert [name for name, _, _ in model.inputs] == list(data)
        return [await client.infer("many", data) for _ in range(3)]

    for answer in ask(models, work):
        for name, value in data.items():
            assert answer.outputs[f"{name}_out"].tolist() == value.tolist()


@pytest.mark.parametrize(
    ("model", "data", "settings", "error", "code"),
    [
        ("nobody", ROWS, {}, NotFoundError, "model.unknown"),
        ("dense", ROWS[:, :3], {}, InvalidError, "input.shape"),
        ("dense", ROWS.astype(np.float64), {}, InvalidError, "input.datatype"),
        ("dense", ROWS.astype(complex), {}, InvalidError, "client.datatype"),
        ("dense", ROWS, {"token": "wrong"}, UnauthenticatedError, "auth.unknown_token"),
    ],
)
def test_refusals_are_our_errors(
    models: Running, model: str, data: Any, settings: Any, error: type[OnecodeError], code: str
) -> None:
    with pytest.raises(error) as caught:
        ask(models, lambda client: client.infer(model, {"features": data}), **settings)
    assert caught.value.code == code


def test_one_refused_request_of_a_batch_is_raised_and_the_client_goes_on(models: Running) -> None:
    async def work(client: OipClient) -> Any:
        with pytest.raises(InvalidError):
            await client.infer_many("dense", [{"features": ROWS[:1]}, {"features": ROWS[:, :3]}] * 50)
        return await client.infer("dense", {"features": ROWS[:1]})

    assert ask(models, work).release == 1


def test_megabytes_pass_beside_small_calls(models: Running) -> None:
    data = every_datatype(1000, "x" * 2000)

    async def work(client: OipClient) -> Any:
        small = {"features": ROWS[:1]}
        return await asyncio.gather(client.infer("many", data), *(client.infer("dense", small) for _ in range(50)))

    large, *small = ask(models, work)
    assert large.outputs["s_out"].tolist() == data["s"].tolist()
    assert np.array_equal(large.outputs["f64_out"], data["f64"])
    assert {one.release for one in small} == {1}


def test_a_cancelled_call_leaves_the_others_alone(models: Running) -> None:
    async def work(client: OipClient) -> Any:
        tasks = [asyncio.ensure_future(client.infer("dense", {"features": ROWS})) for _ in range(200)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = ask(models, work)
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes[::2])
    assert all(one.release == 1 for one in outcomes[1::2])


def test_nobody_there_is_said_within_the_deadline() -> None:
    async def work() -> None:
        async with OipClient("127.0.0.1:1") as client:
            with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
                await client.infer("dense", {"features": ROWS}, timeout=0.2)

    asyncio.run(work())


def test_a_server_that_never_answers_is_given_up_at_the_deadline() -> None:
    async def work(address: str) -> None:
        async with OipClient(address) as client:
            with pytest.raises(UnavailableError) as caught:
                await client.infer("dense", {"features": ROWS}, timeout=0.1)
            assert caught.value.code == "deadline.exceeded"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(work(f"127.0.0.1:{silent.getsockname()[1]}"))


def test_a_server_that_drains_loses_no_call_and_its_successor_is_found(tmp_path: Path) -> None:
    """Calls go on all the time while one server stops and another one starts on the same port."""

    async def keep_asking(client: OipClient, stop: asyncio.Event) -> int:
        count = 0
        while not stop.is_set():
            answer = await client.infer("dense", {"features": ROWS[:1]}, timeout=20.0)
            count += answer.release
        return count

    async def work() -> list[int]:
        stop = asyncio.Event()
        first = running(tmp_path)
        server = await asyncio.to_thread(first.__enter__)
        async with OipClient(server.address, token=TOKEN) as client:
            await client.infer("dense", {"features": ROWS[:1]})
            tasks = [asyncio.ensure_future(keep_asking(client, stop)) for _ in range(8)]
            await client.infer_many("dense", [{"features": ROWS[:1]}] * 200)
            await asyncio.to_thread(first.__exit__, None, None, None)
            second = running(tmp_path, rest_address=server.address)
            await asyncio.to_thread(second.__enter__)
            await client.infer_many("dense", [{"features": ROWS[:1]}] * 200, timeout=20.0)
            stop.set()
            counts = await asyncio.gather(*tasks)
        await asyncio.to_thread(second.__exit__, None, None, None)
        return counts

    assert all(count > 0 for count in asyncio.run(work()))


def test_tls_is_verified_and_used(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with running(tmp_path, certificate_file=certificate, key_file=key) as server:
        context = ssl.create_default_context(cafile=certificate)
        answer = ask(server, lambda client: client.infer("dense", {"features": ROWS[:1]}), tls=context)
        assert answer.release == 1
        with pytest.raises(UnavailableError, match="TLS"):
            ask(server, lambda client: client.server_ready(timeout=5.0), tls=ssl.create_default_context())
