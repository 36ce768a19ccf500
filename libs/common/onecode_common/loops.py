"""Repeat a step in a thread: at once when woken, now and then in any case, and never die of one failure."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_AFTER_FAILURE_S = 1.0


class Loop:
    """Calls ``turn(stopping)`` again and again.

    Args:
        name: For logs and the thread.
        turn: One step; it returns True when there is more to do at once.
        idle_s: Seconds to wait otherwise; :meth:`wake` ends the wait.
    """

    def __init__(self, name: str, turn: Callable[[threading.Event], bool], *, idle_s: float) -> None:
        self.name = name
        self._turn = turn
        self._idle_s = idle_s
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"loop-{name}", daemon=True)

    def start(self) -> None:
        """Begin to turn."""
        self._thread.start()

    def stop(self) -> None:
        """Wait until the present turn has ended."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def wake(self) -> None:
        """End the present wait."""
        self._wake.set()

    def ready(self) -> str | None:
        """Return why the loop does not turn, or None."""
        return None if self._thread.is_alive() else f"loop {self.name} has ended"

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = self._idle_s
            try:
                if self._turn(self._stopping):
                    wait = 0.0
            except Exception:  # noqa: BLE001 - the outermost loop: one failed turn must not end the service.
                _log.exception("loop %s: a turn failed, trying again", self.name)
                wait = max(_AFTER_FAILURE_S, self._idle_s)
            if wait:
                self._wake.wait(wait)
            self._wake.clear()
