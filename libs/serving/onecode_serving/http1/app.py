"""Say what the engine needs of the program behind it."""

from typing import Protocol, TypeVar

from onecode_serving.http1.answers import Answer
from onecode_serving.http1.head import Head


class Routed(Protocol):
    """What the app made of a head; the engine looks at its bound only."""

    @property
    def max_body(self) -> int:
        """Bytes that the engine keeps of a body."""
        ...


Route = TypeVar("Route", bound=Routed)


class App(Protocol[Route]):
    """What answers; every call but :meth:`head` may answer at once by :meth:`Http1Engine.answer`."""

    def head(self, head: Head) -> Route:
        """Return the route of a head; called once while the head is remembered, so it must not depend on the time."""
        ...

    def carrying(self, route: Route, traceparent: bytes) -> Route:
        """Return the route of a head that differs in this traceparent only from the one that made ``route``."""
        ...

    def begin(self, route: Route) -> Answer | None:
        """Return the refusal of a request whose body is still to come, before a byte of it is kept; None to go on."""
        ...

    def too_large(self, route: Route) -> Answer:
        """Return the refusal of a body beyond the route's limit."""
        ...

    def whole(self, key: int, route: Route, body: bytes) -> None:
        """Take a complete request; one is in hand at a time."""
        ...

    def gone(self, key: int) -> None:
        """Forget the request in hand: nobody waits for its answer any more."""
        ...

    def wrote(self) -> None:
        """Learn that there are bytes to take, outside of :meth:`Http1Engine.receive`."""
        ...
