"""Write a call's headers once: for the same method and timeout the same bytes, which the server knows again."""

import math

from onecode_serving.http2.headers import encode_block

_BLOCKS = 64
_LONGEST_MS = 99_999_999
"""A timeout has eight digits at most."""


class Blocks:
    """Encoded header lists by method and timeout.

    Args:
        address: The server's.
        scheme: ``http`` or ``https``.
        token: Bearer token; empty sends none.
    """

    def __init__(self, address: str, scheme: str, token: str) -> None:
        self._address = address
        self._scheme = scheme
        self._token = token
        self._blocks: dict[tuple[str, float | None], bytes] = {}

    def of(self, method: str, timeout_s: float | None) -> bytes:
        """Return the headers of a call that may take so long; None: for ever."""
        block = self._blocks.get((method, timeout_s))
        if block is None:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            block = self._blocks[method, timeout_s] = self._encoded(method, timeout_s)
        return block

    def _encoded(self, method: str, timeout_s: float | None) -> bytes:
        headers = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", f"/inference.GRPCInferenceService/{method}"),
            (":authority", self._address),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        if timeout_s is not None:
            headers.append(("grpc-timeout", f"{min(_LONGEST_MS, max(1, math.ceil(timeout_s * 1000)))}m"))
        if self._token:
            headers.append(("authorization", f"Bearer {self._token}"))
        return encode_block(headers)
