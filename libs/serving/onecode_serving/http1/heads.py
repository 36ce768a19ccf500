"""Read each head once: a client repeats its head, byte for byte or with another body length only."""

import re
from typing import Generic

from onecode_serving.http1.app import App, Route
from onecode_serving.http1.head import Head, parse_head
from onecode_serving.http1.limits import Http1Limits

_LENGTH_VALUE = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
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
        known = self._known.get(block)
        if known is not None:
            return known
        for prefix, suffix, head, route in self._shapes:
            if block.startswith(prefix) and block.endswith(suffix):
                digits = block[len(prefix) : -len(suffix)]
                # isdigit of bytes means 0-9; a leading zero is left to the parser, which refuses it.
                if digits.isdigit() and digits[0] != 0x30 and len(digits) <= _MAX_DIGITS:  # noqa: PLR2004 - "0"
                    return head, route, int(digits)
        return self._learned(block)

    def _learned(self, block: bytes) -> tuple[Head, Route, int]:
        head = parse_head(block, self._limits.head_fields)
        route = self._app.head(head)
        known = (head, route, head.length)
        if len(block) > self._limits.cached_head_bytes:
            return known
        if len(self._known) >= self._limits.cached_heads:
            del self._known[next(iter(self._known))]
        self._known[block] = known
        match = _LENGTH_VALUE.search(block)
        if match is not None:
            self._shapes.insert(0, (block[: match.start(1)], block[match.end(1) :], head, route))
            del self._shapes[_SHAPES:]
        return known
