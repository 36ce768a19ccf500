"""Carry bytes between a transport and an engine, at the price of one short method a read."""

import asyncio
import random
import struct
from collections.abc import Callable
from contextlib import suppress

from onecode_serving.listen.dispatch import HTTP2
from onecode_serving.listen.faces import Engine
from onecode_serving.listen.gate import Visit
from onecode_serving.listen.parting import Parting
from onecode_serving.listen.peers import Peers
from onecode_serving.listen.writing import writer_of

GOAWAY_INTERNAL_ERROR = struct.pack(">HBBBIII", 0, 8, 7, 0, 0, 0x7FFF_FFFF, 2)
"""The last word to an HTTP/2 peer whose engine failed: nobody knows any more which streams were worked on."""

_LAST_CALLS_S = 1.0
"""A connection that was used so recently is not idle: its next request may be on its way."""

_JITTER = 0.1
_FOR_EVER = float("inf")


class Connection(asyncio.Protocol):
    """One connection that has said which protocol it speaks.

    Args:
        peers: All of them.
        visit: Its place.
        kind: Protocol.
    """

    __slots__ = (
        "_clock", "_end", "_engine", "_gone", "_heard", "_leaving", "_old", "_paused", "_peers", "_receive",
        "_shrinking", "_take", "_touched", "_transport", "_visit", "_write", "kind",
    )  # fmt: skip

    def __init__(self, peers: Peers, visit: Visit, kind: str, transport: asyncio.Transport) -> None:
        self._peers = peers
        self._visit = visit
        self._transport = transport
        self._clock = peers.clock
        self._write = writer_of(transport)
        self._touched = False
        self._paused: float | None = None
        self._shrinking = 0
        self._leaving = self._gone = False
        self._end = self._old = _FOR_EVER
        self._heard = peers.clock()
        self.kind = kind
        age_s = peers.settings.age_s
        if age_s:
            self._old = self._heard + age_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret

    def speak(self, engine: Engine, first: bytes) -> None:
        """Begin, with what has been read already."""
        self._engine = engine
        self._receive = engine.receive
        self._take = engine.take
        self._peers.add(self)
        if self._peers.leaving_until is not None:
            self.leave(self._heard, self._peers.leaving_until)
        self.data_received(first)

    # The next two run for every read and every answer: names are bound once, and nothing is made on the way.

    def data_received(self, data: bytes) -> None:
        """Take what was read, and write what it calls for at once."""
        now = self._heard = self._clock()
        try:
            self._receive(data, now)
            if self._paused is not None:
                return
            out = self._take()
            if out:
                self._write(out)
        except Exception as error:  # noqa: BLE001 - nothing leaves a connection but its end
            self._surprise(error)
            return
        if self._engine.closing:
            self._part()

    def touch(self) -> None:
        """Have what the app put into the engine written at the end of this turn."""
        if not self._touched:
            self._touched = True
            self._peers.turn.add(self)

    def flush(self) -> None:
        """Write what the engine has, unless the peer does not take it; then it stays in the engine, which bounds it."""
        self._touched = False
        if self._paused is not None:
            return
        try:
            out = self._take()
            if out:
                self._write(out)
            done = self._engine.closing or (self._leaving and self._engine.finished)
        except Exception as error:  # noqa: BLE001 - as above
            self._surprise(error)
            return
        if done:
            self._part()

    def pause_writing(self) -> None:
        """Read no more from a peer that does not take its answers."""
        if self._paused is None and not self._transport.is_closing():
            self._paused = self._clock()
            self._shrinking = self._transport.get_write_buffer_size()
            self._transport.pause_reading()
            if not self._visit.hold(self._shrinking):
                # Not at once: the transport is in the middle of its write.
                asyncio.get_running_loop().call_soon(self._cut)

    def resume_writing(self) -> None:
        """Go on with a peer that has taken its answers."""
        if self._gone or self._transport.is_closing():
            return
        self._paused = None
        self._visit.hold(self._transport.get_write_buffer_size())
        self._transport.resume_reading()
        self.flush()

    def eof_received(self) -> bool:
        """Let the transport close, unless a peer that has closed its half still waits for an answer."""
        if self.kind == HTTP2 or self._gone or self._engine.idle or not self._transport.can_write_eof():
            return False
        now = self._clock()
        self.leave(now, now + self._peers.settings.stalled_s)
        # A connection that has parted closes by itself.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the engine, and give the place back."""
        del exc
        self._lose()
        self._visit.end()
        self._peers.remove(self)

    def tick(self, now: float) -> None:
        """Look after the connection; see :class:`~onecode_serving.listen.peers.Peer`."""
        engine = self._engine
        if not self._done(lambda: engine.tick(now)):
            return
        self.flush()
        if self._gone:
            return
        self._visit.hold(self._transport.get_write_buffer_size())
        if self._paused is not None:
            self._watch(self._paused, now)
        if now >= self._end or (self._leaving and engine.idle and now - self._heard > _LAST_CALLS_S):
            self._part()
        elif not self._leaving:
            self._retire(engine, now)

    def leave(self, now: float, end: float) -> None:
        """Finish and close; a connection without any request for a while is closed at once."""
        self._end = min(self._end, end)
        if self._leaving:
            return
        self._leaving = True
        fresh = now - self._heard <= _LAST_CALLS_S
        if self.kind != HTTP2 and fresh and self._engine.idle:
            # HTTP/1 cannot say "no more" but in an answer: the next one says it.
            self._receive = self._last_request
            return
        if self._done(self._engine.shutdown):
            self.flush()

    def abort(self) -> None:
        """Close without a word."""
        self._lose()
        self._transport.abort()

    def _last_request(self, data: bytes, now: float) -> None:
        self._engine.receive(data, now)
        self._engine.shutdown()

    def _retire(self, engine: Engine, now: float) -> None:
        settings = self._peers.settings
        if now >= self._old:
            self._peers.counts.aged += 1
            self.leave(now, now + settings.age_grace_s)
        elif now - self._heard > settings.idle_s and engine.idle:
            self._peers.counts.idle += 1
            self.leave(now, now + _LAST_CALLS_S)

    def _watch(self, since: float, now: float) -> None:
        """Cut a peer that has taken nothing for too long."""
        left = self._transport.get_write_buffer_size()
        if left < self._shrinking:
            self._shrinking, self._paused = left, now
        elif now - since > self._peers.settings.stalled_s:
            self._cut()

    def _cut(self) -> None:
        """End a connection whose peer does not read what it asked for."""
        if not self._gone:
            self._peers.counts.stalled += 1
            self.abort()

    def _done(self, what: Callable[[], object]) -> bool:
        """Have the engine do something that is rare; return whether it could."""
        try:
            what()
        except Exception as error:  # noqa: BLE001 - as above
            self._surprise(error)
            return False
        return True

    def _surprise(self, error: Exception) -> None:
        self._peers.surprise(error)
        if self.kind == HTTP2 and not self._gone:
            with suppress(RuntimeError):
                self._write(GOAWAY_INTERNAL_ERROR)
        self._part()

    def _part(self) -> None:
        """Close, so that the peer reads the last word; what it still sends is thrown away."""
        if self._gone:
            return
        self._lose()
        Parting(self._peers, self._visit, self._transport).begin()
        self._peers.remove(self)

    def _lose(self) -> None:
        if self._gone:
            return
        # A turn may still hold this connection: it must find one that does nothing.
        self._gone = True
        self._paused = _FOR_EVER
        self._done(self._engine.lost)
