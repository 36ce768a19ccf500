"""Speak HTTP/2 as a server, in pure functions of bytes and time.

``Http2Engine`` is all that a transport needs; ``frames``, ``headers`` and ``requests`` serve a client's engine too.
"""

from onecode_serving.http2.engine import Http2Engine
from onecode_serving.http2.headers import encode_block
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App, Route

__all__ = ["App", "Budget", "Http2Counts", "Http2Engine", "Http2Limits", "Route", "encode_block"]
