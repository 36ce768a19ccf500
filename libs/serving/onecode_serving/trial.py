"""Try a model where it can do no harm: in a child process with limits, before it is ever loaded here.

A model file is a program from elsewhere. The child gets little memory, little time, no files, no environment and
dies with its parent; whatever happens to it becomes a report with a named cause.
"""

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

_log = logging.getLogger(__name__)
_MAX_REPORT = 1 << 20
_MODULE = "onecode_serving.trial_child"


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What the child may use.

    Attributes:
        memory_bytes: Address space beside four times the model.
        cpu_s: Seconds of CPU after the imports.
        wall_s: Seconds in all.
    """

    memory_bytes: int = 1 << 30
    cpu_s: int = 10
    wall_s: float = 20.0


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What a trial found.

    Attributes:
        ok: The model may be loaded.
        cause: ``load``, ``golden``, ``nan_on_probe``, ``memory``, ``timeout`` or ``crash``; empty if ok.
        detail: One sentence for people.
        inputs: Found in the graph: ``{"name", "datatype", "shape"}``.
        outputs: Alike.
        p95_us: 95th percentile of a one-row run in the child; 0 if it was not reached.
    """

    ok: bool
    cause: str
    detail: str
    inputs: tuple[Mapping[str, Any], ...] = field(default=())
    outputs: tuple[Mapping[str, Any], ...] = field(default=())
    p95_us: float = 0.0


def try_model(
    onnx: bytes,
    manifest: Mapping[str, Any] | None = None,
    golden: bytes | None = None,
    limits: TrialLimits | None = None,
) -> TrialReport:
    """Load the model in a child, ask it probe rows and its golden set, and report.

    Args:
        onnx: The model's bytes.
        manifest: Its contract is then required of the graph; None for a foreign file.
        golden: Content of ``golden.jsonl``, if there is one.
        limits: Of the child.
    """
    limits = limits or TrialLimits()
    header = {
        "model": len(onnx),
        "golden": len(golden) if golden is not None else -1,
        "contract": manifest.get("contract") if manifest is not None else None,
        "memory": limits.memory_bytes + 4 * len(onnx),
        "cpu": limits.cpu_s,
    }
    return _run(json.dumps(header).encode() + b"\n" + onnx + (golden or b""), limits)


def _run(question: bytes, limits: TrialLimits) -> TrialReport:
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-B", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={},
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(limits.wall_s, stop)
    timer.start()
    try:
        output = _talk(child, question)
    finally:
        child.kill()
        child.wait()
        timer.cancel()
    return _report(output, child.returncode, limits, late=late.is_set())


def _talk(child: "subprocess.Popen[bytes]", question: bytes) -> bytes:
    stdin, stdout = child.stdin, child.stdout
    if stdin is None or stdout is None:  # pragma: no cover - both are pipes
        return b""
    with stdout:
        _feed(stdin, question)
        answer = stdout.read(_MAX_REPORT)
        if len(answer) < _MAX_REPORT:
            # All was said; give it the moment it needs to end by itself, so that its exit status tells.
            child.wait()
        return answer


def _feed(stdin: IO[bytes], question: bytes) -> None:
    try:
        with stdin:
            stdin.write(question)
    except BrokenPipeError:
        _log.info("the trial ended before it had read its model")


def _report(output: bytes, status: int, limits: TrialLimits, *, late: bool) -> TrialReport:
    lines = output.splitlines()
    document: dict[str, Any] = {}
    if status == 0 and lines:
        try:
            document = json.loads(lines[-1])
        except ValueError:
            document = {}
    if document:
        return TrialReport(
            ok=bool(document["ok"]),
            cause=str(document["cause"]),
            detail=str(document["detail"]),
            inputs=tuple(document["inputs"]),
            outputs=tuple(document["outputs"]),
            p95_us=float(document["p95_us"]),
        )
    if late or status in (-signal.SIGXCPU, -signal.SIGALRM):
        return TrialReport(
            ok=False, cause="timeout", detail=f"not done after {limits.cpu_s} s of CPU or {limits.wall_s} s"
        )
    if b"bad_alloc" in output or b"MemoryError" in output:
        return TrialReport(ok=False, cause="memory", detail=f"needs more than {limits.memory_bytes >> 20} MiB")
    tail = lines[-1].decode("utf-8", "replace")[:200] if lines else ""
    return TrialReport(ok=False, cause="crash", detail=f"the trial ended with status {status} {tail}".strip())
