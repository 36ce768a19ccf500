"""Recognise header blocks that differ in their ``traceparent`` only: a caller that is traced sends another each time.

gRPC's C core, and so every stock client on it, writes the field as a literal that enters no table. What stands around
it is the same bytes for every call, so those bytes are the key of what the block means.
"""

import re
from typing import NamedTuple

from onecode_serving.http2.headers import Headers

NAME = b"traceparent"

_VALUE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VALUE_BYTES = 55
_FIELD = b"\x00%c%b%c" % (len(NAME), NAME, _VALUE_BYTES)
"""A literal without indexing whose name is spelled out, up to its value (RFC 7541, 6.2.2)."""


_LIST_BYTES = 2048
"""Names and values of a list that is remembered, without its traceparent."""

Fields = tuple[tuple[bytes, bytes], ...]


class Varying(NamedTuple):
    """A header block in two parts.

    Attributes:
        rest: Everything but the value; equal for blocks that differ in nothing else.
        at: Where the field begins, if it is one: the same bytes may stand within another field's value.
        value: Of the form that every version of the W3C's recommendation shares.
    """

    rest: bytes
    at: int
    value: bytes


def split_block(block: bytes) -> Varying | None:
    """Return the parts of a block; None if no traceparent is written in it the way that can be set aside."""
    at = block.find(_FIELD)
    if at < 0:
        return None
    start = at + len(_FIELD)
    value = block[start : start + _VALUE_BYTES]
    if _VALUE.fullmatch(value) is None:
        return None
    # The first place where the field stands is the same in what is left, so two blocks never leave the same bytes for
    # different reasons.
    return Varying(block[:start] + block[start + _VALUE_BYTES :], at, value)


def split_list(headers: Headers) -> tuple[Fields, bytes] | None:
    """Return a decoded list without the value of its one traceparent, and the value; None if there is no such."""
    found = [value for name, value in headers if name == NAME]
    if len(found) != 1 or _VALUE.fullmatch(found[0]) is None:
        return None
    if sum([len(name) + len(value) for name, value in headers]) > _LIST_BYTES:
        return None
    return tuple([(name, b"" if name == NAME else value) for name, value in headers]), found[0]
