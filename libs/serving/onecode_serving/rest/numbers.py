"""Find the numbers of a JSON request without reading the rest of it again."""

import sys
from array import array
from typing import Any

import orjson

_DATA = b'"data"'
_GAP = 8
"""Room for a colon and blanks between the key and its list."""

_PROBE = 8_190_407_113_377
"""A number that stands for the data while the rest is looked at."""

_CODES = {
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP32": "f", "FP64": "d",
}  # fmt: skip
CODES = _CODES if sys.byteorder == "little" else {}
"""Element code of :mod:`array` by datatype: those whose memory is their wire form."""


def split(body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return what stands before the one list of data, that list, and what stands after it; None if unsure.

    The parts are the body's bytes, so whoever knows what ``before`` and ``after`` mean around *some* list of numbers
    (:func:`holds`) knows what they mean around this one, if it is a JSON list on its own (:func:`raw_of`).
    """
    key = body.find(_DATA)
    if key < 0 or body.find(_DATA, key + 6) >= 0:
        return None
    start = body.find(b"[", key + 6, key + 6 + _GAP)
    if start < 0:
        return None
    stop = body.find(b"}", start)
    following = body.find(b'"', start, stop)
    end = body.rfind(b"]", start, stop if following < 0 else following) + 1
    return (body[:start], body[start:end], body[end:]) if end > start else None


def probed(before: bytes, after: bytes) -> bytes:
    """Return the body with a list of one known number in the place of its data."""
    return b"%b[%d]%b" % (before, _PROBE, after)


def holds(document: dict[str, Any]) -> bool:
    """Return whether the place of the data is that of the one input, in the document of a :func:`probed` body."""
    inputs = document.get("inputs")
    return (
        isinstance(inputs, list)
        and len(inputs) == 1
        and isinstance(inputs[0], dict)
        and inputs[0].get("data") == [_PROBE]
    )


def raw_of(text: bytes, code: str, count: int, width: int) -> bytes | None:
    """Return the little-endian bytes of a JSON list of numbers, None if it must be looked at more closely.

    Args:
        text: The list.
        code: Element code.
        count: Elements that there must be.
        width: Elements of one row, for lists of lists; such a list must have whole rows, and nothing deeper.
    """
    # An array takes True for 1; in a list of numbers nothing is spelled with t or f.
    if b"t" in text or b"f" in text:
        return None
    try:
        items = orjson.loads(text)
        if items and type(items[0]) is list:
            if set(map(len, items)) != {width}:
                return None
            items = [item for row in items for item in row]
        if len(items) != count:
            return None
        return array(code, items).tobytes()
    except (ValueError, TypeError, OverflowError):
        return None
