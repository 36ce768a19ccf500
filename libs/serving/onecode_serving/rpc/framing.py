"""Cut messages out of bodies and put them back: one flag, four bytes of length, the message."""

import zlib

from onecode_common.errors import ExhaustedError, InvalidError, OnecodeError, PreconditionError
from onecode_serving.rpc.status import ENCODINGS, MESSAGE_FLAG_CODE, UNIMPLEMENTED_CODE

PREFIX = 5
_WBITS = {"gzip": 31, "deflate": 15}
_SLICE = 64 << 10
COMPRESS_FROM = 1024
"""Smaller answers are not worth it."""


def framed(message: bytes) -> bytes:
    """Return an uncompressed message with its prefix."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def framed_as(message: bytes, encoding: str) -> bytes:
    """Return a message with its prefix, compressed as the call was, if that pays."""
    wbits = _WBITS.get(encoding)
    if wbits is None or len(message) < COMPRESS_FROM:
        return framed(message)
    engine = zlib.compressobj(1, wbits=wbits)
    content = engine.compress(message) + engine.flush()
    return b"\x01" + len(content).to_bytes(4, "big") + content


def only_message(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the one message of a unary call's body.

    Args:
        body: Everything between the headers and the end of the stream.
        encoding: Of the call; empty or ``identity`` for none.
        limit: Bytes of the message after decompression.

    Raises:
        InvalidError: No message, a second one, or bytes left over.
        ExhaustedError: It is too large.
        OnecodeError: As :func:`message_of`.
    """
    if len(body) < PREFIX:
        message = f"the call carries {len(body)} bytes, which is no message: send one"
        raise InvalidError(message, code="rpc.no_message")
    size = int.from_bytes(body[1:PREFIX], "big")
    if size > limit:
        raise too_large(limit)
    if size != len(body) - PREFIX:
        message = f"the call's message has {size} bytes and {len(body) - PREFIX} came: send exactly one message"
        raise InvalidError(message, code="rpc.one_message")
    return message_of(body[0], body[PREFIX:], encoding, limit)


def message_of(flag: int, content: bytes, encoding: str, limit: int) -> bytes:
    """Return a message as it was before compression.

    Raises:
        OnecodeError: Compressed without a named encoding, or another flag than 0 and 1.
        PreconditionError: An encoding that is not spoken here.
        ExhaustedError: More than ``limit`` bytes.
        InvalidError: The content does not decompress.
    """
    if flag == 0:
        if len(content) > limit:
            raise too_large(limit)
        return content
    if flag != 1 or encoding in ("", "identity"):
        message = f"the message's flag is {flag} and the call names encoding {encoding[:20] or 'none'!r}"
        raise OnecodeError(message, code=MESSAGE_FLAG_CODE)
    require_spoken(encoding)
    return _inflated(content, encoding, limit)


def require_spoken(encoding: str) -> None:
    """Refuse an encoding that is not spoken here.

    Raises:
        PreconditionError: As UNIMPLEMENTED, with those that are.
    """
    if encoding not in ("", "identity", *_WBITS):
        message = f"encoding {encoding[:40]!r} is not spoken here: use one of {ENCODINGS}"
        raise PreconditionError(message, code=UNIMPLEMENTED_CODE)


def too_large(limit: int) -> ExhaustedError:
    """Return the refusal of a message, naming the limit."""
    message = f"the message has more than {limit} bytes, the limit here: send less at a time"
    return ExhaustedError(message, code="message.too_large", params={"limit": limit})


def _inflated(content: bytes, encoding: str, limit: int) -> bytes:
    """Inflate in slices, so that a small message that would become a large one is given up early."""
    engine = zlib.decompressobj(wbits=_WBITS[encoding])
    pieces: list[bytes] = []
    size = 0
    try:
        rest = content
        while rest and not engine.eof:
            piece = engine.decompress(rest, min(_SLICE, limit + 1 - size))
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            pieces.append(piece)
            rest = engine.unconsumed_tail
    except zlib.error as error:
        message = f"the message does not decompress as {encoding}: {error}"
        raise InvalidError(message, code="rpc.compressed") from error
    if not engine.eof or engine.unused_data:
        message = f"the message is not one whole {encoding} stream"
        raise InvalidError(message, code="rpc.compressed")
    return b"".join(pieces)


class Framer:
    """Collects a stream's messages from pieces whose boundaries mean nothing.

    Args:
        encoding: Of the stream.
        limit: Bytes of one message; its length prefix is checked before anything is kept.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now.

        Raises:
            OnecodeError: As :func:`message_of`; the stream cannot go on after it.
        """
        buffer = self._buffer
        size = len(data) - PREFIX
        # What stock clients send: one DATA frame that holds one whole, uncompressed message.
        if not buffer and 0 <= size <= self._limit and not data[0] and int.from_bytes(data[1:PREFIX], "big") == size:
            return [data[PREFIX:]]
        buffer += data
        found: list[bytes] = []
        start = 0
        while len(buffer) - start >= PREFIX:
            size = int.from_bytes(buffer[start + 1 : start + PREFIX], "big")
            if size > self._limit:
                buffer.clear()
                raise too_large(self._limit)
            end = start + PREFIX + size
            if end > len(buffer):
                break
            found.append(message_of(buffer[start], bytes(buffer[start + PREFIX : end]), self._encoding, self._limit))
            start = end
        del buffer[:start]
        return found

    def finish(self) -> None:
        """Refuse a stream that ended inside a message.

        Raises:
            InvalidError: It did.
        """
        if self._buffer:
            message = f"the stream ended inside a message, after {len(self._buffer)} bytes of it"
            raise InvalidError(message, code="rpc.cut")
