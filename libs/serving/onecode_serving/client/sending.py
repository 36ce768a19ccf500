"""Write requests within the server's windows; what does not fit waits until there is credit."""

from collections import deque

from onecode_serving.http2 import frames as h2


class _Unsent:
    """The rest of a body, and the credit of its stream; ``open``: there may be more of it."""

    __slots__ = ("open", "rest", "window")

    def __init__(self, rest: bytes, window: int, *, more: bool = False) -> None:
        self.rest = rest
        self.window = window
        self.open = more


class Sending:
    """The sending half of a connection.

    Args:
        out: Where frames go.

    Attributes:
        largest: Greatest payload that the server takes.
    """

    def __init__(self, out: list[bytes]) -> None:
        self._out = out
        self._window = h2.FIRST_WINDOW
        self._first = h2.FIRST_WINDOW
        self._unsent: dict[int, _Unsent] = {}
        self._starts: dict[bytes, bytes] = {}
        self.largest = h2.SMALLEST_FRAME

    def request(self, stream: int, block: bytes, message: bytes) -> None:
        """Write a whole request, or as much of it as fits now."""
        start = self._starts.get(block)
        if start is None:
            if len(self._starts) > 64:  # noqa: PLR2004 - methods times timeouts of a caller
                self._starts.clear()
            start = self._starts[block] = h2.pack_head(len(block) << 8 | h2.HEADERS, h2.END_HEADERS, 0)[:5]
        size = len(message)
        name = stream.to_bytes(4, "big")
        # The way of nearly all requests: two frames at once, nothing remembered.
        if size <= self.largest and size <= self._window and size <= self._first and len(block) <= h2.SMALLEST_FRAME:
            self._window -= size
            self._out += (start, name, block, (size << 16 | h2.END_STREAM).to_bytes(5, "big"), name, message)
            return
        self._out.append(h2.block_frames(stream, block, 0, h2.SMALLEST_FRAME))
        self._unsent[stream] = _Unsent(message, self._first)
        self._pump(stream)

    def open(self, stream: int, block: bytes) -> None:
        """Begin a request whose body comes by :meth:`more` and is over with :meth:`end`."""
        self._out.append(h2.block_frames(stream, block, 0, h2.SMALLEST_FRAME))
        self._unsent[stream] = _Unsent(b"", self._first, more=True)

    def more(self, stream: int, data: bytes) -> None:
        """Write a part of a body, or as much of it as fits now."""
        unsent = self._unsent[stream]
        unsent.rest = unsent.rest + data if unsent.rest else data
        self._pump(stream)

    def end(self, stream: int) -> None:
        """End a body as soon as the rest of it is written."""
        unsent = self._unsent[stream]
        unsent.open = False
        if unsent.rest:
            return
        self._out.append(h2.frame(h2.DATA, h2.END_STREAM, stream))
        del self._unsent[stream]

    def unsent(self, stream: int) -> int:
        """Return how many bytes of a stream wait for credit."""
        found = self._unsent.get(stream)
        return 0 if found is None else len(found.rest)

    def drop(self, stream: int) -> None:
        """Forget what a stream has not sent."""
        if self._unsent:
            self._unsent.pop(stream, None)

    def first_window(self, value: int) -> None:
        """Take the server's window of new streams; it moves those of open ones too."""
        change, self._first = value - self._first, value
        for stream, unsent in list(self._unsent.items()):
            unsent.window += change
            self._pump(stream)

    def credit(self, stream: int, more: int) -> None:
        """Take credit for a stream, or for the connection as stream 0.

        Raises:
            ProtocolError: The connection's window grows beyond what the protocol allows.
        """
        if stream:
            if stream in self._unsent:
                self._unsent[stream].window += more
                self._pump(stream)
            return
        self._window += more
        if self._window > h2.GREATEST:
            raise h2.ProtocolError(h2.FLOW_CONTROL_ERROR, "a window above 2^31-1")
        for waiting in deque(self._unsent):
            self._pump(waiting)

    def _pump(self, stream: int) -> None:
        unsent = self._unsent[stream]
        while unsent.rest:
            size = min(len(unsent.rest), self._window, unsent.window, self.largest)
            if size <= 0:
                return
            part, unsent.rest = unsent.rest[:size], unsent.rest[size:]
            self._window -= size
            unsent.window -= size
            last = not unsent.rest and not unsent.open
            self._out.append(h2.frame(h2.DATA, h2.END_STREAM if last else 0, stream, part))
        if not unsent.open:
            del self._unsent[stream]
