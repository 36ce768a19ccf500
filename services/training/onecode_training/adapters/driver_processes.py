"""Start drivers as processes of their own session, find them again after a restart, and leave none behind.

A driver holds a lock on a file in its run's folder for as long as it lives, whoever started it. That, and no process
id, says whether a run is being worked on: two drivers cannot work on one run, and a killed service finds its
drivers again.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from onecode_common.errors import ConflictError
from onecode_common.files import storage_error, write_file
from onecode_training.domain.job import JOB_FILE, LOCK_FILE, RAY_NOTE, Job, spool_file

_MARK = "ONECODE_RUN_FOLDER"
"""Variable with the run's folder; the driver and most of what it starts carry it."""
_OWN_SETTINGS = "ONECODE_TRAINING_"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_KILL_LIMIT_S = 5.0
_PROC = Path("/proc")


class DriverProcesses:
    """See :class:`onecode_training.ports.Drivers`.

    Args:
        home: Folder of the service; runs lie below it.
        token_file: Token without which a run's Ray refuses everybody.
    """

    def __init__(self, home: Path, token_file: Path) -> None:
        self._runs = home.absolute() / "runs"
        self._runs.mkdir(parents=True, exist_ok=True)
        self._token_file = token_file
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, job: Job) -> int:
        """End what is left of earlier attempts, start a driver and return its process id.

        Raises:
            ConflictError: A driver works on the run.
            ExhaustedError: The disk is full.
        """
        folder = self._folder(job.run_id)
        self.clear(job.run_id, 0)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_error(error, folder) from error
        try:
            if not _take(handle):
                message = f"a driver works on run {job.run_id}"
                raise ConflictError(message, code="run.driver_alive", params={"run_id": job.run_id})
            write_file(folder / JOB_FILE, job.document())
            return self._spawn(folder, job, handle)
        finally:
            # The driver has its own copy of the locked file: from now on the lock lives as long as the driver.
            os.close(handle)

    def alive(self, run_id: str) -> bool:
        """Return whether a driver works on the run."""
        self._reap()
        try:
            handle = os.open(self._folder(run_id) / LOCK_FILE, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _take(handle)
        finally:
            os.close(handle)

    def ask_to_stop(self, run_id: str, driver: int) -> None:
        """Ask the driver to end."""
        if driver and _marked(driver, self._folder(run_id)):
            with suppress(ProcessLookupError):
                os.kill(driver, signal.SIGTERM)

    def clear(self, run_id: str, driver: int) -> None:
        """End the driver and everything that it started, and remove its Ray's folder."""
        folder = self._folder(run_id)
        end = time.monotonic() + _KILL_LIMIT_S
        while (members := _family(driver, folder)) and time.monotonic() < end:
            for pid in members:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._reap()
        with suppress(OSError):
            left = Path((folder / RAY_NOTE).read_text())
            if left.name.startswith("oc-ray-"):
                shutil.rmtree(left, ignore_errors=True)
            (folder / RAY_NOTE).unlink()

    def read(self, run_id: str, attempt: int, offset: int) -> bytes:
        """Return what the driver of an attempt has told after this many bytes."""
        try:
            with (self._folder(run_id) / spool_file(attempt)).open("rb") as file:
                file.seek(offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def file(self, run_id: str, name: str) -> Path:
        """Return the path of a file in the run's folder."""
        return self._folder(run_id) / name

    def _folder(self, run_id: str) -> Path:
        return self._runs / run_id

    def _spawn(self, folder: Path, job: Job, lock: int) -> int:
        # A spool of an attempt that was begun and never recorded belongs to nobody.
        (folder / spool_file(job.attempt)).unlink(missing_ok=True)
        with (folder / f"driver-{job.attempt}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "onecode_training.driver", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(folder),
                start_new_session=True,
                pass_fds=(lock,),
            )
        with self._lock:
            self._children[child.pid] = child
        return child.pid

    def _environment(self, folder: Path) -> Mapping[str, str]:
        # Keys, database and addresses of the service are none of the driver's business.
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)}
        ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token_file)}
        return {**own, **_ONE_THREAD, **_QUIET_RAY, **ray, _MARK: str(folder)}

    def _reap(self) -> None:
        with self._lock:
            for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
                del self._children[pid]


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _family(driver: int, folder: Path) -> set[int]:
    """Return the processes of the run's sessions; Ray's processes stay in them, whatever they do to their titles."""
    running: dict[int, str] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                state, _parent, _group, session = _fields(int(entry.name))[:4]
                if state not in "ZX":
                    running[int(entry.name)] = session
    sessions = {running[pid] for pid in running if _marked(pid, folder)}
    if driver and (driver not in running or str(driver) in sessions):
        # While a session has members, its number is given to nobody else; without its leader it is still ours.
        sessions.add(str(driver))
    sessions.discard(str(os.getsid(0)))
    return {pid for pid, session in running.items() if session in sessions}


def _fields(pid: int) -> list[str]:
    # The name in brackets may hold anything, so the fields are counted from the last bracket.
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _marked(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return f"{_MARK}={folder}".encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return False
