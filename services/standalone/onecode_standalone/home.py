"""Own one home directory: its layout, its format, and the lock that keeps a second supervisor off it."""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from onecode_common.errors import ConflictError, ExhaustedError, InvalidError, PreconditionError
from onecode_common.files import storage_error, write_file

FORMAT = 1
"""Number of the layout; a release that cannot read an older one migrates it and raises the number."""

LEAST_FREE_BYTES = 512 << 20
"""Below this the bus, the databases and the object store soon fail, each in its own way."""


class Home:
    """Paths of a home; nothing is written before :meth:`open`."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def control(self) -> Path:
        """Socket by which the supervisor is asked."""
        return self.root / "control.sock"

    @property
    def ports_file(self) -> Path:
        """Addresses, for programs."""
        return self.root / "ports.json"

    @property
    def api_token_file(self) -> Path:
        """The administrator's bearer token."""
        return self.root / "api-token"

    @property
    def login_file(self) -> Path:
        """Code of the one-time login link."""
        return self.root / "login-code"

    @property
    def ray_token_file(self) -> Path:
        """What Ray asks everybody for who reaches its ports."""
        return self.root / "ray-token"

    @property
    def jwks_file(self) -> Path:
        """Public keys of all services."""
        return self.root / "keys" / "jwks.json"

    @property
    def bus_config(self) -> Path:
        """Configuration of the message bus."""
        return self.root / "nats" / "nats.conf"

    def key(self, service: str) -> Path:
        """Return the file with a service's private key."""
        return self.root / "keys" / f"{service}.key"

    def seed(self, process: str) -> Path:
        """Return the file with a process's NKEY seed."""
        return self.root / "nkeys" / f"{process}.seed"

    def log(self, process: str) -> Path:
        """Return the file with what a process writes to stdout and stderr."""
        return self.root / "logs" / f"{process}.log"

    def folder(self, name: str) -> Path:
        """Return the folder that belongs to one process."""
        return self.root / name

    def gateway(self, gateway: str) -> Path:
        """Return the folder that is one gateway's own home."""
        return self.root / "gateways" / gateway

    def gateway_token(self, gateway: str) -> Path:
        """Return the file with a gateway's one-time enrolment token."""
        return self.root / "gateways" / f"{gateway}.token"

    def open(self) -> None:
        """Make the folder, or check that it is a home this release can read.

        Raises:
            InvalidError: The folder holds something else.
            PreconditionError: A newer release wrote it.
            ExhaustedError: The disk is nearly full.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_format()
            self.root.chmod(0o700)
        except OSError as error:
            raise storage_error(error, self.root) from error
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE_BYTES:
            message = f"only {free >> 20} MiB are free at {self.root}, {LEAST_FREE_BYTES >> 20} MiB are needed"
            hint = "free some space, or choose another disk with --home"
            raise ExhaustedError(message, code="up.disk", hint=hint, params={"free_bytes": free, "path": self.root})

    def lock(self) -> "HomeLock":
        """Return the lock of this home, taken.

        Raises:
            ConflictError: Another supervisor holds it.
        """
        return HomeLock(self.root / "lock")

    def _check_format(self) -> None:
        version = self.root / "VERSION"
        if not version.exists():
            # A log may lie there: that of the very program that starts the platform.
            strangers = sorted(
                path.name for path in self.root.iterdir() if path.name != "lock" and path.suffix != ".log"
            )
            if strangers:
                message = f"{self.root} is not a home of OneCode: it holds {strangers[0]!r}"
                hint = "choose an empty or a new folder with --home"
                raise InvalidError(message, code="up.home", hint=hint, params={"path": self.root})
            write_file(version, f"{FORMAT}\n".encode())
            return
        text = version.read_text(encoding="utf-8", errors="replace").strip()
        if not text.isdigit():
            message = f"{version} says {text[:40]!r}, which is no format number"
            raise InvalidError(message, code="up.home", params={"path": version})
        if int(text) > FORMAT:
            message = f"{self.root} was written by a newer release: its format is {text}, this release reads {FORMAT}"
            hint = "install that release (pip install -U onecode), or choose another folder with --home"
            raise PreconditionError(message, code="up.home_newer", hint=hint, params={"format": text})


class HomeLock:
    """An exclusive lock that the kernel releases however its holder ends."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._handle, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            message = f"the platform is running on {path.parent} already, as process {holder}"
            hint = f"see it with: onecode status --home {path.parent}; end it with: onecode down --home {path.parent}"
            raise ConflictError(message, code="up.running", hint=hint, params={"pid": holder}) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let another supervisor take the home."""
        os.close(self._handle)
