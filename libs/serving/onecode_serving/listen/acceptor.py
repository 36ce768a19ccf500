"""Take connections from the kernel, and turn away what has no place before it costs anything."""

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence

from onecode_serving.listen.greeting import Greeting
from onecode_serving.listen.peers import Peers
from onecode_serving.listen.tls import Certificates

_log = logging.getLogger(__name__)
_AT_ONCE = 64
"""Accepted in one go, so that a flood of connections does not keep the open ones waiting."""

_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S = 0.2
_TLS_CLOSE_S = 2.0


class Acceptor:
    """Accepts on several sockets; used by the loop's thread only.

    Args:
        sockets: Listening and non-blocking.
        peers: Whom new connections join.
        certificates: For TLS; None: plain.
        shared: Somebody else listens on the same sockets, or will: what waits in them is left there at the end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        peers: Peers,
        certificates: Certificates | None,
        *,
        shared: bool,
    ) -> None:
        self._loop = loop
        self._sockets = list(sockets)
        self._peers = peers
        self._certificates = certificates
        self._shared = shared
        self._greetings: set[asyncio.Task[None]] = set()
        self._short = False

    def start(self) -> None:
        """Accept from now on."""
        for one in self._sockets:
            self._loop.add_reader(one.fileno(), self._accept, one)

    def stop(self, *, last: bool) -> None:
        """Accept no more and close the sockets; ``last``: nobody will accept on shared ones after us."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            self._loop.remove_reader(one.fileno())
            if last or not self._shared:
                # Closing would reset them, although their callers think that they are connected.
                while self._accept(one):
                    pass
            if last and self._shared:
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    async def end_handshakes(self) -> None:
        """Give up connections that are still on their way to a transport."""
        greetings = list(self._greetings)
        for task in greetings:
            task.cancel()
        await asyncio.gather(*greetings, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept what waits; return whether more may wait."""
        for _ in range(_AT_ONCE):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                self._cannot(error)
                return False
            visit = self._peers.gate.enter(address[0])
            if visit is None:
                connection.close()
                continue
            self._peers.counts.accepted += 1
            connection.setblocking(False)  # noqa: FBT003 - the method takes it by position only
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = Greeting(self._peers, visit, f"{address[0]}:{address[1]}")
            task = self._loop.create_task(self._connect(connection, greeting))
            self._greetings.add(task)
            task.add_done_callback(self._greetings.discard)
        return True

    async def _connect(self, connection: socket.socket, greeting: Greeting) -> None:
        """Make a transport, with TLS where that is wanted."""
        context = self._certificates.context() if self._certificates is not None else None
        limit_s = self._peers.settings.greeting_s if context else None
        closing_s = _TLS_CLOSE_S if context else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: greeting,
                connection,
                ssl=context,
                ssl_handshake_timeout=limit_s,
                ssl_shutdown_timeout=closing_s,
            )
        except (OSError, RuntimeError, ValueError) as error:
            # Whatever TLS or the kernel says, this connection is over.
            self._peers.counts.handshakes += 1
            _log.debug("a connection did not come to be: %r", error)
            connection.close()
            greeting.connection_lost(None)

    def _cannot(self, error: OSError) -> None:
        if error.errno not in _SHORT_OF:
            _log.warning("cannot accept: %s", error)
            return
        # The listener stays readable: without a pause the loop would do nothing else.
        if not self._short:
            self._short = True
            _log.error("cannot accept: %s; connections wait", error)
            for one in self._sockets:
                self._loop.remove_reader(one.fileno())
            self._loop.call_later(_PAUSE_S, self._again)

    def _again(self) -> None:
        self._short = False
        self.start()
