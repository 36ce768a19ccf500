"""Name what a connection needs from the protocols that are spoken on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from onecode_serving.http2.limits import Budget


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What is known of a caller before it says a word.

    Attributes:
        peer: Its address, for logs.
        certificate: Name in its verified certificate, such as ``dns:press-3``; None without one.
        encrypted: It speaks TLS.
        touch: Called by an app that answers outside of the engine's ``receive``: has the connection written soon.
    """

    peer: str
    certificate: str | None
    encrypted: bool
    touch: Callable[[], None]


class Engine(Protocol):
    """One connection's protocol: bytes and time in, bytes out. It never raises for anything that a peer sends."""

    closing: bool
    """After :meth:`take` is written, the connection ends."""

    @property
    def finished(self) -> bool:
        """After :meth:`shutdown`: what was accepted is answered, and the peer knows that no more is."""
        ...

    @property
    def idle(self) -> bool:
        """Nothing is in hand."""
        ...

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes of the peer."""
        ...

    def take(self) -> bytes:
        """Return what there is to write now."""
        ...

    def tick(self, now: float) -> float | None:
        """Act on what took too long."""
        ...

    def shutdown(self) -> None:
        """Accept nothing more, and tell the peer."""
        ...

    def lost(self) -> None:
        """The transport is gone."""
        ...


class Faces(Protocol):
    """Make an engine for a connection that has said which protocol it speaks."""

    budget: Budget
    """Of all engines and of what their transports keep."""

    def http2(self, facts: ConnectionFacts, now: float) -> Engine:
        """Return the engine of an HTTP/2 connection."""
        ...

    def http1(self, facts: ConnectionFacts, now: float) -> Engine:
        """Return the engine of an HTTP/1 connection."""
        ...
