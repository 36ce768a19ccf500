"""Hold one call between whoever makes it and the connection that carries it."""

from typing import Protocol

from onecode_common.errors import OnecodeError
from onecode_serving.http2.headers import Headers


class Outcome(Protocol):
    """Who is told how a call ended, exactly once, unless the call was cancelled before."""

    def answered(self, headers: Headers, body: bytes) -> None:
        """Take the last header list (trailers, or the only one) and everything that DATA brought."""
        ...

    def again(self) -> None:
        """Learn that the server has not looked at the call: it may be made on another connection."""
        ...

    def failed(self, error: OnecodeError) -> None:
        """Learn that there will be no answer."""
        ...


class Call:
    """One unary call.

    Attributes:
        block: Encoded request headers.
        message: Body with its gRPC prefix.
        deadline: Monotonic seconds.
        outcome: Who is told.
        stream: Number on the connection; 0 while it waits.
        chunks: What DATA brought so far.
        headers: The last header list.
        received: Bytes of DATA that no credit was given for.
    """

    __slots__ = ("block", "chunks", "deadline", "headers", "message", "outcome", "received", "stream")

    def __init__(self, block: bytes, message: bytes, deadline: float, outcome: Outcome) -> None:
        self.block = block
        self.message = message
        self.deadline = deadline
        self.outcome = outcome
        self.stream = 0
        self.chunks: list[bytes] = []
        self.headers: Headers = []
        self.received = 0
