"""Collect a body that does not arrive with its head, within its bounds."""

from typing import Protocol

from onecode_serving.http1.chunked import ChunkedBody
from onecode_serving.http1.limits import Http1Limits


class Budget(Protocol):
    """Bytes that all connections of a process may hold for slow peers."""

    def take(self, count: int) -> bool:
        """Reserve bytes; False, and nothing reserved, if they do not fit."""
        ...

    def give(self, count: int) -> None:
        """Return bytes that were taken."""
        ...


class IncomingBody:
    """Takes pieces of the wire until the body is whole.

    Args:
        length: Bytes to come; -1 when they come in chunks.
        most: Bytes to keep; beyond it nothing is kept any more, see :attr:`too_large`.
        limits: Of the connection.
        budget: Where what is kept is counted; None: nowhere.

    Attributes:
        done: All of it was read.
        too_large: It has more bytes than may be kept.
        starved: The budget is used up by others.
        discarded: Bytes read and thrown away.
    """

    __slots__ = (
        "_budget", "_chunks", "_content", "_held", "_left", "_most", "discarded", "done", "starved", "too_large"
    )  # fmt: skip

    def __init__(self, length: int, most: int, limits: Http1Limits, budget: Budget | None = None) -> None:
        self._left = length
        self._most = most
        self._chunks = ChunkedBody(limits) if length < 0 else None
        # A bytearray and not a list: four million pieces of one byte cost no more than one piece.
        self._content = bytearray()
        self.done = False
        self.too_large = length > most
        self.starved = False
        self._budget = budget
        self._held = 0
        self.discarded = 0

    def feed(self, data: bytes) -> int:
        """Take bytes; return how many of them belonged to the body.

        Raises:
            HeadError: The chunks are not exactly as they must be.
        """
        content = self._content
        taken = len(data)
        if self._chunks is not None:
            taken -= len(self._chunks.feed(data, content))
            self.done = self._chunks.done
        else:
            taken = min(self._left, taken)
            if not self.too_large and not self.starved:
                content += data if taken == len(data) else data[:taken]
            self._left -= taken
            self.done = self._left == 0
        if len(content) > self._most:
            self.too_large = True
        grown = len(content) - self._held
        if self._budget is not None and not self.too_large and grown > 0:
            self.starved = self.starved or not self._budget.take(grown)
            self._held += 0 if self.starved else grown
        if self.too_large or self.starved:
            content.clear()
            self.discarded += taken
        return taken

    def close(self) -> None:
        """Give back what was counted; what was kept is of no use afterwards."""
        if self._budget is not None and self._held:
            self._budget.give(self._held)
            self._held = 0

    def content(self) -> bytes:
        """Return the body, once :attr:`done`."""
        return bytes(self._content)
