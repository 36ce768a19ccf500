"""Hold one process of the table: start it, watch it, end it, and remember what became of it.

States: ``waiting`` (for what it needs), ``preparing``, ``starting``, ``ready``, ``unready``, ``backoff`` (died, starts
again soon), ``stopping`` and ``held`` (stopped on purpose).
"""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onecode_common.clock import Clock
from onecode_standalone.backoff import Backoff
from onecode_standalone.keeping import Keeper
from onecode_standalone.logfile import last_lines, open_log, size
from onecode_standalone.table import Entry

STOP_S = 5.0
"""What a process gets to end by itself before it is killed."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: a status, or a signal as a negative number."""

    status: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit status {self.status}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-self.status).name}"
        return f"killed by signal {-self.status}"


class Child:
    """One entry's process, or the lack of one. Not thread-safe: the supervisor's lock guards it."""

    def __init__(self, entry: Entry, log: Path, folder: Path, clock: Clock) -> None:
        self.entry = entry
        self.state = "waiting"
        self.reason = ""
        self.restarts = 0
        self.was_ready = False
        self.last_exit: Exit | None = None
        self.learnt: dict[str, str] = {}
        self._log = log
        self._folder = folder
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff()
        self._began = 0.0
        self._log_from = 0
        self._start_at = 0.0
        self._kill_at = 0.0

    @property
    def name(self) -> str:
        """Name of the entry."""
        return self.entry.name

    @property
    def pid(self) -> int | None:
        """Process id, which is the session id too, or None."""
        return self._process.pid if self._process is not None else None

    @property
    def uptime_s(self) -> float:
        """Seconds since the present process began; 0 without one."""
        return self._clock.monotonic() - self._began if self._process is not None else 0.0

    def last_words(self, count: int = 3) -> list[str]:
        """Return the last lines that the present or last process wrote."""
        return last_lines(self._log, count, self._log_from)

    def due(self) -> bool:
        """Return whether the wait after the last death is over."""
        return self._clock.monotonic() >= self._start_at

    def start(self, keeper: Keeper) -> None:
        """Start the process in a session of its own."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_from = size(self._log)
        with open_log(self._log) as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the table's own programs
                    self.entry.argv,
                    env={**self.entry.environment, **self.learnt},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o077,
                )
            except OSError as error:
                self.died(f"cannot start {self.entry.argv[0]}: {error.strerror}")
                return
        keeper.began(self._process.pid)
        self._began = self._clock.monotonic()
        self.state, self.reason = "starting", ""

    def poll(self, keeper: Keeper) -> bool:
        """Return whether the process has just ended."""
        if self._process is None or self._process.poll() is None:
            return False
        keeper.ended(self._process.pid)
        self.last_exit = Exit(self._process.returncode)
        ran_s = self.uptime_s
        self._process = None
        if self.state == "stopping":
            self.state, self.reason = "held", ""
        else:
            self.died(str(self.last_exit), ran_s)
        return True

    def died(self, reason: str, ran_s: float = 0.0) -> None:
        """Wait for the next start, longer after each death in a row."""
        self._backoff = self._backoff.after_death(ran_s)
        self._start_at = self._clock.monotonic() + self._backoff.delay_s
        self.state, self.reason = "backoff", reason
        self.restarts += 1

    def probed(self, reason: str | None) -> bool:
        """Take the answer of a probe, None for ready; return whether the state changed."""
        before = (self.state, self.reason)
        if self.state in ("starting", "ready", "unready"):
            if reason is None:
                self.state, self.reason, self.was_ready = "ready", "", True
            else:
                self.state, self.reason = ("unready" if self.state != "starting" else "starting"), reason
        return before != (self.state, self.reason)

    def hold(self, limit_s: float = STOP_S) -> None:
        """Ask the process to end and stay down; one that takes longer than the limit is killed by :meth:`press`."""
        if self._process is None:
            self.state, self.reason = "held", ""
            return
        if self.state != "stopping":
            self.state, self.reason = "stopping", ""
            self._kill_at = self._clock.monotonic() + limit_s
            self._signal(signal.SIGTERM)

    def press(self) -> None:
        """Kill the process's session when its time to end is over."""
        if self.state == "stopping" and self._clock.monotonic() >= self._kill_at:
            self._signal(signal.SIGKILL)

    def release(self) -> None:
        """Let a held process start again at once."""
        self.state, self.reason = "waiting", ""
        self._backoff = Backoff()
        self._start_at = 0.0

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self._process.pid, number)
                else:
                    self._process.send_signal(number)
