"""Tell a servicer who is asking, without passing it through every signature."""

from contextvars import ContextVar
from dataclasses import dataclass

from onecode_common.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        service: The service that sent the call, proven by its own key.
        principal: The person or key it acts for, proven by the console's key; ``service:<name>`` without one.
    """

    service: str
    principal: str


_current: ContextVar[Caller | None] = ContextVar("onecode_caller", default=None)


def current_caller() -> Caller:
    """Return who sent the call that is being answered.

    Raises:
        UnauthenticatedError: No call is being answered.
    """
    caller = _current.get()
    if caller is None:
        message = "no authenticated call is being answered"
        raise UnauthenticatedError(message)
    return caller


def set_caller(caller: Caller) -> None:
    """Set who asks, for the rest of this thread's call; only the server's interceptor does."""
    _current.set(caller)
