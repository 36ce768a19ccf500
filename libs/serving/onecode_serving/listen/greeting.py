"""Find out which protocol a new connection speaks, and send strangers away without a word."""

import asyncio
from typing import cast

from onecode_serving.listen.connection import Connection
from onecode_serving.listen.dispatch import HTTP1, HTTP2, UNDECIDED, protocol_of
from onecode_serving.listen.faces import ConnectionFacts
from onecode_serving.listen.gate import Visit
from onecode_serving.listen.peers import Peers
from onecode_serving.listen.reading import Http1Connection
from onecode_serving.listen.tls import certificate_name


class Greeting(asyncio.Protocol):
    """A connection that has not said which protocol it speaks.

    Args:
        peers: All of them.
        visit: Its place.
        peer: Its address.
    """

    __slots__ = ("_first", "_peer", "_peers", "_transport", "_until", "_visit")

    _transport: asyncio.Transport

    def __init__(self, peers: Peers, visit: Visit, peer: str) -> None:
        self._peers = peers
        self._visit = visit
        self._peer = peer
        self._first = b""
        self._until = peers.clock() + peers.settings.greeting_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listen for the first bytes, unless TLS has settled it."""
        # Not asserted: uvloop's transports are of no class of asyncio's.
        transport = self._transport = cast("asyncio.Transport", transport)
        self._peers.add(self)
        tls = transport.get_extra_info("ssl_object")
        agreed = tls.selected_alpn_protocol() if tls is not None else None
        if agreed in (HTTP1, HTTP2):
            self._become(agreed)

    def data_received(self, data: bytes) -> None:
        """Take the first bytes."""
        self._first += data
        kind = protocol_of(self._first)
        if kind is None:
            self._peers.counts.strangers += 1
            self._transport.abort()
        elif kind != UNDECIDED:
            self._become(kind)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        del exc
        self._visit.end()
        self._peers.remove(self)

    def tick(self, now: float) -> None:
        """Send it away if it says nothing."""
        if now >= self._until:
            self._peers.counts.silent += 1
            self._transport.abort()

    def flush(self) -> None:
        """Do nothing: there is no engine."""

    def leave(self, now: float, end: float) -> None:
        """Give it a last moment: what it wants to ask may be on its way."""
        self._until = min(self._until, now + 1.0, end)

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def _become(self, kind: str) -> None:
        peers, transport = self._peers, self._transport
        made = Connection if kind == HTTP2 else Http1Connection
        connection = made(peers, self._visit, kind, transport)
        tls = transport.get_extra_info("peercert")
        encrypted = transport.get_extra_info("ssl_object") is not None
        facts = ConnectionFacts(self._peer, certificate_name(tls), encrypted, connection.touch)
        try:
            engine = (peers.faces.http2 if kind == HTTP2 else peers.faces.http1)(facts, peers.clock())
        except Exception as error:  # noqa: BLE001 - nothing leaves a connection but its end
            peers.surprise(error)
            transport.abort()
            return
        transport.set_protocol(connection)
        connection.speak(engine, self._first)
        peers.remove(self)
