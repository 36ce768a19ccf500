"""Copy what the processes write into their logs to stdout, where a container's logs are looked for."""

import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_LOOK_S = 0.5
_PIECE = 1 << 20


class Echo:
    """Follows the logs from their present end, each line behind the name of its process.

    Args:
        logs: Log file of each process; it may be missing, emptied or set aside at any time.
    """

    def __init__(self, logs: Mapping[str, Path]) -> None:
        self._logs = dict(logs)
        self._places = {name: path.stat().st_size if path.exists() else 0 for name, path in logs.items()}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Copy what is there and end."""
        self._ending.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_S):
            self._turn()
        self._turn()

    def _turn(self) -> None:
        for name, path in self._logs.items():
            with suppress(OSError):
                self._copy(name, path)
        sys.stdout.flush()

    def _copy(self, name: str, path: Path) -> None:
        place = self._places[name]
        # A log that is shorter than it was has been emptied or begun anew.
        if path.stat().st_size < place:
            place = 0
        with path.open("rb") as file:
            file.seek(place)
            piece = file.read(_PIECE)
        end = piece.rfind(b"\n") + 1 or (_PIECE if len(piece) == _PIECE else 0)
        for line in piece[:end].decode(errors="replace").splitlines():
            sys.stdout.write(f"{name}: {line}\n")
        self._places[name] = place + end
