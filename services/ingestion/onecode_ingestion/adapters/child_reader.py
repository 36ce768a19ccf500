"""Start the reading child for one file, wait for its outcome, and make its end, whatever it was, a typed answer."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from onecode_common.errors import KINDS, ExhaustedError, InvalidError, OnecodeError, UnavailableError
from onecode_ingestion.domain.columns import Schema
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.ports import Reading, ReadPart

_log = logging.getLogger(__name__)
_MODULE = "onecode_ingestion.adapters.reading"
_MAX_OUTCOME = 64 << 20
_TAIL = 2_000
_WAIT_S = 60.0
_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "malloc of size", "can't start new thread")


@dataclass(frozen=True, slots=True)
class _End:
    """How a child ended: what it wrote, its exit status, the last of its log, whether it was stopped for its time."""

    outcome: bytes
    status: int
    log: str
    late: bool


class ChildReader:
    """The port :class:`onecode_ingestion.ports.Reader`.

    Args:
        scratch: Folder for what children write; emptied here, for nobody else uses it.
        limits: Of one file.
        most: Children at the same time.
    """

    def __init__(self, scratch: Path, limits: Limits, most: int) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        self._scratch = scratch
        self._limits = limits
        self._turns = threading.BoundedSemaphore(most)

    @contextmanager
    def reading(self, path: Path, file_name: str, options: ReadOptions, *, preview: bool) -> Iterator[Reading]:
        """Yield what a child made of the file; what it wrote is removed at the end."""
        if not self._turns.acquire(timeout=_WAIT_S):
            message = "too many files are being read at the same time: try again"
            raise UnavailableError(message, code="reader.busy")
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            job = {
                "path": str(path),
                "file_name": file_name,
                "folder": str(folder),
                "preview": preview,
                "options": options.to_document(),
                "limits": asdict(self._limits),
            }
            yield self._understood(self._run(job, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._turns.release()

    def _run(self, job: Mapping[str, Any], folder: Path) -> _End:
        with (folder / "log").open("w+b") as log:
            # It stays in our process group, and ends itself when the pipe to it closes, so it cannot outlive us.
            with subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-I", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "TMPDIR": str(folder)},
            ) as child:
                late = threading.Event()
                timer = threading.Timer(self._limits.wall_s, _stop, (child, late))
                timer.daemon = True
                timer.start()
                try:
                    outcome = _exchange(child, job)
                finally:
                    timer.cancel()
                    child.kill()
                status = child.wait()
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            return _End(outcome, status, log.read().decode(errors="replace"), late.is_set())

    def _understood(self, end: _End) -> Reading:
        if end.outcome and len(end.outcome) <= _MAX_OUTCOME:
            document = json.loads(end.outcome) if end.outcome.endswith(b"}") else {}
            if "error" in document:
                raise _error(document["error"])
            if document:
                return _reading(document)
        raise self._failed(end)

    def _failed(self, end: _End) -> OnecodeError:
        _log.warning("a reading child ended with status %d: %s", end.status, end.log)
        if end.late or end.status in (-signal.SIGXCPU, -signal.SIGKILL):
            message = f"reading the file takes longer than {self._limits.cpu_s} s"
            hint = "upload fewer rows at once"
            return ExhaustedError(message, code="data.too_slow", hint=hint, params={"limit": self._limits.cpu_s})
        if any(word in end.log for word in _OUT_OF_MEMORY):
            limit = self._limits.memory_bytes
            message = f"the values of the file need more than {limit} bytes of memory"
            hint = "upload fewer rows at once"
            return ExhaustedError(message, code="data.too_large_decoded", hint=hint, params={"limit": limit})
        message = "the file made the parser fail: it is damaged or made to do so"
        hint = "export the table again, as CSV"
        return InvalidError(message, code="data.unreadable", hint=hint, params={"status": end.status})


def _stop(child: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    child.kill()


def _exchange(child: "subprocess.Popen[bytes]", job: Mapping[str, Any]) -> bytes:
    stdin, stdout = _pipe(child.stdin), _pipe(child.stdout)
    try:
        stdin.write(json.dumps(job).encode() + b"\n")
        stdin.flush()
    except BrokenPipeError:
        return b""
    # The pipe stays open while it works: its end is how the child learns of ours.
    return stdout.read(_MAX_OUTCOME + 1)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        message = "the child has no pipe"
        raise UnavailableError(message, code="reader.pipe")
    return pipe


def _error(document: Mapping[str, Any]) -> OnecodeError:
    kind = KINDS.get(document["kind"], OnecodeError)
    return kind(document["message"], code=document["code"], hint=document["hint"], params=document["params"])


def _reading(document: Mapping[str, Any]) -> Reading:
    return Reading(
        options=ReadOptions.from_document(document["options"]),
        schema=Schema.from_document(document["schema"]),
        findings=tuple(Finding.from_document(one) for one in document["findings"]),
        rows=document["rows"],
        dropped=document["dropped"],
        estimated_rows=document["estimated_rows"],
        first_rows=document["first_rows"],
        profile=document["profile"],
        parts=tuple(ReadPart(Path(one["path"]), one["rows"], one["bytes"]) for one in document["parts"]),
    )
