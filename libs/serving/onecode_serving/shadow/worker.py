"""Run shadows in a thread of their own, so that one that never comes back takes nothing from anybody.

Neither the event loop nor a thread of the pool waits for a candidate that nobody needs an answer from.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from onecode_serving.loading import BEHIND, step_back

_log = logging.getLogger(__name__)
_PATIENCE_S = 1.0


class Worker:
    """One thread that does one thing at a time; it begins with the first and ends with the process or :meth:`stop`."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], None]) -> None:
        """Do this after what is there already."""
        if self._thread is None:
            # A process that ends does not wait for a model that does not.
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()
        self._work.put(work)

    def stop(self) -> None:
        """Let the run that is under way end, for a second at most."""
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        step_back(BEHIND)
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:  # noqa: BLE001 - the thread goes on; who waits for the work was told in its own words
                _log.exception("a shadow run met a fault of the server's own")
