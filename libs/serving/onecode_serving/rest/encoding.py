"""Take content encodings off and put them on, without becoming larger than allowed on the way (H10)."""

import zlib

from onecode_common.errors import ExhaustedError, InvalidError

COMPRESS_FROM = 1024
"""Shorter answers are not worth it."""

_SLICE = 64 << 10
_KNOWN = ("gzip", "deflate", "identity", "")
_GZIP, _ZLIB, _RAW = 31, 15, -15


def check_encoding(encoding: str) -> str:
    """Return the content encoding in lower case, empty for none.

    Raises:
        InvalidError: It is not known (code ``body.encoding``).
    """
    name = encoding.strip().lower()
    if name not in _KNOWN:
        message = f"content encoding {encoding[:40]!r} is not known: send gzip, deflate or none"
        raise InvalidError(message, code="body.encoding", params={"field": "content-encoding"})
    return "" if name == "identity" else name


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body without its encoding; ``deflate`` may come with the zlib header or without.

    Raises:
        InvalidError: The bytes are broken, cut, or more follow (code ``body.broken``).
        ExhaustedError: It grows beyond the limit; no more than that was ever held.
    """
    if not encoding:
        return body
    plain = _expanded(body, _GZIP if encoding == "gzip" else _ZLIB, limit)
    if plain is None and encoding == "deflate":
        plain = _expanded(body, _RAW, limit)
    if plain is None:
        message = f"the body is not whole {encoding}: compress it again"
        raise InvalidError(message, code="body.broken", params={"field": "content-encoding"})
    return plain


def too_large(limit: int) -> ExhaustedError:
    """Return the refusal of a body beyond the limit."""
    message = f"the request is larger than {limit} bytes: send fewer rows, or raise the limit"
    return ExhaustedError(message, code="message.too_large", params={"limit": limit})


def accepted_encoding(accepted: str) -> str:
    """Return the encoding to answer in: the first of gzip and deflate that the caller does not rule out; else empty."""
    for part in accepted.split(","):
        name, _, weight = part.partition(";")
        name = name.strip().lower()
        if name in ("gzip", "deflate") and weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return name
    return ""


def deflated(body: bytes, encoding: str) -> bytes:
    """Return the body in ``gzip`` or ``deflate`` (the zlib format, as stock clients read it)."""
    engine = zlib.compressobj(1, wbits=_GZIP if encoding == "gzip" else _ZLIB)
    return engine.compress(body) + engine.flush()


def _expanded(body: bytes, window: int, limit: int) -> bytes | None:
    """Return the whole content of one compressed stream, or None if it is not one."""
    engine = zlib.decompressobj(window)
    parts: list[bytes] = []
    size, fed = 0, body
    try:
        while not engine.eof:
            part = engine.decompress(fed, min(_SLICE, limit + 1 - size))
            fed = engine.unconsumed_tail
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            if not part and not fed and not engine.eof:
                return None
    except zlib.error:
        return None
    return None if engine.unused_data else b"".join(parts)
