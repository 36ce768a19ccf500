"""Close a connection so that the peer can read the last word, whatever it is still sending.

A socket that is closed with unread bytes is reset, and a reset destroys what the peer has not read yet.
"""

import asyncio

from onecode_serving.listen.gate import Visit
from onecode_serving.listen.peers import Peers

_LINGER_S = 2.0


class Parting(asyncio.Protocol):
    """A connection on which everything is said; it ends when the peer closes, or soon."""

    __slots__ = ("_left", "_peers", "_transport", "_until", "_visit")

    def __init__(self, peers: Peers, visit: Visit, transport: asyncio.Transport) -> None:
        self._peers = peers
        self._visit = visit
        self._transport = transport
        self._until = peers.clock() + (_LINGER_S if peers.leaving_until is None else peers.linger_s)
        self._left = transport.get_write_buffer_size()
        visit.hold(self._left)

    def begin(self) -> None:
        """Close our half, and the rest when the peer has closed its own."""
        transport = self._transport
        if transport.is_closing():
            self._visit.end()
            return
        self._peers.add(self)
        transport.set_protocol(self)
        if not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
            # Its former owner may have stopped reading.
            transport.resume_reading()
        except (OSError, RuntimeError):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        del exc
        self._visit.end()
        self._peers.remove(self)

    def tick(self, now: float) -> None:
        """End it when the time is over, unless the peer is still reading."""
        left = self._transport.get_write_buffer_size()
        if left < self._left:
            self._left, self._until = left, now + _LINGER_S
            self._visit.hold(left)
        elif now >= self._until:
            self._transport.abort()

    def flush(self) -> None:
        """Do nothing: everything is said."""

    def leave(self, now: float, end: float) -> None:
        """Do not wait for long."""
        self._until = min(self._until, now + self._peers.linger_s, end)

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()
