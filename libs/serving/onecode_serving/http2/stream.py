"""Keep what the slow lane must know of one stream; the fast lane makes none of these."""

from collections import deque

from onecode_serving.http2.ports import Route
from onecode_serving.http2.requests import NO_LENGTH

_PARTS = 1024
"""Pieces that may lie side by side: so a body in frames of one byte costs little more than its length."""


class Stream:
    """One open stream of the slow lane.

    Attributes:
        route: What its headers asked for.
        content: Announced body length or ``NO_LENGTH``.
        ended: The peer has sent END_STREAM.
        told: The application knows of it and expects ``gone`` if it dies.
        discard: Its body is longer than allowed; the rest is dropped.
        got: Body bytes so far.
        heard: When its headers came, of a streaming request its last DATA.
        used: Bytes of our receive window that were not credited back.
        paused: The application takes no more: no credit is returned.
        credit: The peer's window for it, less the peer's initial window.
        queue: What waits to be sent; views, none empty.
        queued: Bytes in ``queue``.
        trailers: None while the answer goes on; then what follows the queue, b"" for END_STREAM on DATA.
        crowded: ``queued`` went above high water and has not been below low water since.
        moved: When the queue last got shorter; None while that is not known.
    """

    __slots__ = (
        "_joined",
        "_parts",
        "content",
        "credit",
        "crowded",
        "discard",
        "ended",
        "got",
        "heard",
        "moved",
        "paused",
        "queue",
        "queued",
        "route",
        "told",
        "trailers",
        "used",
    )

    def __init__(self, route: Route, content: int, heard: float) -> None:
        self.route = route
        self.content = content
        self.heard = heard
        self.ended = self.told = self.discard = self.paused = self.crowded = False
        self.got = self.used = self.credit = self.queued = 0
        self.queue: deque[memoryview] = deque()
        self.trailers: bytes | None = None
        self.moved: float | None = None
        self._parts: list[bytes] = []
        self._joined: list[bytes] = []

    def keep(self, data: bytes) -> None:
        """Collect a part of a unary body."""
        self._parts.append(data)
        if len(self._parts) == _PARTS:
            self._joined.append(b"".join(self._parts))
            self._parts.clear()

    def begun(self, data: bytes) -> bytes:
        """Return what was collected and what follows it, of a body that has hardly begun."""
        return b"".join((*self._parts, data))

    def body(self) -> bytes:
        """Return what was collected, joined once, and forget it."""
        joined = b"".join((*self._joined, *self._parts))
        self.forget()
        return joined

    def forget(self) -> None:
        """Drop what was collected."""
        self._parts.clear()
        self._joined.clear()

    def agrees(self) -> bool:
        """Return whether the body had the length that its headers announced."""
        return self.content in (NO_LENGTH, self.got)
