"""Know every connection of one loop: look after all of them now and then, and let all of them go at the end."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from onecode_serving.listen.faces import Faces
from onecode_serving.listen.gate import Gate
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.listen.turn import Turn

_log = logging.getLogger(__name__)
_LOG_EVERY_S = 1.0
GROUPS = 10
"""Of connections that are looked after together."""
LINGER_S, LINGER_LAST_S = 2.0, 0.3
"""While another process goes on, a peer has time to read the last word; at the end of all, nobody is waited for."""


@dataclass(slots=True)
class ListenCounts:
    """What happened to connections; the numbers only grow.

    Attributes:
        accepted: Taken from the kernel and let in.
        handshakes: TLS handshakes that failed or took too long.
        strangers: Closed because they spoke no protocol of ours (H13).
        silent: Closed because they did not say which they speak in time (H8).
        idle: Closed because they asked nothing for a long time.
        aged: Asked to connect again because of their age.
        stalled: Cut because they did not read (H7).
        surprises: Ended by an error of ours (H17).
        cut: Still open when the grace of a drain was over.
    """

    accepted: int = 0
    handshakes: int = 0
    strangers: int = 0
    silent: int = 0
    idle: int = 0
    aged: int = 0
    stalled: int = 0
    surprises: int = 0
    cut: int = 0


class Peer(Protocol):
    """A connection in any of its ages."""

    def tick(self, now: float) -> None:
        """Act on what took too long; never raises."""
        ...

    def leave(self, now: float, end: float) -> None:
        """Finish what was accepted and close, at the latest at ``end``."""
        ...

    def abort(self) -> None:
        """Close without a word."""
        ...


class Peers:
    """All connections of a server; used by the loop's thread only.

    Args:
        settings: Bounds.
        faces: Make engines.
        turn: Writes touched connections.

    Attributes:
        linger_s: How long a peer that has everything and does not close is waited for once all leave.
        empty: Called when the last connection is gone.
    """

    def __init__(self, settings: ListenSettings, faces: Faces, turn: Turn) -> None:
        self.settings = settings
        self.faces = faces
        self.turn = turn
        self.gate = Gate(settings.per_address, settings.connections, faces.budget)
        self.counts = ListenCounts()
        self.clock = time.monotonic
        self.leaving_until: float | None = None
        self.linger_s = LINGER_LAST_S
        self.empty: Callable[[], None] = lambda: None
        self._all: set[Peer] = set()
        self._groups: tuple[set[Peer], ...] = tuple(set() for _ in range(GROUPS))
        self._next = 0
        self._logged = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, peer: Peer) -> None:
        """Look after a connection from now on."""
        self._all.add(peer)
        self._groups[hash(peer) % GROUPS].add(peer)

    def remove(self, peer: Peer) -> None:
        """Forget a connection that is gone or has become another object."""
        if peer not in self._all:
            return
        self._all.discard(peer)
        self._groups[hash(peer) % GROUPS].discard(peer)
        if not self._all:
            self.empty()

    def tick(self, now: float) -> None:
        """Look after all connections once."""
        for peer in list(self._all):
            peer.tick(now)

    def tick_some(self, now: float) -> None:
        """Look after one group of connections, another one each time: a thousand at once would hold up a request."""
        self._next = (self._next + 1) % GROUPS
        for peer in list(self._groups[self._next]):
            peer.tick(now)

    def leave(self, now: float, end: float) -> None:
        """Let all connections finish; those that come later find the house closing."""
        self.leaving_until = end
        for peer in list(self._all):
            peer.leave(now, end)

    def cut(self) -> None:
        """Close what is left."""
        self.counts.cut += len(self._all)
        for peer in list(self._all):
            peer.abort()

    def surprise(self, error: BaseException) -> None:
        """Note an error that no peer should be able to cause; all are counted, one a second is told whole."""
        self.counts.surprises += 1
        now = self.clock()
        if now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            _log.error("a connection was ended by an error of ours", exc_info=error)
