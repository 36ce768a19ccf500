"""Keep what a request's head says, so that an equal head is understood once."""

from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DEFAULT_DEADLINE_S, LONGEST_DEADLINE_S
from onecode_serving.http1.head import Head
from onecode_serving.rest.body import HEADER_LENGTH, header_length
from onecode_serving.rest.encoding import accepted_encoding, check_encoding
from onecode_serving.rest.paths import Endpoint, endpoint_of, not_allowed

_MAX_DIGITS = 9


class RestRoute:
    """What one head asks for.

    Attributes:
        endpoint: What; None where nothing is.
        refusal: Why the head itself is refused, after the caller was let in; None if it is not.
        authorization: The credential that was shown, None without one.
        grant: What its caller may do, as long as that is good; None before it was asked.
        max_body: Bytes of the body, before and after decompression.
        json_length: Bytes of the JSON before the tensors, None where all is JSON.
        encoding: Of the body: ``gzip``, ``deflate`` or empty.
        accepts: The encoding to answer in, or empty.
        unit: What the caller wants to be assigned by, None if nothing.
        limit_s: Within which the caller wants its answer.
        reads: GET or HEAD.
        infer: It is an inference.
        model: Of it.
        version: Of it, as the caller names it; empty for none.
        verb: The right that it needs.
    """

    __slots__ = (
        "accepts", "authorization", "encoding", "endpoint", "grant", "infer", "json_length", "limit_s", "max_body",
        "model", "reads", "refusal", "unit", "verb", "version",
    )  # fmt: skip

    def __init__(self, head: Head, max_body: int) -> None:
        fields = head.fields
        self.max_body = max_body
        self.authorization = fields.get("authorization")
        self.grant: Grant | None = None
        self.reads = head.method in ("GET", "HEAD")
        self.accepts = accepted_encoding(fields.get("accept-encoding", ""))
        self.endpoint: Endpoint | None = None
        self.refusal: OnecodeError | None = None
        self.encoding = ""
        self.json_length: int | None = None
        self.unit: str | None = None
        self.limit_s = DEFAULT_DEADLINE_S
        try:
            self.endpoint = endpoint_of(head.target)
            if head.method not in self.endpoint.methods:
                raise not_allowed(head.method, self.endpoint)
            self.encoding = check_encoding(fields.get("content-encoding", ""))
            self.json_length = header_length(fields.get(HEADER_LENGTH))
            self.limit_s = _seconds(fields.get("x-onecode-timeout-ms"))
            self.unit = _unit(fields.get("x-onecode-unit"))
        except OnecodeError as error:
            self.refusal = error
        endpoint = self.endpoint
        self.infer = endpoint is not None and endpoint.what == "infer"
        self.model = "" if endpoint is None else endpoint.model
        self.version = "" if endpoint is None else endpoint.version
        self.verb = "read" if endpoint is None else endpoint.verb
        if self.reads and self.verb == "admin":
            # What can be read and set needs the higher right for setting only.
            self.verb = "read"


def _seconds(milliseconds: str | None) -> float:
    if milliseconds is None:
        return DEFAULT_DEADLINE_S
    if not (milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= _MAX_DIGITS):
        message = f"X-OneCode-Timeout-Ms: expected a whole number of milliseconds, got {milliseconds[:40]!r}"
        raise InvalidError(message, code="timeout.invalid", params={"field": "x-onecode-timeout-ms"})
    return min(int(milliseconds) / 1000, LONGEST_DEADLINE_S)


def _unit(value: str | None) -> str | None:
    """Return the unit; fields are Latin-1 by their grammar, units are UTF-8."""
    return None if value is None else value.encode("latin-1").decode("utf-8", "replace")
