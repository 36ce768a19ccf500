"""The asyncio client keeps many predictions of one stream in flight, in order, with our server and with grpcio's."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from client_model_server import TOKEN, Running, running
from serving_models import dense, session_of

from onecode_common.errors import OnecodeError, PreconditionError, UnauthenticatedError, UnavailableError
from onecode_serving.client import InferStream, OipClient
from onecode_serving.oip.wire import pb

ROWS = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
REFUSED = "client.stream_refused"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def streamed(address: str, work: Any, *, timeout: float | None = None, token: str = TOKEN) -> Any:
    async def run() -> Any:
        async with (
            asyncio.timeout(60),
            OipClient(address, token=token) as client,
            client.stream(timeout=timeout) as stream,
        ):
            return await work(stream)

    return asyncio.run(run())


def row(number: int) -> dict[str, Any]:
    return {"features": ROWS[number % 64 : number % 64 + 1]}


def test_answers_come_in_order_while_requests_are_sent(models: Running) -> None:
    async def work(stream: InferStream) -> list[int]:
        async def sent() -> None:
            for number in range(1000):
                await stream.send("dense", row(number), outputs=["label"])
            stream.end()

        sender = asyncio.ensure_future(sent())
        labels = [int(answer.outputs["label"][0]) async for answer in stream]
        await sender
        return labels

    labels = session_of(dense()).run(["label"], {"features": ROWS})[0].tolist()
    assert streamed(models.address, work) == (labels * 16)[:1000]


def test_models_are_mixed_and_a_refused_request_is_told_in_its_place(models: Running) -> None:
    async def work(stream: InferStream) -> list[Any]:
        found: list[Any] = []
        for model in ("dense", "nobody", "halves", "dense", "nobody"):
            await stream.send(model, row(3), unit="u1")
        for _ in range(5):
            try:
                found.append(sorted((await stream.receive()).outputs))
            except OnecodeError as error:
                found.append((error.code, "nobody" in error.message))
        assert stream.pending == 0
        return found

    dense_outputs = ["label", "probabilities"]
    assert streamed(models.address, work) == [
        dense_outputs,
        (REFUSED, True),
        ["prediction"],
        dense_outputs,
        (REFUSED, True),
    ]


def test_megabytes_wait_for_whoever_receives_late(models: Running) -> None:
    rows = np.repeat(ROWS, 10, axis=0)

    async def work(stream: InferStream) -> int:
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 2000:
                await stream.send("dense", {"features": rows})
                sent += 1
            stream.end()

        sender = asyncio.ensure_future(send())
        before = -1
        while not sent or sent != before:
            # Until nothing moves any more: the server's answers fill its windows, and then ours fill ours.
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < 2000, "nobody receives, so the sender waits"
        received = 0
        async for answer in stream:
            received += len(answer.outputs["label"])
        await sender
        return received

    assert streamed(models.address, work) == 2000 * 640


def test_an_answer_larger_than_the_window_arrives(models: Running) -> None:
    words = {"s": np.array([["x" * 3000, "y"]] * 1000, object)}
    kinds = {"b": "?", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4"}
    kinds |= {"u64": "u8", "f16": "f2", "f32": "f4", "f64": "f8"}
    data = {**{name: np.array([[0, 1]] * 1000, kind) for name, kind in kinds.items()}, **words}

    async def work(stream: InferStream) -> Any:
        for _ in range(3):
            await stream.send("many", data)
        return [(await stream.receive()).outputs["s_out"] for _ in range(3)]

    for outcome in streamed(models.address, work):
        assert outcome.tolist() == words["s"].tolist()


def test_a_deadline_ends_all_of_it(models: Running) -> None:
    async def work(stream: InferStream) -> None:
        await stream.send("dense", row(0))
        await stream.receive()
        await stream.receive()

    with pytest.raises(UnavailableError) as caught:
        streamed(models.address, work, timeout=0.3)
    assert caught.value.code == "deadline.exceeded"


def test_leaving_with_requests_in_flight_cancels_them_and_the_connection_goes_on(models: Running) -> None:
    async def work() -> Any:
        async with OipClient(models.address, token=TOKEN) as client:
            for _ in range(3):
                async with client.stream() as stream:
                    for number in range(50):
                        await stream.send("dense", row(number))
                    await stream.receive()
                with pytest.raises(PreconditionError):
                    await stream.send("dense", row(0))
            return await client.infer("dense", row(0))

    assert asyncio.run(work()).release == 1


def test_a_cancelled_receiver_loses_no_answer(models: Running) -> None:
    async def work(stream: InferStream) -> list[int]:
        waiting = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for number in range(5):
            await stream.send("dense", row(number), outputs=["label"])
        stream.end()
        return [int(answer.outputs["label"][0]) async for answer in stream]

    labels = session_of(dense()).run(["label"], {"features": ROWS})[0].tolist()
    assert streamed(models.address, work) == labels[:5]


def test_nothing_is_sent_after_the_end(models: Running) -> None:
    async def work(stream: InferStream) -> None:
        stream.end()
        stream.end()
        assert [answer async for answer in stream] == []
        await stream.send("dense", row(0))

    with pytest.raises(PreconditionError, match="ended"):
        streamed(models.address, work)


def test_a_stranger_is_refused(models: Running) -> None:
    async def work(stream: InferStream) -> None:
        await stream.send("dense", row(0))
        await stream.receive()

    with pytest.raises(UnauthenticatedError):
        streamed(models.address, work, token="wrong")


# -- another server --


Behaviour = Callable[[Iterator[Any], grpc.ServicerContext], Iterator[bytes]]


@contextmanager
def grpcio(behaviour: Behaviour) -> Iterator[str]:
    """Run grpcio's own server with one way to answer streams."""
    handler = grpc.stream_stream_rpc_method_handler(behaviour, pb.ModelInferRequest.FromString, lambda reply: reply)
    service = "inference.GRPCInferenceService"
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ModelStreamInfer": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def doubled(request: Any) -> bytes:
    """Answer as another implementation might: the outputs first, the model's name last."""
    values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
    reply = pb.ModelStreamInferResponse()
    reply.infer_response.outputs.add(name="y", datatype="FP32", shape=[1, 4])
    reply.infer_response.raw_output_contents.append(values.tobytes())
    reply.infer_response.model_name = request.model_name
    return reply.SerializeToString()


