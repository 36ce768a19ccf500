"""See and end processes of this machine through ``/proc``, with nothing but the standard library.

The keeper imports it too, which must stay small. A process belongs to a home when it was started with the
home's mark in its environment, when it is in a session that such a process leads, or when it descends from
one: programs such as Ray's workers write their title over their environment.
"""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HOME_MARK = "ONECODE_HOME_MARK"
"""Variable whose value is the home; every process of the platform inherits it."""

PROCESS_MARK = "ONECODE_PROCESS_MARK"
"""Variable whose value is the entry of the process table that a process descends from."""

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One line of the machine's process list."""

    pid: int
    parent: int
    session: int


def processes() -> list[Process]:
    """Return all processes that run; zombies run no more."""
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            # The name in brackets may hold anything, so the fields are counted from the last bracket.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found.append(Process(int(entry.name), int(fields[1]), int(fields[3])))
    return found


def runs(pid: int) -> bool:
    """Return whether there is such a process and it is no zombie."""
    with suppress(OSError, IndexError):
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    return False


def family(home: str, name: str | None = None, roots: Iterable[int] = ()) -> set[int]:
    """Return the pids that belong to a home, or to one entry of its process table.

    Args:
        home: Value of the home's mark.
        name: Entry of the process table; None: all of them.
        roots: Pids of session leaders that belong to it, whatever their environment says.
    """
    running = processes()
    wanted = [f"{HOME_MARK}={home}".encode()]
    if name is not None:
        wanted.append(f"{PROCESS_MARK}={name}".encode())
    leaders = set(roots)
    members = {one.pid for one in running if one.pid in leaders or one.session in leaders or _has(one.pid, wanted)}
    grown = True
    while grown:
        more = {one.pid for one in running if one.pid not in members and one.parent in members}
        members |= more
        grown = bool(more)
    return members - {os.getpid()}


def kill_family(home: str, name: str | None = None, roots: Sequence[int] = (), *, limit_s: float = 5.0) -> int:
    """Kill what belongs to a home until nothing is left, and return how many processes that were.

    It looks again after each round, because a process may start another one while it is being ended.
    """
    killed: set[int] = set()
    end = time.monotonic() + limit_s
    while (members := family(home, name, roots)) and time.monotonic() < end:
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= members
        time.sleep(0.02)
    return len(killed)


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes, summed; pages they share count once for each."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            total += int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    return total


def descendants(pid: int, running: Sequence[Process]) -> set[int]:
    """Return a process and all that descend from it."""
    members = {pid}
    grown = True
    while grown:
        more = {one.pid for one in running if one.pid not in members and one.parent in members}
        members |= more
        grown = bool(more)
    return members


def _has(pid: int, wanted: Sequence[bytes]) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return all(one in environment for one in wanted)
