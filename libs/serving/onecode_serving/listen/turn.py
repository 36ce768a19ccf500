"""Write each connection once, after everything that one turn of the loop has answered."""

from collections.abc import Callable
from typing import Protocol


class Flushed(Protocol):
    """A connection that has something to write."""

    def flush(self) -> None:
        """Write it; never raises."""
        ...


class Turn:
    """The connections that were touched since the last write.

    Args:
        call_soon: Of the loop; makes sure of an end also where nobody calls :meth:`end`.
    """

    __slots__ = ("_call_soon", "_scheduled", "_touched")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._scheduled = False
        self._touched: list[Flushed] = []

    def add(self, connection: Flushed) -> None:
        """Have a connection written at the end; it takes care not to be here twice."""
        self._touched.append(connection)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._late)

    def end(self) -> None:
        """Write all of them now; the data plane calls it when a flush is over."""
        touched = self._touched
        if touched:
            self._touched = []
            for connection in touched:
                connection.flush()

    def _late(self) -> None:
        self._scheduled = False
        self.end()
