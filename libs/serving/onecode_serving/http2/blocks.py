"""Remember what header blocks mean, so that a caller who repeats one is understood once.

A block means the same again as long as it neither changed the dynamic table nor the table was changed since.
"""

from typing import TypeVar

from onecode_serving.http2.frames import ProtocolError
from onecode_serving.http2.headers import HeaderDecoder, Headers
from onecode_serving.http2.limits import Http2Limits
from onecode_serving.http2.ports import App, Route
from onecode_serving.http2.requests import NO_LENGTH, content_length, why_malformed
from onecode_serving.http2.varying import Fields, split_block, split_list

Entry = tuple[Route, int, int]
"""A route, the greatest body that the fast lane may hand over (-1: none), the announced length."""

K = TypeVar("K")


class Blocks:
    """The header blocks of one connection's requests.

    Args:
        app: Makes routes.
        limits: How many are remembered, and how long they may be.

    Attributes:
        known: By the bytes of a block.
    """

    def __init__(self, app: App, limits: Http2Limits) -> None:
        self._app = app
        self._limits = limits
        self._decoder = HeaderDecoder(limits.list_bytes, limits.list_fields)
        self.known: dict[bytes, Entry] = {}
        # Blocks and lists that differ in their traceparent only, by everything else in them.
        self._varying: dict[bytes, Entry] = {}
        self._alike: dict[Fields, Entry] = {}

    def allow(self, size: int) -> None:
        """Set the greatest table that the peer may choose; what was remembered may mean something else then."""
        self._decoder.allow(size)
        self._forget()

    def pass_over(self, block: bytes) -> None:
        """Decode a block that nobody reads: the dynamic table must not miss it."""
        if block not in self.known:
            self.decode(block)

    def decode(self, block: bytes) -> tuple[Headers, bool]:
        """Return the fields and whether the dynamic table was changed.

        Raises:
            ProtocolError: The block cannot be decoded.
        """
        headers, changed = self._decoder.decode(block)
        if changed:
            self._forget()
        return headers, changed

    def _forget(self) -> None:
        self.known.clear()
        self._varying.clear()

    def entry_of(self, block: bytes) -> Entry | None:
        """Return what a request's block means, None if it is malformed."""
        known = self.known.get(block) or self.varied(block)
        if known is not None:
            return known
        headers, changed = self.decode(block)
        parts = split_list(headers)
        alike = self._alike.get(parts[0]) if parts is not None else None
        entry = alike or self._judged(headers)
        if entry is None or not entry[0].cacheable:
            return entry
        # A block that changes the table means something else the second time.
        lasting = not changed and len(block) <= self._limits.cached_block_bytes
        if parts is None:
            if lasting:
                _keep(self.known, block, entry, self._limits.cached_blocks)
            return entry
        if lasting:
            self._remember(block, entry)
        if alike is not None:
            return self._carrying(alike, parts[1])
        _keep(self._alike, parts[0], entry, self._limits.cached_blocks)
        return entry

    def _judged(self, headers: Headers) -> Entry | None:
        """Return what a decoded list means, None if it is malformed."""
        if why_malformed(headers) is not None:
            return None
        length = content_length(headers)
        if length is None:
            return None
        route = self._app.head(headers)
        fast = length == NO_LENGTH and not route.streaming
        return route, min(route.max_body, self._limits.frame_bytes) if fast else -1, length

    def _remember(self, block: bytes, entry: Entry) -> None:
        """Remember a block for those that differ in their traceparent, if that can be set aside."""
        parts = split_block(block)
        if parts is None:
            return
        try:
            # What stands before it can be decoded, so a field begins there and is what it looks like.
            self._decoder.decode(block[: parts.at])
        except ProtocolError:
            return
        _keep(self._varying, parts.rest, entry, self._limits.cached_blocks)

    def varied(self, block: bytes) -> Entry | None:
        """Return what a block means that differs from an earlier one in its traceparent only, None for others."""
        parts = split_block(block) if self._varying else None
        entry = self._varying.get(parts.rest) if parts is not None else None
        return self._carrying(entry, parts.value) if entry is not None and parts is not None else None

    def _carrying(self, entry: Entry, traceparent: bytes) -> Entry:
        """Return the entry of a list that differs from another's in this only."""
        return self._app.carrying(entry[0], traceparent), entry[1], entry[2]


def _keep(cache: dict[K, Entry], key: K, entry: Entry, most: int) -> None:
    if len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = entry
