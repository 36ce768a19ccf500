"""Carry an engine over a transport: write once a turn, look at deadlines, close when everything ended."""

import asyncio
import ssl
from typing import cast

from onecode_serving.client.call import Call
from onecode_serving.client.engine import ClientEngine

_LOOK_S = 0.02
"""How exactly deadlines are kept here; the server keeps them too."""


class Connection(asyncio.Protocol):
    """One connection; on the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._engine = ClientEngine()
        self._transport: asyncio.Transport | None = None
        self._flushing = self._looking = self._paused = False
        self._lost: asyncio.Future[None] = loop.create_future()

    @property
    def usable(self) -> bool:
        """Whether it carries new calls."""
        return self._transport is not None and not self._engine.leaving and self._engine.broken is None

    def submit(self, call: Call) -> None:
        """Make a call; it is written at the end of this turn, together with others."""
        self._engine.submit(call)
        self._touch()
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK_S, self._look)

    def send(self, call: Call, data: bytes) -> None:
        """Send more of a stream."""
        self._engine.send(call, data)
        self._touch()

    def end(self, call: Call) -> None:
        """Send no more of a stream."""
        self._engine.end(call)
        self._touch()

    def unsent(self, call: Call) -> int:
        """Return how many bytes of a stream wait to be sent."""
        return self._engine.unsent(call)

    def give_back(self, call: Call) -> None:
        """Let the server send more on a stream."""
        self._engine.give_back(call)
        self._touch()

    def cancel(self, call: Call) -> None:
        """Forget a call."""
        self._engine.cancel(call)
        self._touch()

    @property
    def over(self) -> bool:
        """Whether the transport is gone."""
        return self._lost.done()

    async def close(self) -> None:
        """Close now; open calls fail."""
        self._engine.lost("the client was closed")
        if self._transport is not None:
            self._transport.abort()
            await self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # A stream transport, by how it was asked for; uvloop's is no subclass.
        self._transport = cast("asyncio.Transport", transport)
        self._touch()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._engine.receive(data)
        self._flush()

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, error: Exception | None) -> None:
        """End what is open."""
        self._transport = None
        self._engine.lost(str(error or "the server closed it"))
        self._lost.set_result(None)

    def pause_writing(self) -> None:
        """Hold back what comes."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write on."""
        self._paused = False
        self._flush()

    def _touch(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport, engine = self._transport, self._engine
        if transport is None or self._paused:
            return
        data = engine.take()
        if data:
            transport.write(data)
        if engine.broken is not None or (engine.leaving and engine.idle):
            transport.close()

    def _look(self) -> None:
        self._looking = not self._engine.idle
        if self._looking:
            self._engine.expire(self._loop.time())
            self._touch()
            self._loop.call_later(_LOOK_S, self._look)


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
    """Return an open connection.

    Raises:
        OSError: Nobody listens there, or the handshake failed.
    """
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: Connection(loop), host, port, ssl=tls)
    return protocol
