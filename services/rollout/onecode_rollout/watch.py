"""Let callers wait for changes of a rollout: a look at the record's version now and then, no state of its own."""

import threading
from collections.abc import Callable, Iterator

from onecode_common.errors import ExhaustedError
from onecode_rollout.domain.states import TERMINAL
from onecode_rollout.usecases.rollouts import Rollouts
from onecode_rollout.usecases.views import RolloutView

_LOOK_S = 0.5
_REFRESH_LOOKS = 4
_MAX_WATCHERS = 12
"""Each holds a thread of the server; half of them stay free for other calls."""


class Watch:
    """Streams of views."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts
        self._places = threading.BoundedSemaphore(_MAX_WATCHERS)
        self._stopping = threading.Event()

    def close(self) -> None:
        """End all streams."""
        self._stopping.set()

    def views(self, rollout_id: str, active: Callable[[], bool]) -> Iterator[RolloutView]:
        """Yield the view now, after each change of state, and every two seconds for the evidence.

        Raises:
            NotFoundError: There is no such rollout.
            ExhaustedError: Too many watch already.
        """
        if not self._places.acquire(blocking=False):
            raise ExhaustedError(f"{_MAX_WATCHERS} callers watch already: ask again now and then", code="watch.full")
        try:
            yield from self._changes(rollout_id, active)
        finally:
            self._places.release()

    def _changes(self, rollout_id: str, active: Callable[[], bool]) -> Iterator[RolloutView]:
        seen, looks = -1, 0
        while active() and not self._stopping.is_set():
            version = self._rollouts.version_of(rollout_id)
            if version != seen or looks % _REFRESH_LOOKS == 0:
                seen = version
                found = self._rollouts.get(rollout_id)
                yield found
                if found.rollout.state in TERMINAL:
                    return
            looks += 1
            self._stopping.wait(_LOOK_S)
