"""Run an MLflow server below the registry: one process in a session of its own, started again when it ends."""

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from onecode_common.addresses import split_address
from onecode_common.files import write_file
from onecode_common.loops import Loop

_log = logging.getLogger(__name__)
_MODULE = "onecode_registry.adapters.mlflow_program"
_POLL_S = 0.5
_AFTER_END_S = 2.0
_STOP_S = 3.0


class MlflowServer:
    """MLflow as a part of the registry; the registry is ready without it.

    Args:
        folder: MLflow's own; holds its database, artifacts, token and process id.
        address: Where it listens, on loopback.
    """

    name = "mlflow"

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._host, self._port = split_address(address)
        self._child: subprocess.Popen[bytes] | None = None
        self._loop = Loop("mlflow", self._turn, idle_s=_POLL_S)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("token", "secret"):
            if not (folder / name).exists():
                write_file(folder / name, secrets.token_hex(32).encode(), mode=0o600)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self._host}:{self._port}"

    def token(self) -> str:
        """Return the token that every request must carry."""
        return (self._folder / "token").read_text(encoding="ascii").strip()

    def start(self) -> None:
        """Begin to start it; it takes about ten seconds, which nobody waits for."""
        self._clear_earlier()
        self._loop.start()

    def stop(self) -> None:
        """End it, at most three seconds."""
        self._loop.stop()
        child = self._child
        if child is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            _log.info("MLflow did not end in time and is killed")
        self._kill(child)

    def ready(self) -> str | None:
        """Return None: what it should hear waits in the registry's own records."""
        return None

    def _turn(self, stopping: threading.Event) -> bool:
        child = self._child
        if child is not None and child.poll() is None:
            return False
        if child is not None:
            _log.warning("MLflow ended with status %s and is started again", child.returncode)
            self._kill(child)
            stopping.wait(_AFTER_END_S)
        if not stopping.is_set():
            self._child = self._spawn()
        return False

    def _spawn(self) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", _MODULE, self._host, str(self._port), str(self._folder / "token")],
            stdin=subprocess.PIPE,
            cwd=self._folder,
            env=self._environment(),
            start_new_session=True,
        )
        write_file(self._folder / "pid", f"{child.pid} {_started(child.pid)}".encode())
        return child

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ONECODE_REGISTRY_", "MLFLOW_", "_MLFLOW_"))
        }
        (self._folder / "artifacts").mkdir(exist_ok=True)
        return {
            **inherited,
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{self._folder / 'mlflow.db'}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self._folder / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_IN_JOB_EXECUTOR": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ALLOW_MODEL_CODE_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{self._host}:{self._port}",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": (self._folder / "secret").read_text(encoding="ascii"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "OMP_NUM_THREADS": "1",
        }

    def _clear_earlier(self) -> None:
        """End what a registry that was killed left behind; the number alone may be somebody else's by now."""
        with suppress(OSError, ValueError):
            pid, started = (int(word) for word in (self._folder / "pid").read_text().split())
            if started and _started(pid) == started:
                os.killpg(pid, signal.SIGKILL)

    def _kill(self, child: "subprocess.Popen[bytes]") -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin is not None:
            child.stdin.close()
        (self._folder / "pid").unlink(missing_ok=True)


def _started(pid: int) -> int:
    """Return when a process began, in ticks since boot; 0 where that cannot be known."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    return 0
