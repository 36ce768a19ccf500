"""Read a body that comes in chunks, within bounds and without guessing (H14)."""

import re

from onecode_serving.http1.head import BAD_REQUEST, TOO_LARGE_HEAD, HeadError, check_field
from onecode_serving.http1.limits import Http1Limits

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_SIZE_LINE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedBody:
    """Takes pieces of the wire, gives pieces of the body.

    Attributes:
        done: The last chunk and the trailers were read.
    """

    __slots__ = ("_chunks", "_left", "_limits", "_state", "_tail", "_trailer_bytes", "_trailers", "done")

    def __init__(self, limits: Http1Limits) -> None:
        self._limits = limits
        self._state = _SIZE_LINE
        self._left = 0
        self._chunks = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self._tail = b""
        self.done = False

    def feed(self, data: bytes, body: bytearray) -> bytes:
        """Append what belongs to the body; return what comes after it, empty until :attr:`done`.

        Raises:
            HeadError: Sizes, line ends or trailers are not exactly as RFC 9112 has them, or too many.
        """
        data = self._tail + data
        position, end = 0, len(data)
        while position < end and self._state != _DONE:
            if self._state == _DATA:
                taken = min(self._left, end - position)
                body += memoryview(data)[position : position + taken]
                position += taken
                self._left -= taken
                if self._left == 0:
                    self._state = _DATA_END
                continue
            stop = data.find(b"\n", position)
            if stop < 0:
                self._bounded(end - position)
                break
            line = data[position : stop + 1]
            position = stop + 1
            self._line(line)
        if self._state == _DONE:
            self.done = True
        self._tail = data[position:]
        if self.done:
            rest, self._tail = self._tail, b""
            return rest
        return b""

    def _line(self, line: bytes) -> None:
        """Take one line with its end."""
        self._bounded(len(line))
        if not line.endswith(b"\r\n"):
            raise HeadError(BAD_REQUEST, "a line of the chunked body ends without CR LF")
        if self._state == _DATA_END:
            if line != b"\r\n":
                raise HeadError(BAD_REQUEST, "a chunk is longer than its size")
            self._state = _SIZE_LINE
        elif self._state == _SIZE_LINE:
            self._size(line[:-2])
        else:
            self._trailer(line)

    def _size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise HeadError(BAD_REQUEST, "a chunk does not begin with its size in hex digits")
        self._left = int(match[1], 16)
        self._state = _DATA if self._left else _TRAILER
        self._chunks += 1
        if self._chunks > self._limits.chunks:
            raise HeadError(BAD_REQUEST, f"the body has more than {self._limits.chunks} chunks")

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self._state = _DONE
            return
        check_field(line[:-2])  # Trailers are ignored, but their grammar is not: they end the message.
        self._trailers += 1
        self._trailer_bytes += len(line)
        if self._trailers > self._limits.head_fields or self._trailer_bytes > self._limits.head_bytes:
            raise HeadError(TOO_LARGE_HEAD, "the trailers are too many or too long")

    def _bounded(self, size: int) -> None:
        most = self._limits.head_bytes if self._state == _TRAILER else self._limits.chunk_line_bytes
        if self._state == _DATA_END:
            most = 2
        if size > most:
            text = "a chunk is longer than its size" if self._state == _DATA_END else "a chunk's line is too long"
            raise HeadError(BAD_REQUEST, text)
