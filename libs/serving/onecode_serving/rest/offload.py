"""Do slow work beside the event loop, and go on there when it is done."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from onecode_common.errors import OnecodeError

T = TypeVar("T")

INLINE_BYTES = 64 << 10
"""Bodies up to here are read, packed and unpacked on the loop: handing over costs more."""


class Offload:
    """Runs work in threads.

    Args:
        pool: Where.
        from_thread: Calls back on the loop's thread.
    """

    def __init__(self, pool: Executor, from_thread: Callable[[Callable[[], None]], None]) -> None:
        self._pool = pool
        self._from_thread = from_thread

    def run(self, work: Callable[[], T], done: Callable[[T | OnecodeError], None]) -> None:
        """Do ``work`` in a thread and tell ``done`` on the loop's thread what it returned or refused."""

        def told() -> None:
            result = attempted(work)
            self._from_thread(lambda: done(result))

        self._pool.submit(told)


def attempted(work: Callable[[], T]) -> T | OnecodeError:
    """Return what the work returns, or the error that it raises."""
    try:
        return work()
    except OnecodeError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the outermost frame of this thread; the loop tells the caller
        failure = OnecodeError("the server met a fault of its own; it is in its log", code="http.fault")
        failure.__cause__ = error
        return failure
