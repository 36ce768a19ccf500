"""Start the platform as a person would, wait until every gateway has been heard, and stop it again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from rich.progress import Progress

from onecode_standalone.demo.agreement import Server
from onecode_standalone.demo.chapters import Story
from onecode_standalone.demo.claims import StoryFailedError
from onecode_standalone.demo.platform import Platform
from onecode_standalone.demo.readings import Readings

_GATEWAYS = 3
_START_LIMIT_S = 180
_STOP_LIMIT_S = 20
_PROBE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the platform listens: the public faces, and the first of the block for everything else."""

    console: int = 8080
    rest: int = 8000
    grpc: int = 8001
    edge: int = 8081
    base: int = 7400


@dataclass(frozen=True, slots=True)
class Running:
    """A platform that runs.

    Attributes:
        home: Its home.
        platform: The way in.
        seconds: From the command to the last gateway's first report.
    """

    home: Path
    platform: Platform
    seconds: float

    def story(self, readings: Readings) -> Story:
        """Return the beginning of the story."""
        return Story(self.platform, readings)


@contextmanager
def start_platform(home: Path, ports: Ports, progress: Progress, *, keep: bool = False) -> Iterator[Running]:
    """Run ``onecode up`` for the length of the block.

    Args:
        home: Made when missing.
        ports: Where to listen.
        progress: Where a bar is drawn.
        keep: Leave the platform running.

    Raises:
        StoryFailedError: It did not get ready.
    """
    begun = time.monotonic()
    home.mkdir(parents=True, exist_ok=True)
    up = _start(home, ports)
    platform: Platform | None = None
    try:
        platform = _wait_until_heard(home, up, progress)
        yield Running(home, platform, time.monotonic() - begun)
    finally:
        if platform is not None:
            platform.close()
        if not keep:
            _stop(up)


def _start(home: Path, ports: Ports) -> subprocess.Popen[bytes]:
    onecode = Path(sys.executable).parent / "onecode"
    options = {
        "--home": home,
        "--gateways": _GATEWAYS,
        "--port-base": ports.base,
        "--console-port": ports.console,
        "--oip-rest-port": ports.rest,
        "--oip-grpc-port": ports.grpc,
        "--edge-port": ports.edge,
    }
    command = [str(onecode), "up", *(str(word) for pair in options.items() for word in pair)]
    with (home / "up.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603


def _wait_until_heard(home: Path, up: subprocess.Popen[bytes], progress: Progress) -> Platform:
    task = progress.add_task("starting the platform", total=None)
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        if up.poll() is not None:
            raise StoryFailedError(f"the platform ended: {_tail(home / 'up.log')}")
        platform = _connected(home, progress)
        if platform is not None:
            progress.remove_task(task)
            return platform
        time.sleep(_PROBE_S)
    raise StoryFailedError(f"the platform was not ready within {_START_LIMIT_S} s: {_tail(home / 'up.log')}")


def _connected(home: Path, progress: Progress) -> Platform | None:
    """Return the platform once cloud and all gateways have reported, else None."""
    if not (home / "ports.json").exists() or not (home / "api-token").exists():
        return None
    ports = json.loads((home / "ports.json").read_text(encoding="utf-8"))
    faces = [Server("cloud", f"127.0.0.1:{ports['grpc']}", f"127.0.0.1:{ports['rest']}")]
    faces += [
        Server(name, f"127.0.0.1:{block['grpc']}", f"127.0.0.1:{block['rest']}")
        for name, block in sorted(ports["gateways"].items())
    ]
    token = (home / "api-token").read_text(encoding="utf-8").strip()
    platform = Platform(f"http://127.0.0.1:{ports['console']}", token, home, faces, progress)
    platform.patience_s = 0.0
    try:
        heard = [entry for entry in platform.call("GET", "/gateways")["gateways"] if entry.get("last_heard")]
    except (StoryFailedError, httpx2.HTTPError):
        heard = []
    if len(heard) < len(faces):
        platform.close()
        return None
    platform.patience_s = 30.0
    return platform


def _stop(up: subprocess.Popen[bytes]) -> None:
    if up.poll() is None:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.kill(up.pid, signal.SIGKILL)
            up.wait()


def _tail(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-600:].strip() if path.exists() else ""
