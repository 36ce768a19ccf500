"""Keep what processes print, without letting it fill the disk."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

_KEPT = 3
LARGEST_BYTES = 32 << 20
"""A log that grew beyond this is set aside while its process runs on."""


def rotate(log: Path) -> None:
    """Set the log aside as ``.1``, the older ones as ``.2`` and ``.3``; the oldest goes."""
    if not log.exists() or log.stat().st_size == 0:
        return
    for number in range(_KEPT - 1, 0, -1):
        with suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def open_log(log: Path) -> IO[bytes]:
    """Return the log, to append to."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return log.open("ab")


def trim(log: Path) -> None:
    """Copy a log that grew too large to ``.1`` and empty it; its process appends on."""
    with suppress(OSError):
        if log.stat().st_size > LARGEST_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as file:
                file.truncate(0)


def size(log: Path) -> int:
    """Return how long the log is; 0 without one."""
    return log.stat().st_size if log.exists() else 0


def last_lines(log: Path, count: int = 5, since: int = 0) -> list[str]:
    """Return the last lines of a log that say something, of those after a place in it."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
        return [line for line in lines if line.strip()][-count:]
    return []
