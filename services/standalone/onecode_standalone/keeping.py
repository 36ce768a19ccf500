"""Hold the supervisor's end of the keeper's pipe, and keep the keeper itself alive."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path


class Keeper:
    """The keeper process of one home; see :mod:`onecode_standalone.keeper`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._sessions: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Its process id, or None."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it; it knows of every session that began and did not end."""
        with self._lock:
            self._start()

    def began(self, session: int) -> None:
        """Tell of a session to end with the supervisor."""
        with self._lock:
            self._sessions.add(session)
            self._tell(f"+{session}")

    def ended(self, session: int) -> None:
        """Tell that a session's leader has ended."""
        with self._lock:
            self._sessions.discard(session)
            self._tell(f"-{session}")

    def check(self) -> None:
        """Start another keeper when this one was killed."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._start()

    def dismiss(self) -> None:
        """End it: nothing is left to be ended."""
        with self._lock:
            self._tell("bye")
            if self._process is not None:
                if self._process.stdin is not None:
                    with suppress(OSError):
                        self._process.stdin.close()
                self._process.wait(timeout=5)
                self._process = None

    def _start(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-S", "-m", "onecode_standalone.keeper", str(self._home)],
            # Without `site` the package is found by its folder alone; without a mark it does not end itself.
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for session in self._sessions:
            self._tell(f"+{session}")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            # A keeper that was killed is replaced at the next check, and told all of this again.
            with suppress(BrokenPipeError, ValueError):
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()
