"""Understand the one form of HTTP ranges that a resuming download needs (RFC 9110, section 14)."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Range(NamedTuple):
    """Bytes from ``start`` to before ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def requested_range(header: str, size: int) -> Range | None:
    """Return the range asked for; None if all is to be sent; an empty range if none of it exists.

    What is not understood (several ranges, other units) is answered with everything, as the RFC allows.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        # The last n bytes.
        return Range(max(0, size - int(last)), size) if int(last) else Range(0, 0)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    return Range(start, end) if start < size else Range(0, 0)
