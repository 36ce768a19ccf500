"""Say what a call is to whoever answers it, whatever carries it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant

if TYPE_CHECKING:
    from onecode_serving.oip.service import OipService

HEALTH, READ, INFER, ADMIN = "health", "read", "infer", "admin"
"""The rights that methods need; the first is everybody's."""


class Caller(Protocol):
    """Who calls, and what the call's headers say."""

    @property
    def grant(self) -> Grant | None:
        """What the caller may do; None for methods that are everybody's."""
        ...

    @property
    def unit(self) -> str | None:
        """What the call wants to be assigned by."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """The call's own metadata, names in lower case."""
        ...


class Call(Caller, Protocol):
    """A call with one answer; its deadline is monotonic seconds."""

    deadline: float

    def reply(self, message: bytes) -> None:
        """Answer, later, with a serialized message."""
        ...

    def fail(self, error: OnecodeError) -> None:
        """Answer, later, with an error."""
        ...

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back if the caller goes away before it is answered."""
        ...


class StreamCall(Caller, Protocol):
    """A call with any number of messages in and out."""

    def admitted(self, now: float) -> Grant | None:
        """Return what the caller may do now, because the grant of the beginning has come to its end.

        Raises:
            UnauthenticatedError: It is nobody any more.
        """
        ...

    def send(self, message: bytes) -> None:
        """Answer with one more serialized message."""
        ...

    def finish(self, error: OnecodeError | None = None) -> None:
        """End the call, well or with an error."""
        ...

    def pending(self) -> int:
        """Return the bytes that wait for the caller to take them."""
        ...

    def pause(self) -> None:
        """Let the caller send no more than its window allows; messages that are here already still come."""
        ...

    def unpause(self) -> None:
        """Let the caller send again."""
        ...


class Stream(Protocol):
    """What answers a streaming call."""

    def message(self, body: bytes) -> None:
        """Take one serialized message."""
        ...

    def half_close(self) -> None:
        """Take note that no more come."""
        ...

    def cancelled(self) -> None:
        """Take note that nobody waits any more."""
        ...

    def resume(self) -> None:
        """Take note that the caller has taken most of what was sent."""
        ...


Answer = Callable[["OipService", bytes, Call], bytes | None]
"""Returns the serialized answer, or None if the call is answered later."""

Opener = Callable[["OipService", StreamCall], Stream]
"""Returns what answers a stream."""


@dataclass(frozen=True, slots=True)
class Method:
    """One remote procedure.

    Attributes:
        path: As callers name it.
        verb: The right that it needs.
        limit_s: Longest deadline; None for the usual one.
        answer: For calls with one message each way.
        stream: For the others.
    """

    path: bytes
    verb: str
    limit_s: float | None = None
    answer: Answer | None = None
    stream: Opener | None = None

    @property
    def streaming(self) -> bool:
        """Whether messages are passed on one by one."""
        return self.stream is not None
