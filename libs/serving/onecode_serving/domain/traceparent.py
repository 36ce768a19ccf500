"""Read what a caller says of the trace that its request is a part of (W3C Trace Context, level 2, section 3.2)."""

import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN = "00"
_IMPOSSIBLE = "ff"
_SAMPLED = 1
_ODD = tuple("13579bdf")


class Parent(NamedTuple):
    """The caller's own span.

    Attributes:
        trace_id: 128 bits, never 0.
        span_id: 64 bits, never 0.
        sampled: Its caller may have recorded it.
    """

    trace_id: int
    span_id: int
    sampled: bool


def parent_of(text: str) -> Parent | None:
    """Return the caller's span; None if the value says none, for then a new trace begins.

    A version that is not known yet is read as far as it is known to be alike; of the known one nothing may follow.
    """
    found = _FORM.fullmatch(text)
    if found is None or found[1] == _IMPOSSIBLE or (found[1] == _KNOWN and found[5] is not None):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(found[4], 16) & _SAMPLED))


def is_asked(text: str) -> bool:
    """Return whether a caller wants to see its request: its own span is sampled."""
    # Nearly all that come are looked at here and say no.
    if text[54:55] not in _ODD:
        return False
    parent = parent_of(text)
    return parent is not None and parent.sampled
