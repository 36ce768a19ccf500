"""Keep many predictions of one stream in flight: answers come in the order in which the requests were sent."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from onecode_common.errors import OnecodeError, PreconditionError, UnavailableError
from onecode_serving.client.call import Call
from onecode_serving.client.connection import Connection
from onecode_serving.client.messages import Codec, Prediction
from onecode_serving.client.status import OK, refusal, status_of
from onecode_serving.http2.headers import Headers
from onecode_serving.oip.wire import parsed, pb
from onecode_serving.rpc.framing import Framer, framed

_MOST_UNSENT = 256 << 10
"""Bytes that wait for the server's windows before :meth:`InferStream.send` waits, too."""

_MAX_REPLY = 64 << 20
_GOODBYE_S = 5.0
"""For the server to end a stream on which everything is answered."""

_REPLY_TAG = 0x12
_MORE = 0x80


class InferStream:
    """One open stream; one task may send while another one receives.

    Nothing is lost where answers are slow: what the server does not take waits in :meth:`send`, and what nobody
    receives waits at the server, beyond some megabytes here. So do not send for ever without receiving.

    Args:
        connection: Carries it.
        codec: Writes and reads messages.
        block: Encoded headers.
        timeout_s: For all of it; None: for ever.

    Attributes:
        pending: Requests that were sent and whose answers were not received.
    """

    def __init__(self, connection: Connection, codec: Codec, block: bytes, timeout_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = float("inf") if timeout_s is None else loop.time() + timeout_s
        self._loop = loop
        self._connection = connection
        self._codec = codec
        self._framer = Framer("", _MAX_REPLY)
        self._answers: deque[bytes] = deque()
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None
        self._over: OnecodeError | None = None
        self._ended = False
        self.pending = 0
        self._call = Call(block, b"", deadline, self, self)
        connection.submit(self._call)

    async def send(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        version: str = "",
        unit: str = "",
    ) -> None:
        """Send one request; waits while too much waits for the server already. Arguments as for a single prediction.

        Raises:
            InvalidError: An input is of a type that the protocol does not have.
            PreconditionError: The stream was ended here.
            OnecodeError: The stream is over, and why.
        """
        message = self._codec.request(model, version, inputs, outputs, unit)
        while True:
            if self._ended:
                text = "the stream was ended: open another one"
                raise PreconditionError(text, code="client.stream_ended")
            if self._over is not None:
                raise self._over
            if self._connection.unsent(self._call) <= _MOST_UNSENT:
                break
            self._sender = self._loop.create_future()
            await self._sender
        self.pending += 1
        self._connection.send(self._call, message)

    async def receive(self) -> Prediction:
        """Return the answer to the next request; waits for it.

        Raises:
            OnecodeError: That request was refused (code ``client.stream_refused``, with the server's text), and the
                stream goes on; or any other code: the stream is over.
        """
        while not self._answers:
            if self._over is not None:
                raise self._over
            self._receiver = self._loop.create_future()
            await self._receiver
        message = self._answers.popleft()
        self.pending -= 1
        if not self._answers:
            self._connection.give_back(self._call)
        return self._read(message)

    def end(self) -> None:
        """Send nothing more; what was sent is answered."""
        if not self._ended and self._over is None:
            self._ended = True
            self._connection.end(self._call)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Prediction:
        """Return the next answer, as :meth:`receive`; there are no more when all are received after :meth:`end`."""
        if self._ended and not self.pending:
            raise StopAsyncIteration
        return await self.receive()

    def drop(self) -> None:
        """Leave: the server is told that nobody waits."""
        if self._over is None:
            if self.pending:
                self._connection.cancel(self._call)
            else:
                self.end()
                self._call.deadline = self._loop.time() + _GOODBYE_S
            self._finish(PreconditionError("the stream was left", code="client.stream_ended"))

    # What the connection tells:

    def piece(self, data: bytes) -> None:
        """Take the next bytes of the answers."""
        if self._over is not None:
            return
        try:
            found = self._framer.feed(data)
        except OnecodeError as error:
            self._connection.cancel(self._call)
            self._finish(error)
            return
        self._answers += found
        if not self._answers:
            # An answer larger than the window comes by and by.
            self._connection.give_back(self._call)
        elif found:
            _wake(self._receiver)

    def moved(self) -> None:
        """Let a sender go on."""
        _wake(self._sender)

    def answered(self, headers: Headers, body: bytes) -> None:
        """Take the end of the stream."""
        del body
        if status_of(headers) != OK:
            self._finish(refusal(headers))
        else:
            self._finish(UnavailableError("the server ended the stream", code="client.stream_ended"))

    def again(self) -> None:
        """Learn that the server did not take the stream."""
        self._finish(UnavailableError("the server did not take the stream: open another one", code="client.refused"))

    def failed(self, error: OnecodeError) -> None:
        """Learn that there will be no more answers."""
        self._finish(error)

    def _finish(self, error: OnecodeError) -> None:
        self._over = self._over or error
        _wake(self._receiver)
        _wake(self._sender)

    def _read(self, message: bytes) -> Prediction:
        """Return the prediction in a ``ModelStreamInferResponse``."""
        # The usual case: that field alone, whose bytes are those of a single answer.
        start, size = _length(message) if message[:1] == bytes((_REPLY_TAG,)) else (0, -1)
        if start + size == len(message):
            return self._codec.prediction(framed(message[start:]))
        whole = parsed(pb.ModelStreamInferResponse, message)
        if whole.error_message:
            raise OnecodeError(whole.error_message, code="client.stream_refused")
        return self._codec.prediction(framed(whole.infer_response.SerializeToString()))


def _length(message: bytes) -> tuple[int, int]:
    """Return where the first field of a message begins and how long it says it is; -1 where it does not say."""
    size = shift = 0
    for place, byte in enumerate(message[1:6], 2):
        size |= (byte & 0x7F) << shift
        if byte < _MORE:
            return place, size
        shift += 7
    return 0, -1


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
