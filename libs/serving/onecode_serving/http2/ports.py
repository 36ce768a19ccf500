"""Say what the HTTP/2 engine needs from the application above it."""

from typing import Protocol


class Route(Protocol):
    """What the application made of a request's header list; the engine asks for each of it once.

    Attributes:
        streaming: True: the body goes to :meth:`App.piece`. False: the engine collects it and calls
            :meth:`App.whole` once.
        max_body: Bytes of a unary body; more: :meth:`App.too_large`.
        beginning: Bytes of a unary body that say how long it will be; 0: none do.
        cacheable: The same block of bytes means the same route for as long as the connection lives.
    """

    @property
    def streaming(self) -> bool:
        """Hand the body over in pieces."""
        ...

    @property
    def max_body(self) -> int:
        """Bytes."""
        ...

    @property
    def beginning(self) -> int:
        """Bytes."""
        ...

    @property
    def cacheable(self) -> bool:
        """The block alone decides."""
        ...

    def fits(self, begun: bytes) -> bool:
        """Return whether a body that begins so is not too long; asked when :attr:`beginning` bytes or more came."""
        ...


class App(Protocol):
    """The application. All calls come from inside ``receive``, ``take``, ``tick`` or ``lost`` of the engine.

    It may call ``send`` and ``reset`` from inside any of them. A stream is *known* to it from :meth:`whole`,
    :meth:`opened` or :meth:`too_large` on, until it has sent the end of its answer or has heard :meth:`gone`.
    """

    def head(self, headers: list[tuple[bytes, bytes]]) -> Route:
        """Return the route of a well-formed header list, pseudo-headers first, names in lower case."""
        ...

    def carrying(self, route: Route, traceparent: bytes) -> Route:
        """Return the route of a list that differs in this traceparent only from the one that made ``route``.

        It must be of the same bounds; the value has the form that the W3C's recommendation gives it.
        """
        ...

    def whole(self, stream: int, route: Route, body: bytes) -> None:
        """Take a complete unary request; called once."""
        ...

    def opened(self, stream: int, route: Route) -> None:
        """Take the start of a streaming request."""
        ...

    def piece(self, stream: int, data: bytes) -> None:
        """Take the next bytes of a streaming request, without padding, never empty."""
        ...

    def ended(self, stream: int) -> None:
        """The streaming request is complete (half close)."""
        ...

    def too_large(self, stream: int, route: Route) -> None:
        """Answer a unary request that is longer than its route allows; nothing of it is kept."""
        ...

    def gone(self, stream: int) -> None:
        """Forget a known stream: it was reset, timed out, or its connection is lost."""
        ...

    def writable(self, stream: int) -> None:
        """The bytes waiting on a stream fell below low water after they had been above high water."""
        ...
