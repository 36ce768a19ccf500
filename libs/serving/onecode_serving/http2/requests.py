"""Tell a well-formed request from a malformed one (RFC 9113, 8.1-8.3), before any application sees it."""

import re

from onecode_serving.http2.headers import Headers

_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED = frozenset((b":method", b":scheme", b":path"))
_OF_A_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_PLAIN = frozenset((b"content-type", b"user-agent", b"grpc-accept-encoding", b"grpc-encoding", b"grpc-timeout",
                    b"accept-encoding", b"authorization", b"content-length", b"traceparent"))  # fmt: skip
"""Names that need no look at their letters: what stock clients send."""
# Lower-case tokens only: capitals, spaces, colons and controls in a name are how requests are smuggled.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_VALUE = re.compile(rb"[\x00\r\n]")
_LENGTH = re.compile(rb"[0-9]{1,18}")

NO_LENGTH = -1
"""The request does not say how long its body is."""


def why_malformed(headers: Headers) -> str | None:
    """Return what is wrong with a request's header list, or None."""
    seen: dict[bytes, bytes] = {}
    for place, (name, value) in enumerate(headers):
        if name in _PSEUDO:
            if name in seen or place != len(seen):
                return "a pseudo-header that stands twice or after an ordinary header"
            seen[name] = value
        elif name not in _PLAIN:
            wrong = _why_field_malformed(name, value)
            if wrong is not None:
                return wrong
    if seen.get(b":method") == b"CONNECT":
        if b":authority" not in seen or b":path" in seen or b":scheme" in seen:
            return "a CONNECT request that names more or less than its authority"
    elif not seen.keys() >= _REQUIRED or not seen[b":path"] or not seen[b":method"]:
        return "a pseudo-header that is missing or empty"
    return _why_values_malformed(headers)


def why_trailers_malformed(headers: Headers) -> str | None:
    """Return what is wrong with trailers, or None."""
    wrong = (_why_field_malformed(name, value) for name, value in headers)
    return next((one for one in wrong if one is not None), None) or _why_values_malformed(headers)


def _why_field_malformed(name: bytes, value: bytes) -> str | None:
    if not _NAME.fullmatch(name):
        return "a header name with capitals or characters that no name has, or an unknown pseudo-header"
    if name in _OF_A_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
        return "a header that concerns one connection of HTTP/1"
    return None


def _why_values_malformed(headers: Headers) -> str | None:
    if _FORBIDDEN_VALUE.search(b" ".join([value for _, value in headers])):
        return "a control character in a header value"
    return None


def content_length(headers: Headers) -> int | None:
    """Return the announced body length, :data:`NO_LENGTH` without one, None if it is no number or two."""
    values = {value for name, value in headers if name == b"content-length"}
    if not values:
        return NO_LENGTH
    only = values.pop()
    if values or not _LENGTH.fullmatch(only):
        return None
    return int(only)
