"""Give each of our errors its gRPC status, and write it as the one block that ends a call."""

from collections.abc import Mapping
from functools import lru_cache

from onecode_common.errors import KINDS, OnecodeError
from onecode_serving.execution.job import DEADLINE
from onecode_serving.http2 import encode_block

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = range(7)
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 7, 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16

UNIMPLEMENTED_CODE = "rpc.unimplemented"
CANCELLED_CODE = "cancelled"
MESSAGE_FLAG_CODE = "rpc.compression"

_BY_KIND: Mapping[str, int] = {
    "internal": INTERNAL,
    "invalid": INVALID_ARGUMENT,
    "unauthenticated": UNAUTHENTICATED,
    "denied": PERMISSION_DENIED,
    "not_found": NOT_FOUND,
    "conflict": ALREADY_EXISTS,
    "precondition": FAILED_PRECONDITION,
    "exhausted": RESOURCE_EXHAUSTED,
    "unavailable": UNAVAILABLE,
}
_BY_CODE: Mapping[str, int] = {
    DEADLINE: DEADLINE_EXCEEDED,
    UNIMPLEMENTED_CODE: UNIMPLEMENTED,
    CANCELLED_CODE: CANCELLED,
    MESSAGE_FLAG_CODE: INTERNAL,
}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
_REFUSALS = 128
_LONGEST = 1024
"""Bytes of a message on the wire; a client's header list is limited too."""

HEAD = encode_block([(":status", "200"), ("content-type", "application/grpc")])
"""The header block of every answer."""

HEADS: Mapping[str, bytes] = {
    "": HEAD,
    **{
        name: encode_block([(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", name)])
        for name in ("gzip", "deflate")
    },
}
"""The header block by the encoding of the answer's messages."""

DONE = encode_block([("grpc-status", "0")])
"""The trailer block of every good answer."""

ENCODINGS = "identity, gzip, deflate"


def status_of(error: OnecodeError) -> int:
    """Return the gRPC status of an error."""
    return _BY_CODE.get(error.code, _BY_KIND.get(error.kind, UNKNOWN))


def percent_encoded(text: str) -> str:
    """Return the text as ``grpc-message`` carries it: UTF-8, percent-encoded outside printable ASCII."""
    plain = text.encode("utf-8", "backslashreplace")[:_LONGEST]
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in plain)


def trailers_of(error: OnecodeError) -> list[tuple[str, str]]:
    """Return the trailers of a call that failed; ``onecode-code`` names the error for programs."""
    trailers = [
        ("grpc-status", str(status_of(error))),
        ("grpc-message", percent_encoded(error.message)),
        ("onecode-code", percent_encoded(error.code)),
    ]
    if error.code == UNIMPLEMENTED_CODE:
        trailers.append(("grpc-accept-encoding", ENCODINGS))
    retry = error.params.get("retry_after_ms")
    if retry is not None:
        trailers.append(("retry-after-ms", retry))
    return trailers


def failed(error: OnecodeError) -> bytes:
    """Return the only block of an answer that is an error (Trailers-Only).

    The same refusal is written once: a server that has too much to do refuses more than it answers.
    """
    return _failed(error.kind, error.code, error.message, error.params.get("retry_after_ms"))


@lru_cache(_REFUSALS)
def _failed(kind: str, code: str, message: str, retry: str | None) -> bytes:
    error = KINDS[kind](message, code=code, params={} if retry is None else {"retry_after_ms": retry})
    return encode_block([(":status", "200"), ("content-type", "application/grpc"), *trailers_of(error)])


def ended(error: OnecodeError) -> bytes:
    """Return the trailer block of a stream that had answers before its error."""
    return encode_block(trailers_of(error))


def refused_by_http(status: int, text: str) -> bytes:
    """Return the only block of an answer to what is not a gRPC call."""
    more = [("allow", "POST")] if status == 405 else []  # noqa: PLR2004 - HTTP's number
    return encode_block([(":status", str(status)), *more, ("x-onecode-error", percent_encoded(text))])
