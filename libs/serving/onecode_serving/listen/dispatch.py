"""Tell from a connection's first bytes which protocol it speaks, and whether it speaks any."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What every HTTP/2 client sends first."""

HTTP2 = "h2"
HTTP1 = "http/1.1"
"""The names by which TLS peers agree on a protocol."""

UNDECIDED = ""

_METHODS = tuple(
    method + b" "
    for method in (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT")
)


def protocol_of(first: bytes) -> str | None:
    """Return :data:`HTTP2`, :data:`HTTP1`, :data:`UNDECIDED` while it can be both, or None if it is neither."""
    if first.startswith(_METHODS):
        return HTTP1
    if first.startswith(PREFACE):
        return HTTP2
    if PREFACE.startswith(first) or any(method.startswith(first) for method in _METHODS):
        return UNDECIDED
    return None
