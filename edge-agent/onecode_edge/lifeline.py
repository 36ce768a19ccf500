"""End with the supervisor, however it ends: a death signal from the kernel, and a pipe that runs dry."""

import ctypes
import os
import signal
import sys
import threading

_SET_DEATH_SIGNAL = 1
_ORPHANED = 3


def tie(parent: int, lifeline: int) -> None:
    """Make this process end when its parent does.

    Args:
        parent: Process id of the supervisor, as it knew itself: it may be gone already.
        lifeline: Read end of a pipe whose write end only the supervisor has.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_ORPHANED)
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()


def _watch(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(_ORPHANED)
