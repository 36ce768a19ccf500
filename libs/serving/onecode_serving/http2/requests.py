"""Tell a well-formed request from a malformed one (RFC 9113, 8.1-8.3), before any application sees it."""

import re

from onecode_serving.http2.headers import Headers

_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_REQUIRED = frozenset((b":method", b":scheme", b":path"))
_OF_A_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
# Lower-case tokens only: capitals, spaces, colons and controls in a name are how requests are smuggled.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_VALUE = re.compile(rb"[\x00\r\n]")
_LENGTH = re.compile(rb"[0-9]{1,18}")

NO_LENGTH = -1
"""The request does not say how long its body is."""


def why_malformed(headers: Headers) -> str | None:
    """Return what is wrong with a request's header list, or None."""
    seen: dict[bytes, bytes] = {}
    ordinary = False
    for name, value in headers:
        if not name.startswith(b":"):
            ordinary = True
            continue
        if ordinary:
            return "a pseudo-header after an ordinary header"
        if name not in _PSEUDO or name in seen:
            return "a pseudo-header that is unknown or stands twice"
        if _FORBIDDEN_VALUE.search(value):
            return "a control character in a pseudo-header"
        seen[name] = value
    if seen.get(b":method") == b"CONNECT":
        if b":authority" not in seen or b":path" in seen or b":scheme" in seen:
            return "a CONNECT request that names more or less than its authority"
    elif not seen.keys() >= _REQUIRED or not seen[b":path"] or not seen[b":method"]:
        return "a pseudo-header that is missing or empty"
    return _why_fields_malformed(headers)


def why_trailers_malformed(headers: Headers) -> str | None:
    """Return what is wrong with trailers, or None."""
    if any(name.startswith(b":") for name, _ in headers):
        return "a pseudo-header in trailers"
    return _why_fields_malformed(headers)


def _why_fields_malformed(headers: Headers) -> str | None:
    for name, value in headers:
        if name.startswith(b":"):
            continue
        if not _NAME.fullmatch(name):
            return "a header name with capitals or characters that no name has"
        if _FORBIDDEN_VALUE.search(value):
            return "a control character in a header value"
        if name in _OF_A_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            return "a header that concerns one connection of HTTP/1"
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
