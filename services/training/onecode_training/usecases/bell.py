"""Let threads wait for "something changed" without missing a change between look and wait."""

import threading
from collections.abc import Callable


class Bell:
    """Counts rings; whoever knows the count before it looked can wait for the next one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._listeners: list[Callable[[], None]] = []
        self.count = 0

    def also(self, listener: Callable[[], None]) -> None:
        """Call this, too, at each ring."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self.count += 1
            self._condition.notify_all()
        for listener in self._listeners:
            listener()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Return at the first ring after the count ``heard``, or after the time."""
        with self._condition:
            self._condition.wait_for(lambda: self.count != heard, timeout_s)
