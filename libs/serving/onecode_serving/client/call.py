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


class Flow(Protocol):
    """Who is told, beside the outcome, how a stream goes on."""

    def piece(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        ...

    def moved(self) -> None:
        """Learn that the server gave credit: less may wait to be sent."""
        ...


class Call:
    """One call.

    Attributes:
        block: Encoded request headers.
        message: Body with its gRPC prefix; of a stream, what was sent before it began.
        flow: Who is told of the parts of a stream; None for a unary call.
        ending: Nothing more is sent on a stream that has not begun.
        deadline: Monotonic seconds.
        outcome: Who is told.
        stream: Number on the connection; 0 while it waits.
        chunks: What DATA brought so far.
        headers: The last header list.
        received: Bytes of DATA that no credit was given for.
    """

    __slots__ = (
        "block", "chunks", "deadline", "ending", "flow", "headers", "message", "outcome", "received", "stream",
    )  # fmt: skip

    def __init__(
        self, block: bytes, message: bytes, deadline: float, outcome: Outcome, flow: Flow | None = None
    ) -> None:
        self.block = block
        self.message = message
        self.deadline = deadline
        self.outcome = outcome
        self.flow = flow
        self.ending = False
        self.stream = 0
        self.chunks: list[bytes] = []
        self.headers: Headers = []
        self.received = 0
