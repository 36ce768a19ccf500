"""Read each head once: a client repeats its head, byte for byte or with another body length or traceparent only."""

import re
from typing import Generic

from onecode_serving.http1.app import App, Route
from onecode_serving.http1.head import Head, parse_head
from onecode_serving.http1.limits import Http1Limits

_LENGTH_VALUE = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_TRACEPARENT = re.compile(rb"\r\n[Tt]race[Pp]arent:[ \t]*([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})\r\n")
"""The line of a traced caller, as it is nearly always spelled; a head with another spelling is just read each time."""
_SHAPES = 4
_MAX_DIGITS = 15


class HeadCache(Generic[Route]):
    """Remembers heads by their bytes, and a few with their content-length left open.

    The bytes decide everything: equal bytes are an equal head, and a head that differs in the digits of its
    content-length only is equal but for that. So nothing is parsed again, and nothing is guessed.
    """

    __slots__ = ("_app", "_known", "_limits", "_shapes")

    def __init__(self, app: App[Route], limits: Http1Limits) -> None:
        self._app = app
        self._limits = limits
        self._known: dict[bytes, tuple[Head, Route, int]] = {}
        self._shapes: list[tuple[bytes, bytes, Head, Route]] = []

    def find(self, block: bytes) -> tuple[Head, Route, int]:
        """Return a head, its route, and the length of its body (-1: chunked).

        Raises:
            HeadError: It is refused; nothing is remembered.
        """
        known = self._known.get(block) or self._shaped(block)
        if known is not None:
            return known
        match = _TRACEPARENT.search(block)
        if match is None:
            return self._learned(block, block)
        # What is left without the value; no head that is remembered holds a NUL. A second such line is left in it.
        rest = b"%b\0%b" % (block[: match.start(1)], block[match.end(1) :])
        known = self._known.get(rest) or self._shaped(rest)
        if known is None:
            return self._learned(block, rest)
        head, route, length = known
        return head, self._app.carrying(route, match[1]), length

    def _shaped(self, block: bytes) -> tuple[Head, Route, int] | None:
        """Return what is known of a head that differs from an earlier one in its content-length only."""
        for prefix, suffix, head, route in self._shapes:
            if block.startswith(prefix) and block.endswith(suffix):
                digits = block[len(prefix) : -len(suffix)]
                # isdigit of bytes means 0-9; a leading zero is left to the parser, which refuses it.
                if digits.isdigit() and digits[0] != 0x30 and len(digits) <= _MAX_DIGITS:  # noqa: PLR2004 - "0"
                    return head, route, int(digits)
        return None

    def _learned(self, block: bytes, key: bytes) -> tuple[Head, Route, int]:
        """Read a head, and remember it under what is left of it without its traceparent."""
        head = parse_head(block, self._limits.head_fields)
        route = self._app.head(head)
        known = (head, route, head.length)
        if len(block) > self._limits.cached_head_bytes or (key != block and "," in head.fields["traceparent"]):
            return known
        if len(self._known) >= self._limits.cached_heads:
            del self._known[next(iter(self._known))]
        self._known[key] = known
        match = _LENGTH_VALUE.search(key)
        if match is not None:
            self._shapes.insert(0, (key[: match.start(1)], key[match.end(1) :], head, route))
            del self._shapes[_SHAPES:]
        return known
