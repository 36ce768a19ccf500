"""Keep a measurement honest about the machine: cores, CPU time of process trees, memory, and whether others worked."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
SERVER_CORE, LOAD_CORE = 1, 0
OPEN_FILES = 8192


def pin(core: int) -> None:
    """Run this process, and what it starts, on one core only; and let it open many sockets."""
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


@dataclass(frozen=True)
class Spent:
    """CPU seconds up to some moment.

    Attributes:
        server: Of the server's process tree.
        ours: Of everything this bench started, the server included.
        machine: Of all processes and of the hypervisor's other guests (steal).
    """

    server: float
    ours: float
    machine: float

    @classmethod
    def now(cls, server_pid: int, root_pid: int) -> Self:
        """Read it."""
        return cls(tree_cpu_s(server_pid), tree_cpu_s(root_pid), _machine_cpu_s())

    def since(self, before: Self) -> Self:
        """Return what was spent between two readings."""
        return type(self)(self.server - before.server, self.ours - before.ours, self.machine - before.machine)


def tree_cpu_s(pid: int) -> float:
    """Return CPU seconds of a process, its living descendants, and the dead ones that were waited for."""
    user, system, dead_user, dead_system = _stat(pid)[11:15]
    own = (int(user) + int(system) + int(dead_user) + int(dead_system)) / _TICKS
    return own + sum(tree_cpu_s(child) for child in _children(pid))


def peak_mib(pid: int) -> float:
    """Return the largest resident size that a process ever had."""
    return _status(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """Return the resident size of a process."""
    return _status(pid, "VmRSS")


def _machine_cpu_s() -> float:
    user, nice, system, _idle, _wait, irq, soft, steal = _PROC.joinpath("stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, irq, soft, steal))) / _TICKS


def _stat(pid: int) -> list[str]:
    try:
        return _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 20


def _children(pid: int) -> list[int]:
    try:
        tasks = list(_PROC.joinpath(str(pid), "task").iterdir())
        return [int(child) for task in tasks for child in task.joinpath("children").read_text().split()]
    except OSError:
        return []


def _status(pid: int, name: str) -> float:
    lines = _PROC.joinpath(str(pid), "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
