"""Split a request into a head that callers repeat for ever and what changes: its id and its one tensor.

A stock client serializes ``raw_input_contents`` last. Where that field comes once and ends the message, everything
before its payload says the same for every request of the same kind, so it is parsed and checked once.
"""

from typing import NamedTuple

_RAW = 7
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_MORE = 0x80
_TAG_RAW = _RAW << 3 | _LEN
_TAG_ID = 3 << 3 | _LEN
_LONGEST = 5
_LAST_BITS = 0x0F
"""A length or a tag has 32 bits: of a fifth byte only these may be set."""
_LARGEST = (1 << 31) - 1
"""Bytes of a message; a longer field is none."""


class Split(NamedTuple):
    """A request in three parts.

    Attributes:
        head: Everything but the id and the payload.
        request_id: UTF-8; empty if there is none.
        start: Of the payload, which ends the message.
        id_at: Where the field of the id begins; -1 if there is none.
    """

    head: bytes
    request_id: bytes
    start: int
    id_at: int


def split_head(body: bytes) -> int | None:
    """Return where the payload of the last field begins, if that field alone is ``raw_input_contents``.

    The message is walked at its top level only; what lies inside of fields is not looked at. None also for bytes that
    are no message, which then fail where they are parsed.

    Args:
        body: A serialized ``ModelInferRequest``.
    """
    found = _walk(body)
    return None if found is None else found[0]


def split_request(body: bytes) -> Split | None:
    """Return the parts of a request whose payload ends it; None where :func:`split_head` has none, or two ids came."""
    found = _walk(body)
    if found is None:
        return None
    start, ids, at, begin, end = found
    if not ids:
        return Split(body[:start], b"", start, -1)
    request_id = body[begin:end]
    if ids > 1 or not _is_text(request_id):
        return None
    return Split(body[:at] + body[end:start], request_id, start, at)


def _walk(body: bytes) -> tuple[int, int, int, int, int] | None:  # noqa: C901 - one loop, see below
    """Return the payload's start, the number of ids, and of the last one its tag's place, beginning and end."""
    # One loop without calls: it runs once for every request.
    position, end = 0, len(body)
    ids = at = begin = after = 0
    try:
        while position < end:
            field_at = position
            tag = body[position]
            position += 1
            if tag >= _MORE:
                tag, position = _varint(body, field_at)
            kind = tag & 7
            if kind == _LEN:
                length = body[position]
                position += 1
                if length >= _MORE:
                    length, position = _varint(body, position - 1)
                if tag == _TAG_RAW:
                    return (position, ids, at, begin, after) if position + length == end else None
                if tag == _TAG_ID:
                    ids, at, begin, after = ids + 1, field_at, position, position + length
                position += length
            elif tag >> 3 == _RAW or kind not in (_VARINT, _I64, _I32):
                return None
            elif kind == _VARINT:
                position = _after_varint(body, position)
            else:
                position += 8 if kind == _I64 else 4
            if tag >> 3 == 0:
                return None
    except (IndexError, ValueError):
        return None
    return None


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST):
        byte = body[position + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < _MORE:
            if (shift == _LONGEST - 1 and byte > _LAST_BITS) or value > _LARGEST:
                break
            return value, position + shift + 1
    message = "a length or tag of more than 31 bits"
    raise ValueError(message)


def _after_varint(body: bytes, position: int) -> int:
    for place in range(position, position + 10):
        if body[place] < _MORE:
            return place + 1
    message = "a number of more than 64 bits"
    raise ValueError(message)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
