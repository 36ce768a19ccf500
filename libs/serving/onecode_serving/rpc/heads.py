"""Decide a call by its headers, once for every block of headers that a caller repeats."""

from collections.abc import Mapping, Sequence

from onecode_common.errors import InvalidError, OnecodeError, PreconditionError, UnauthenticatedError
from onecode_serving.access.access import Access
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DEFAULT_DEADLINE_S, LONGEST_DEADLINE_S
from onecode_serving.oip.calls import Method
from onecode_serving.oip.methods import METHODS
from onecode_serving.rpc.framing import PREFIX, require_spoken
from onecode_serving.rpc.status import HEADS, UNIMPLEMENTED_CODE, refused_by_http

_UNITS: Mapping[str, float] = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_DIGITS = 8
_KEPT = 64
"""Metadata entries that are kept for handlers."""

INFER = b"/inference.GRPCInferenceService/ModelInfer"


class Head:
    """What is known of a call before its message: the engine keeps it with the block of headers.

    Attributes:
        streaming: Whether the body is passed on piece by piece.
        max_body: Bytes of a unary body, the prefix included.
        beginning: Bytes of it that say how long it will be.
        cacheable: Whether the same block means the same again.
        infer: Whether this is a prediction that may go the short way.
        method: Whom it calls; None if ``error`` or ``http`` says why it cannot.
        grant: What its caller may do; None for methods that need no credential.
        timeout_s: From arrival.
        refusal: An encoded block for what is no gRPC call.
        error: Why the call is refused whatever its message.
    """

    __slots__ = (
        "authorization",
        "cacheable",
        "encoding",
        "error",
        "grant",
        "infer",
        "max_body",
        "metadata",
        "method",
        "refusal",
        "reply_encoding",
        "streaming",
        "timeout_s",
        "unit",
    )  # fmt: skip

    beginning = PREFIX

    def __init__(self, max_message: int) -> None:
        self.streaming = False
        self.max_body = max_message + PREFIX
        self.cacheable = True
        self.infer = False
        self.method: Method | None = None
        self.grant: Grant | None = None
        self.authorization: str | None = None
        self.timeout_s = DEFAULT_DEADLINE_S
        self.encoding = ""
        self.reply_encoding = ""
        self.unit: str | None = None
        self.metadata: Mapping[str, str] = {}
        self.refusal: bytes | None = None
        self.error: OnecodeError | None = None

    def fits(self, begun: bytes) -> bool:
        """Return whether the message that a body announces is not too large (H9)."""
        return int.from_bytes(begun[1:PREFIX], "big") <= self.max_body - PREFIX


class Heads:
    """Makes heads; one for a connection.

    Args:
        access: Lets in.
        certificate: Name in the caller's verified certificate, if it showed one.
        max_message: Bytes of one message.
    """

    def __init__(self, access: Access, certificate: str | None, max_message: int) -> None:
        self._access = access
        self._certificate = certificate
        self._max_message = max_message

    def head(self, headers: Sequence[tuple[bytes, bytes]], now: float) -> Head:
        """Return the head of a call; a call that is refused has a reason in it instead of a method."""
        head = Head(self._max_message)
        fields = dict(headers)
        if fields.get(b":method") != b"POST":
            head.refusal = refused_by_http(405, "gRPC calls are POST requests")
            return head
        if not fields.get(b"content-type", b"").startswith(b"application/grpc"):
            head.refusal = refused_by_http(415, "the content type of gRPC calls is application/grpc")
            return head
        try:
            self._fill(head, fields, now)
        except OnecodeError as error:
            head.error = error
            # A key that is nobody's now may be somebody's by the next call.
            head.cacheable = not isinstance(error, UnauthenticatedError)
        return head

    def renewed(self, head: Head, now: float) -> Grant:
        """Ask who the caller is, again where its grant is old or the rules changed, and keep the answer.

        Raises:
            UnauthenticatedError: It is nobody any more.
        """
        grant = head.grant = self._access.admit(head.authorization, self._certificate, now)
        return grant

    def _fill(self, head: Head, fields: Mapping[bytes, bytes], now: float) -> None:
        path = fields.get(b":path", b"")
        method = METHODS.get(path)
        if method is None:
            message = f"there is no method {path.decode('ascii', 'replace')[:120]!r} here"
            raise PreconditionError(message, code=UNIMPLEMENTED_CODE)
        head.streaming = method.streaming
        head.encoding = fields.get(b"grpc-encoding", b"").decode("ascii", "replace")
        if method.verb != "health":
            head.authorization = _text(fields.get(b"authorization"))
            self.renewed(head, now)
        require_spoken(head.encoding)
        accepted = fields.get(b"grpc-accept-encoding", b"").replace(b" ", b"").split(b",")
        accepts = head.encoding in HEADS and head.encoding.encode() in accepted
        head.reply_encoding = head.encoding if accepts else ""
        cap = method.limit_s if method.limit_s is not None else LONGEST_DEADLINE_S
        given = timeout_s(fields.get(b"grpc-timeout"))
        default = cap if method.streaming else min(DEFAULT_DEADLINE_S, cap)
        head.timeout_s = min(given, cap) if given is not None else default
        head.unit = _text(fields.get(b"x-onecode-unit"))
        plain = [(name, value) for name, value in fields.items() if not name.startswith((b":", b"grpc-"))]
        head.metadata = {
            name.decode("ascii", "replace"): value.decode("utf-8", "replace")
            for name, value in plain[:_KEPT]
            if name != b"authorization"
        }
        head.method = method
        head.infer = path == INFER and head.encoding in ("", "identity")


def timeout_s(text: bytes | None) -> float | None:
    """Return the seconds of a ``grpc-timeout``; None without one.

    Raises:
        InvalidError: It is not one to eight digits and a unit.
    """
    if text is None:
        return None
    written = text.decode("ascii", "replace")
    digits, unit = written[:-1], written[-1:]
    if unit not in _UNITS or not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS:
        message = f"grpc-timeout: expected one to eight digits and one of H M S m u n, got {written[:40]!r}"
        raise InvalidError(message, code="timeout.invalid", params={"field": "grpc-timeout"})
    return int(digits) * _UNITS[unit]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
