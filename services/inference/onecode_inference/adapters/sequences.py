"""Count reports in numbers that never repeat: the clock gives a start, a file remembers how far it went."""

import logging
import threading
from pathlib import Path

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_common.files import write_file

_log = logging.getLogger(__name__)
_BLOCK = 10_000


class SequenceFile:
    """Reserves numbers in blocks, on disk, before the first of a block is used.

    Args:
        path: The file; lost, the clock alone keeps the numbers growing.
        clock: Its milliseconds are the least number.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._next = max(self._reserved() + 1, int(clock.now().timestamp() * 1000))
        self._ceiling = 0

    def next(self) -> int:
        """Return a number larger than all before."""
        with self._lock:
            if self._next > self._ceiling:
                self._ceiling = self._next + _BLOCK
                self._reserve()
            number = self._next
            self._next += 1
            return number

    def _reserve(self) -> None:
        try:
            write_file(self._path, str(self._ceiling).encode(), mode=0o600)
        except OnecodeError as error:
            # The clock alone keeps numbers growing, unless it is set back by more than this process ran.
            _log.warning("report numbers cannot be reserved: %s", error.message)

    def _reserved(self) -> int:
        try:
            return int(self._path.read_text())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError):
            _log.warning("%s cannot be read: numbers go on from the clock", self._path)
            return 0
