"""A platform of small stand-in programs, run by the real supervisor in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onecode_standalone.control import ask
from onecode_standalone.proc import family, runs

LIMIT_S = 30.0
sys.path.insert(0, str(Path(__file__).parent))
STAND_IN = Path(__file__).with_name("stand_in_platform.py")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return what the condition returns once it is true."""
    end = time.monotonic() + LIMIT_S
    while not (seen := condition()):
        assert time.monotonic() < end, f"waited {LIMIT_S} s for {what}"
        time.sleep(0.02)
    return seen


def free_block() -> int:
    """Return a base whose next ports nobody has now."""
    for base in range(10_000 + os.getpid() % 60 * 300, 32_000, 200):
        try:
            for port in range(base, base + 10):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return base
    message = "no free block of ports"
    raise AssertionError(message)


class StandIn:
    """One running supervisor over stand-in processes."""

    def __init__(self, home: Path, processes: dict[str, Any]) -> None:
        self.home = home
        self.base = free_block()
        plan = {"home": str(home), "base": self.base, "processes": processes}
        self.popen = subprocess.Popen(
            [sys.executable, str(STAND_IN), json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        return ask(self.home / "control.sock", "status")

    def entry(self, name: str) -> dict[str, Any]:
        return next(one for one in self.status()["processes"] if one["name"] == name)

    def wait_ready(self) -> None:
        wait_for(lambda: (self.home / "control.sock").exists() or self.popen.poll() is not None, "the control socket")
        assert self.popen.poll() is None, self.popen.communicate()[0]
        wait_for(lambda: self.status()["ready"], "the platform to be ready")

    def wait_state(self, name: str, state: str) -> None:
        wait_for(lambda: self.entry(name)["state"] == state, f"{name} to be {state}")

    def pids(self) -> set[int]:
        return family(str(self.home))

    def terminate(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(LIMIT_S)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_for(condition, what)

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()
        wait_for(lambda: not any(runs(pid) for pid in self.pids()), "the keeper to clear up")


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], StandIn]]:
    """Start a supervisor over processes given as name -> {"needs": [...], "mode": ...}."""
    started: list[StandIn] = []

    def start(processes: dict[str, Any], home: Path | None = None) -> StandIn:
        started.append(StandIn(home or tmp_path / "home", processes))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="module")
def free_base() -> int:
    """A port base whose block nobody has."""
    return free_block()
