"""Collect a body that does not arrive with its head, within its bounds."""

from onecode_serving.http1.chunked import ChunkedBody
from onecode_serving.http1.limits import Http1Limits


class IncomingBody:
    """Takes pieces of the wire until the body is whole.

    Args:
        length: Bytes to come; -1 when they come in chunks.
        most: Bytes to keep; beyond it nothing is kept any more, see :attr:`too_large`.
        limits: Of the connection.

    Attributes:
        done: All of it was read.
        too_large: It has more bytes than may be kept.
        discarded: Bytes read and thrown away.
    """

    __slots__ = ("_chunks", "_content", "_left", "_most", "discarded", "done", "too_large")

    def __init__(self, length: int, most: int, limits: Http1Limits) -> None:
        self._left = length
        self._most = most
        self._chunks = ChunkedBody(limits) if length < 0 else None
        # A bytearray and not a list: four million pieces of one byte cost no more than one piece.
        self._content = bytearray()
        self.done = False
        self.too_large = length > most
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
            if not self.too_large:
                content += data if taken == len(data) else data[:taken]
            self._left -= taken
            self.done = self._left == 0
        if len(content) > self._most:
            self.too_large = True
        if self.too_large:
            content.clear()
            self.discarded += taken
        return taken

    def content(self) -> bytes:
        """Return the body, once :attr:`done`."""
        return bytes(self._content)
