"""Listen, as a part of a program: one thread with one loop serves every face of one data plane."""

import asyncio
import gc
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from onecode_common.errors import UnavailableError
from onecode_serving.listen.acceptor import Acceptor
from onecode_serving.listen.faces import Faces
from onecode_serving.listen.peers import LINGER_LAST_S, LINGER_S, ListenCounts, Peers
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.listen.sockets import inherited_sockets, open_sockets
from onecode_serving.listen.tls import Certificates
from onecode_serving.listen.turn import Turn

_log = logging.getLogger(__name__)
_BEAT_S = 0.1
_TICKS = 5
"""Beats between looks at what is rarely due."""

_DRAIN_TICK_S = 0.1
_LIVE_S = 2.0
"""A loop that has not turned for so long is not alive."""

_JOIN_S = 5.0


class Beat(Protocol):
    """What is done on the loop together with the look after connections."""

    def __call__(self) -> None:
        """Do it; quick."""
        ...


class Plane(Protocol):
    """What the listener needs of the data plane."""

    def set_on_turn(self, callback: Callable[[], None]) -> None:
        """Call this when the answers of a turn are to be written."""
        ...

    def ready(self) -> str | None:
        """Return why it does not answer, or None."""
        ...


def new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed, else asyncio's."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class OipServer:
    """Every face of the model server.

    Args:
        plane: Answers; it is told here whom to call when a turn is over.
        faces: Make the engine of each connection; called on the loop's thread.
        settings: Where and how much.
        began: Called on the loop's thread with the loop before the first connection is accepted.
        beat: Called ten times a second on the loop's thread.
        loop: Makes the loop.
    """

    name = "oip"

    def __init__(
        self,
        plane: Plane,
        faces: Faces,
        settings: ListenSettings,
        *,
        began: Callable[[asyncio.AbstractEventLoop], None] | None = None,
        beat: Beat | None = None,
        loop: Callable[[], asyncio.AbstractEventLoop] = new_loop,
    ) -> None:
        self._plane = plane
        self._faces = faces
        self._settings = settings
        self._began = began
        self._beat = beat
        self._beats = 0
        self._to_freeze = settings.freeze
        self._make_loop = loop
        self._certificates = _certificates(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._peers: Peers | None = None
        self._acceptor: Acceptor | None = None
        self._turned = 0.0
        self._draining = False
        self._thread = threading.Thread(target=self._run, name="oip", daemon=True)
        self.ports: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        """The first port; 0 before :meth:`start`."""
        return self.ports[0] if self.ports else 0

    def start(self) -> None:
        """Listen.

        Raises:
            ConflictError: A port is taken.
            InvalidError: The addresses or TLS files do not fit.
        """
        settings = self._settings
        sockets = self._sockets()
        self.ports = tuple(one.getsockname()[1] for one in sockets)
        loop = self._loop = self._make_loop()
        loop.set_exception_handler(self._unhandled)
        turn = Turn(loop.call_soon)
        self._peers = Peers(settings, self._faces, turn)
        self._plane.set_on_turn(turn.end)
        shared = bool(settings.inherited)
        self._acceptor = Acceptor(loop, sockets, self._peers, self._certificates, shared=shared)
        self._turned = time.monotonic()
        self._thread.start()

    def stop(self, *, last: bool = True) -> None:
        """Drain: end accepting, finish what was accepted, close; what is left after the grace is cut.

        Args:
            last: Nobody accepts on inherited sockets after us, so that what waits in them is ours too.
        """
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            return
        limit_s = self._settings.notice_s + self._settings.grace_s + _JOIN_S
        drained = asyncio.run_coroutine_threadsafe(self._drain(last=last), loop)
        try:
            drained.result(limit_s)
        except TimeoutError:
            _log.error("the loop does not end; its connections are left to the end of the process")
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_JOIN_S)

    def ready(self) -> str | None:
        """Return why callers should not be sent here, or None."""
        if self._draining:
            return "draining"
        return self.alive() or self._plane.ready()

    def alive(self) -> str | None:
        """Return why this process should be restarted, or None; asked from another thread than the loop's."""
        if self._loop is None:
            return "not listening"
        still_s = time.monotonic() - self._turned
        return f"the loop has not turned for {still_s:.1f} s" if still_s > _LIVE_S else None

    @property
    def counts(self) -> ListenCounts:
        """What happened to connections so far."""
        return self._peers.counts if self._peers is not None else ListenCounts()

    @property
    def present(self) -> int:
        """Connections now."""
        return self._peers.gate.present if self._peers is not None else 0

    @property
    def turned_away(self) -> int:
        """Connections refused because their address, or the house, has its share."""
        return self._peers.gate.refused if self._peers is not None else 0

    def call(self, what: Callable[[], None]) -> None:
        """Have something done on the loop.

        Raises:
            UnavailableError: It does not run.
        """
        if self._loop is None or not self._thread.is_alive():
            message = "the loop does not run"
            raise UnavailableError(message, code="serving.stopped")
        self._loop.call_soon_threadsafe(what)

    def _sockets(self) -> list[socket.socket]:
        settings = self._settings
        if settings.inherited:
            return inherited_sockets(settings.inherited)
        addresses = [address for address in (settings.rest_address, settings.grpc_address) if address]
        return open_sockets(addresses, reuse_port=settings.reuse_port)

    def _run(self) -> None:
        loop, acceptor = self._loop, self._acceptor
        assert loop is not None  # noqa: S101 - the thread starts when both are there
        assert acceptor is not None  # noqa: S101
        asyncio.set_event_loop(loop)
        if self._began is not None:
            self._began(loop)
        loop.call_soon(acceptor.start)
        loop.call_soon(self._tick)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _tick(self) -> None:
        loop, peers = self._loop, self._peers
        assert loop is not None  # noqa: S101 - as above
        assert peers is not None  # noqa: S101
        now = time.monotonic()
        late_s = now - self._turned - _BEAT_S
        if late_s > _LIVE_S:
            _log.warning("the loop stood still for %.1f s", late_s)
        self._turned = now
        loop.call_later(_BEAT_S, self._tick)
        self._beats += 1
        peers.tick_some(now)
        if self._beats % _TICKS == 0:
            self._freeze()
        if self._beat is not None:
            self._beat()

    def _freeze(self) -> None:
        """Spare the collector the modules and models that stay for ever: a full collection would stop all callers."""
        if self._to_freeze and self._plane.ready() is None:
            self._to_freeze = False
            gc.collect()
            gc.freeze()

    async def _drain(self, *, last: bool) -> None:
        """Let go in the order in which nobody loses anything."""
        peers, acceptor, settings = self._peers, self._acceptor, self._settings
        assert peers is not None  # noqa: S101 - as above
        assert acceptor is not None  # noqa: S101
        self._draining = True
        await asyncio.sleep(settings.notice_s)
        acceptor.stop(last=last)
        now = peers.clock()
        gone = asyncio.Event()
        peers.empty = gone.set
        peers.linger_s = LINGER_LAST_S if last else LINGER_S
        peers.leave(now, now + settings.grace_s)
        # Connections that were accepted a moment ago join in the next turns.
        await asyncio.sleep(0)
        while peers.gate.present:
            left_s = now + settings.grace_s - peers.clock()
            if left_s <= 0:
                peers.cut()
                break
            gone.clear()
            await _either(gone, min(left_s, _DRAIN_TICK_S))
            peers.tick(peers.clock())
        await acceptor.end_handshakes()
        # Transports tell their protocols of the end in the next turn.
        await asyncio.sleep(0)

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError):
            _log.debug("a transport failed: %r", error)
        elif self._peers is not None:
            self._peers.surprise(error or RuntimeError(str(context.get("message"))))


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _certificates(settings: ListenSettings) -> Certificates | None:
    if settings.certificate_file is None or settings.key_file is None:
        return None
    return Certificates(settings.certificate_file, settings.key_file, settings.client_ca_file)