def test_grpcio_answers_in_order_and_its_errors_are_told_in_their_place() -> None:
    def behaviour(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        del context
        for request in requests:
            bad = request.model_name == "bad"
            yield pb.ModelStreamInferResponse(error_message="no").SerializeToString() if bad else doubled(request)

    async def work(stream: InferStream) -> list[Any]:
        found: list[Any] = []
        for number in range(300):
            await stream.send("bad" if number % 7 == 3 else "m", row(number))
        stream.end()
        while stream.pending:
            try:
                found.append((await stream.receive()).outputs["y"][0].tolist())
            except OnecodeError as error:
                found.append((error.code, error.message))
        return found

    with grpcio(behaviour) as address:
        found = streamed(address, work)
    right = [(REFUSED, "no") if number % 7 == 3 else (ROWS[number % 64] * 2).tolist() for number in range(300)]
    assert found == right


def test_grpcio_hears_of_a_cancelled_stream() -> None:
    gone = threading.Event()

    def behaviour(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(gone.set)
        yield doubled(next(requests))
        gone.wait(20)

    async def work(stream: InferStream) -> None:
        for number in range(3):
            await stream.send("m", row(number))
        await stream.receive()

    with grpcio(behaviour) as address:
        streamed(address, work)
        assert gone.wait(20)


def test_grpcio_may_end_the_stream_with_its_own_status() -> None:
    def behaviour(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield doubled(next(requests))
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is over")

    async def work(stream: InferStream) -> None:
        for number in range(3):
            await stream.send("m", row(number))
        await stream.receive()
        await stream.receive()

    with grpcio(behaviour) as address, pytest.raises(UnauthenticatedError, match="the token is over"):
        streamed(address, work)


def test_a_server_that_ends_early_is_told_as_such() -> None:
    def behaviour(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        del context
        yield doubled(next(requests))

    async def work(stream: InferStream) -> None:
        for number in range(3):
            await stream.send("m", row(number))
        await stream.receive()
        await stream.receive()

    with grpcio(behaviour) as address, pytest.raises(UnavailableError, match="ended the stream"):
        streamed(address, work)
