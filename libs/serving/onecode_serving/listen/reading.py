"""Read from an HTTP/1 peer only while its requests can be kept: there the protocol has no window that says so."""

import asyncio
from typing import Protocol

from onecode_serving.listen.connection import Connection
from onecode_serving.listen.faces import Engine
from onecode_serving.listen.gate import Visit
from onecode_serving.listen.peers import Peers


class PausingEngine(Engine, Protocol):
    """An engine that may have enough for now."""

    @property
    def paused(self) -> bool:
        """The peer should not be read until something is answered."""
        ...


class Http1Connection(Connection):
    """A connection that stops reading when its engine has enough pipelined requests."""

    __slots__ = ("_held",)

    _engine: PausingEngine

    def __init__(self, peers: Peers, visit: Visit, kind: str, transport: asyncio.Transport) -> None:
        super().__init__(peers, visit, kind, transport)
        self._held = False

    def data_received(self, data: bytes) -> None:
        """Take what was read, and stop reading if that is enough."""
        super().data_received(data)
        if self._engine.paused and self._paused is None and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def flush(self) -> None:
        """Write, and read on if there is room again."""
        super().flush()
        if self._held and self._paused is None and not self._engine.paused and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()
