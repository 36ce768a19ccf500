"""Write refusals as stock clients read them: a status and ``{"error": …}``."""

import math
from collections.abc import Mapping

import orjson

from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_serving.http1.answers import Answer

_BY_KIND: Mapping[str, int] = {
    OnecodeError.kind: 500,
    InvalidError.kind: 400,
    UnauthenticatedError.kind: 401,
    DeniedError.kind: 403,
    NotFoundError.kind: 404,
    ConflictError.kind: 400,
    PreconditionError.kind: 400,
    ExhaustedError.kind: 429,
    UnavailableError.kind: 503,
}
_BY_CODE: Mapping[str, int] = {
    "deadline.exceeded": 504,
    "cancelled": 499,
    "rpc.unimplemented": 501,
    "message.too_large": 413,
    "body.encoding": 415,
    "http.405": 405,
}
REASONS: Mapping[int, str] = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests", 499: "Client Closed Request",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


def status_of(error: OnecodeError) -> int:
    """Return the HTTP status of a refusal."""
    return _BY_CODE.get(error.code) or _BY_KIND.get(error.kind, 500)


def error_answer(error: OnecodeError) -> Answer:
    """Return the answer: ``error`` is what stock clients read, the other members are for programs."""
    status = status_of(error)
    document: dict[str, object] = {"error": _plain(error.message), "code": error.code}
    if error.hint:
        document["detail"] = _plain(error.hint)
    if "field" in error.params:
        document["field"] = _plain(error.params["field"])
    if error.params:
        document["params"] = {name: _plain(value) for name, value in error.params.items()}
    body = orjson.dumps(document)
    fields = "".join(f"{name}: {value}\r\n" for name, value in _fields(error, status).items())
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n{fields}"
    return Answer(f"{head}Content-Length: {len(body)}\r\n".encode("latin-1"), body)


def _fields(error: OnecodeError, status: int) -> dict[str, str]:
    fields: dict[str, str] = {}
    if status == 401:  # noqa: PLR2004 - HTTP's number
        fields["WWW-Authenticate"] = "Bearer"
    if status == 405:  # noqa: PLR2004 - HTTP's number
        fields["Allow"] = error.params["allow"]
    if status in (429, 503):
        wait_ms = error.params.get("retry_after_ms", "")
        known = wait_ms.isascii() and wait_ms.isdigit()
        fields["Retry-After"] = str(max(1, math.ceil(int(wait_ms) / 1000))) if known else "1"
        if known:
            fields["Retry-After-Ms"] = wait_ms
    return fields


def _plain(text: str) -> str:
    """Escape what is echoed, so that a lone surrogate in it cannot break the answer."""
    return text.encode("utf-8", "backslashreplace").decode()
