"""Turn the trailers of a call that failed into our error: the way back of the server's mapping."""

from collections.abc import Mapping
from urllib.parse import unquote

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
from onecode_serving.http2.frames import CANCEL, ENHANCE_YOUR_CALM
from onecode_serving.http2.headers import Headers

OK = b"0"
_KINDS: Mapping[bytes, type[OnecodeError]] = {
    b"1": UnavailableError,
    b"3": InvalidError,
    b"4": UnavailableError,
    b"5": NotFoundError,
    b"6": ConflictError,
    b"7": DeniedError,
    b"8": ExhaustedError,
    b"9": PreconditionError,
    b"10": ConflictError,
    b"11": InvalidError,
    b"12": PreconditionError,
    b"14": UnavailableError,
    b"16": UnauthenticatedError,
}
_CODES: Mapping[bytes, str] = {b"1": "cancelled", b"4": "deadline.exceeded"}


def status_of(headers: Headers) -> bytes:
    """Return the text of ``grpc-status``; empty if there is none."""
    return next((value for name, value in headers if name == b"grpc-status"), b"")


def refusal(headers: Headers) -> OnecodeError:
    """Return the error of trailers, or of an answer that is not gRPC's."""
    known = dict(headers)
    status = known.get(b"grpc-status")
    if status is None:
        http = known.get(b":status", b"?").decode("ascii", "replace")
        return OnecodeError(f"the server answered HTTP {http} without a gRPC status", code=f"http.{http}")
    text = unquote(known.get(b"grpc-message", b"").decode("utf-8", "replace"))
    code = unquote(known.get(b"onecode-code", b"").decode("ascii", "replace")) or _CODES.get(status, "")
    retry = known.get(b"retry-after-ms")
    params = {"retry_after_ms": retry.decode("ascii", "replace")} if retry else {}
    number = status.decode("ascii", "replace")
    return _KINDS.get(status, OnecodeError)(
        text or f"gRPC status {number}", code=code or f"grpc.{number}", params=params
    )


def reset_error(number: int) -> OnecodeError:
    """Return the error of a call that the server reset with this code of HTTP/2."""
    if number == ENHANCE_YOUR_CALM:
        return ExhaustedError("the server wants fewer calls: slow down", code="client.calm")
    if number == CANCEL:
        return UnavailableError("the server cancelled the call", code="cancelled")
    return UnavailableError(f"the server reset the call with code {number}", code="http2.fault")
