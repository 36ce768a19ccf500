"""Write answers by the shortest way: one system call, and the transport only for what the kernel does not take."""

import asyncio
import os
from collections.abc import Callable


def writer_of(transport: asyncio.Transport) -> Callable[[bytes], None]:
    """Return how to write to a transport: past it where nothing stands between it and its socket."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("sslcontext") is not None:
        return transport.write
    return DirectWriter(transport, socket.fileno()).write


class DirectWriter:
    """Writes to a socket while its transport holds nothing back, which keeps the order.

    Args:
        transport: Of the socket.
        descriptor: Of the same socket.
    """

    __slots__ = ("_closing", "_descriptor", "_held", "_queued", "_write")

    def __init__(self, transport: asyncio.Transport, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write = transport.write
        self._queued = transport.get_write_buffer_size
        self._closing = transport.is_closing
        self._held = False

    def write(self, data: bytes) -> None:
        """Write all of it, now or as soon as the peer takes it."""
        # A transport that is closing may have closed its socket, and the number may be another's already.
        if self._held or self._closing():
            self._through(data)
            return
        try:
            sent = os.write(self._descriptor, data)
        except OSError:
            # The transport meets the same error, or finds that it was none, and knows what to do.
            sent = 0
        if sent != len(data):
            self._through(data[sent:])

    def _through(self, data: bytes) -> None:
        self._write(data)
        self._held = self._queued() > 0
