"""Make predictions: ``async with OipClient("host:port") as client: await client.infer("model", {"x": array})``."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from google.protobuf.message import Message

from onecode_common.addresses import split_address
from onecode_common.errors import OnecodeError, UnavailableError
from onecode_serving.client.call import Call
from onecode_serving.client.connection import Connection, connect
from onecode_serving.client.heads import Blocks
from onecode_serving.client.messages import Codec, Prediction
from onecode_serving.client.status import OK, refusal, status_of
from onecode_serving.client.streaming import InferStream
from onecode_serving.http2.headers import Headers
from onecode_serving.oip.wire import parsed, pb

TIMEOUT_S = 5.0
_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_PREFIX = 5
_MOST_TRIES = 8
_INFER = "ModelInfer"
_M = TypeVar("_M", bound=Message)


class Model(NamedTuple):
    """What a model is: versions that are held, and name, datatype and shape (-1: free) of what it takes and gives."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]


class _AgainError(Exception):
    """The server has not looked at the call."""


class _Waiter:
    """Passes a call's outcome to whoever awaits it."""

    __slots__ = ("future",)

    def __init__(self, future: "asyncio.Future[bytes]") -> None:
        self.future = future

    def answered(self, headers: Headers, body: bytes) -> None:
        if not self.future.done():
            if status_of(headers) == OK:
                self.future.set_result(body)
            else:
                self.future.set_exception(refusal(headers))

    def again(self) -> None:
        if not self.future.done():
            self.future.set_exception(_AgainError())

    def failed(self, error: OnecodeError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class OipClient:
    """One server, over one connection that is made when it is needed and made again when it was lost.

    Any number of calls may be in flight; what is more than the server allows at once waits here, within its deadline.
    A call that the server has not looked at (it said goodbye, or refused the stream) is made again; one that may have
    run is not.

    Args:
        address: ``host:port``.
        token: Bearer token; empty sends none.
        tls: Encrypts; ALPN is set on it.
    """

    def __init__(self, address: str, *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._host, self._port = split_address(address)
        self._address = address
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        self._codec = Codec()
        self._blocks = Blocks(address, "https" if tls else "http", token)
        self._connection: Connection | None = None
        self._connections: list[Connection] = []
        self._connecting: asyncio.Task[Connection] | None = None
        self._closed = False

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str = "",
        unit: str = "",
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - it travels to the server, which acts on it
    ) -> Prediction:
        """Return what a model answers.

        Args:
            model: Name.
            inputs: Arrays by name; the numpy type decides the datatype, which must be the model's.
            outputs: Names of those that are wanted; None means all.
            version: Number or digest; empty lets the server choose.
            unit: Who asks, for a sticky assignment.
            timeout: Seconds.

        Raises:
            OnecodeError: What the server refused with.
            UnavailableError: It is late (code ``deadline.exceeded``), or the connection was lost before the answer
                (``client.connection``).
        """
        message = self._codec.request(model, version, inputs, outputs, unit)
        return self._codec.prediction(await self._call(_INFER, message, timeout))

    async def infer_many(
        self,
        model: str,
        batch: Sequence[Mapping[str, Any]],
        *,
        outputs: Sequence[str] | None = None,
        version: str = "",
        unit: str = "",
        timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - as above
    ) -> list[Prediction]:
        """Return one answer for each request of a batch, all in flight at once; arguments as :meth:`infer`.

        Raises:
            OnecodeError: Of the first request that failed; the others are no longer waited for.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        messages = [self._codec.request(model, version, inputs, outputs, unit) for inputs in batch]
        connection = await self._usable(deadline)
        calls, futures = self._begun(connection, messages, deadline, timeout)
        try:
            return [
                self._codec.prediction(await self._or_again(future, message, deadline, timeout))
                for future, message in zip(futures, messages, strict=True)
            ]
        finally:
            for call, future in zip(calls, futures, strict=True):
                if not future.done():
                    connection.cancel(call)
                future.cancel()

    @asynccontextmanager
    async def stream(self, *, timeout: float | None = None) -> AsyncIterator[InferStream]:  # noqa: ASYNC109 - as above
        """Open a stream of predictions; what was not answered when the block ends is dropped.

        Args:
            timeout: Seconds for all of it; None: as long as it is used.

        Raises:
            UnavailableError: There is no connection.
        """
        connection = await self._usable(asyncio.get_running_loop().time() + (timeout or TIMEOUT_S))
        stream = InferStream(connection, self._codec, self._blocks.of("ModelStreamInfer", timeout), timeout)
        try:
            yield stream
        finally:
            stream.drop()

    async def server_ready(self, *, timeout: float = TIMEOUT_S) -> bool:  # noqa: ASYNC109 - as above
        """Return whether the server says that it is ready."""
        return (await self._ask("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, timeout)).ready

    async def model_ready(self, model: str, *, version: str = "", timeout: float = TIMEOUT_S) -> bool:  # noqa: ASYNC109 - as above
        """Return whether a model, or one version of it, answers."""
        request = pb.ModelReadyRequest(name=model, version=version)
        return (await self._ask("ModelReady", request, pb.ModelReadyResponse, timeout)).ready

    async def metadata(self, model: str, *, version: str = "", timeout: float = TIMEOUT_S) -> Model:  # noqa: ASYNC109 - as above
        """Return what a model takes and gives.

        Raises:
            OnecodeError: As :meth:`infer`.
        """
        request = pb.ModelMetadataRequest(name=model, version=version)
        reply = await self._ask("ModelMetadata", request, pb.ModelMetadataResponse, timeout)
        inputs, outputs = (
            tuple((one.name, one.datatype, tuple(one.shape)) for one in tensors)
            for tensors in (reply.inputs, reply.outputs)
        )
        return Model(reply.name, tuple(reply.versions), inputs, outputs)

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        for connection in self._connections:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, method: str, request: Message, kind: type[_M], timeout_s: float) -> _M:
        content = request.SerializeToString()
        body = await self._call(method, len(content).to_bytes(_PREFIX, "big") + content, timeout_s)
        return parsed(kind, body[_PREFIX:])

    async def _call(self, method: str, message: bytes, timeout_s: float) -> bytes:
        """Return the body of a good answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        block = self._blocks.of(method, timeout_s)
        for _ in range(_MOST_TRIES):
            connection = self._connection
            if connection is None or not connection.usable:
                connection = await self._usable(deadline)
            future: asyncio.Future[bytes] = loop.create_future()
            call = Call(block, message, deadline, _Waiter(future))
            connection.submit(call)
            try:
                return await future
            except _AgainError:
                continue
            except asyncio.CancelledError:
                connection.cancel(call)
                raise
        text = f"{self._address} refused the call {_MOST_TRIES} times without looking at it"
        raise UnavailableError(text, code="client.refused")

    def _begun(
        self, connection: Connection, messages: Sequence[bytes], deadline: float, timeout_s: float
    ) -> "tuple[list[Call], list[asyncio.Future[bytes]]]":
        """Make many predictions at once."""
        loop, block = asyncio.get_running_loop(), self._blocks.of(_INFER, timeout_s)
        futures: list[asyncio.Future[bytes]] = [loop.create_future() for _ in messages]
        calls = [
            Call(block, message, deadline, _Waiter(future)) for message, future in zip(messages, futures, strict=True)
        ]
        for call in calls:
            connection.submit(call)
        return calls, futures

    async def _or_again(
        self, future: "asyncio.Future[bytes]", message: bytes, deadline: float, timeout_s: float
    ) -> bytes:
        try:
            return await future
        except _AgainError:
            left = deadline - asyncio.get_running_loop().time()
            return await self._call(_INFER, message, min(timeout_s, max(left, 0.001)))

    async def _usable(self, deadline: float) -> Connection:
        """Return a connection that takes calls, a new one if need be; callers share one attempt.

        Raises:
            UnavailableError: There is none until the deadline.
        """
        if self._connection is not None and self._connection.usable:
            return self._connection
        if self._closed:
            message = "the client is closed"
            raise UnavailableError(message, code="client.closed")
        loop = asyncio.get_running_loop()
        if self._connecting is None or self._connecting.done():
            self._connecting = loop.create_task(self._connect())
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(self._connecting)
        except TimeoutError as error:
            message = f"{self._address} does not answer: is the server there?"
            raise UnavailableError(message, code="client.unreachable", params={"server": self._address}) from error

    async def _connect(self) -> Connection:
        pause = _PAUSE_S
        while True:
            try:
                self._connection = await connect(self._host, self._port, self._tls)
            except ssl.SSLError as error:
                message = f"{self._address} and this client do not agree on TLS: {error}"
                raise UnavailableError(message, code="client.tls") from error
            except OSError:
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
            else:
                # One that the server said goodbye on lives on until its calls have ended.
                self._connections = [one for one in self._connections if not one.over]
                self._connections.append(self._connection)
                return self._connection
