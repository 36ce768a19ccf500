"""Tell whoever answers a request who sent it, without passing it through every signature."""

from contextvars import ContextVar

from onecode_common.errors import UnauthenticatedError
from onecode_console.usecases import Visitor

_current: ContextVar[Visitor | None] = ContextVar("onecode_console_visitor", default=None)


def set_visitor(visitor: Visitor | None) -> None:
    """Set who sends the request that is being answered; only the gate does."""
    _current.set(visitor)


def visitor_or_none() -> Visitor | None:
    """Return who sent the request, or None where none was needed."""
    return _current.get()


def current_visitor() -> Visitor:
    """Return who sent the request that is being answered.

    Raises:
        UnauthenticatedError: Nobody proved to have.
    """
    visitor = _current.get()
    if visitor is None:
        message = "this needs a signed-in visitor"
        raise UnauthenticatedError(message, code="auth.missing")
    return visitor


def current_subject() -> str:
    """Return the name of the visitor, or nothing outside of a request."""
    visitor = _current.get()
    return "" if visitor is None else visitor.subject
