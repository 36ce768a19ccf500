"""Write a sample of calls down, in columns: what was asked for, how it went and, only where allowed, what it was.

Files are numpy archives with one array a column, so that a data set can be made of them without a parser. Inputs and
outputs are in them only for models whose options say ``capture``.
"""

import contextlib
import itertools
import logging
import os
import queue
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onecode_common.clock import Clock
from onecode_serving.domain.options import LogOptions
from onecode_serving.domain.tensors import Array

_log = logging.getLogger(__name__)
_WAITING = 4096
_ROWS = 2048
_FLUSH_S = 60.0
_KEEP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call.

    Attributes:
        time: Unix seconds of its answer.
        seconds: From arrival to answer.
        code: ``ok`` or the error's code.
        inputs: By name; empty unless captured.
        outputs: By name; empty unless captured.
    """

    time: float
    model: str
    digest: str
    arm: str
    rows: int
    seconds: float
    code: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


class CallLog:
    """Files of sampled calls below a folder, the oldest deleted when they grow beyond a bound; a part of a program.

    Args:
        folder: Where; one folder a model below it.
        clock: Names files.
        keep_bytes: Of all files together.
        draw: Returns a number in [0, 1) for each call.
    """

    name = "call-log"

    def __init__(self, folder: Path, clock: Clock, keep_bytes: int = _KEEP_BYTES, draw: Any = random.random) -> None:
        self._folder = folder
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._draw = draw
        self._queue: queue.SimpleQueue[LoggedCall | None] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._write_all, name="call-log", daemon=True)
        self.lost = 0

    def start(self) -> None:
        """Begin to write."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def ready(self) -> str | None:
        """Return None: nobody depends on it."""
        return None

    def chosen(self, options: LogOptions) -> bool:
        """Return whether the next call of a model with these options is written down."""
        return bool(self._draw() < options.fraction)

    def add(self, call: LoggedCall) -> None:
        """Have a call written; when the disk is slower than the calls, calls are lost and counted, never delayed."""
        if self._queue.qsize() >= _WAITING:
            self.lost += 1
            return
        self._queue.put(call)

    def _write_all(self) -> None:
        calls: list[LoggedCall] = []
        ended = False
        due = 0.0
        while not ended:
            now = self._clock.monotonic()
            with contextlib.suppress(queue.Empty):
                call = self._queue.get(timeout=max(0.0, due - now) if calls else None)
                ended = call is None
                if call is not None:
                    due = due if calls else self._clock.monotonic() + _FLUSH_S
                    calls.append(call)
                    if len(calls) < _ROWS:
                        continue
            if calls:
                self._write(calls)
                calls = []

    def _write(self, calls: Sequence[LoggedCall]) -> None:
        groups: dict[Any, list[LoggedCall]] = {}
        for call in calls:
            shape = tuple((name, array.dtype.str, array.shape[1:]) for name, array in call.inputs.items())
            groups.setdefault((call.model, shape, bool(call.outputs)), []).append(call)
        for group in groups.values():
            try:
                self._write_file(group)
            except OSError as error:
                self.lost += len(group)
                _log.warning("calls of model %s could not be written: %s", group[0].model, error)
        self._forget_old()

    def _write_file(self, calls: Sequence[LoggedCall]) -> None:
        folder = self._folder / file_name(calls[0].model)
        folder.mkdir(mode=0o700, exist_ok=True)
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S")
        target = folder / f"{stamp}-{os.getpid()}-{next(self._numbers)}.npz"
        unfinished = target.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns(calls))
        unfinished.replace(target)

    def _forget_old(self) -> None:
        files = sorted(self._folder.glob("*/*.npz"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        size = sum(path.stat().st_size for path in files)
        for path in files:
            if size <= self._keep_bytes:
                return
            size -= path.stat().st_size
            path.unlink(missing_ok=True)


def columns(calls: Sequence[LoggedCall]) -> dict[str, Array]:
    """Return one array a column: facts by call; ``call`` says for each captured row which call it belongs to."""
    facts: dict[str, Array] = {
        "time": np.array([call.time for call in calls], np.float64),
        "digest": np.array([call.digest for call in calls]),
        "arm": np.array([call.arm for call in calls]),
        "rows": np.array([call.rows for call in calls], np.int64),
        "seconds": np.array([call.seconds for call in calls], np.float64),
        "code": np.array([call.code for call in calls]),
    }
    if calls[0].inputs:
        facts["call"] = np.repeat(np.arange(len(calls)), facts["rows"])
        for kind, named in (("input", [call.inputs for call in calls]), ("output", [call.outputs for call in calls])):
            for name in named[0]:
                facts[f"{kind}.{name}"] = np.concatenate([_plain(one[name]) for one in named])
    return facts


def file_name(model: str) -> str:
    """Return a folder's name for a model, whatever its name holds."""
    return "".join(one if one.isalnum() or one in "-_" else f"%{ord(one):02x}" for one in model)


def _plain(array: Array) -> Array:
    """Return texts as numpy's own, which needs no code to be read back."""
    return array.astype(str) if array.dtype == object else array
