"""The child of a trial: take limits, read a model from standard input, try it, write a report, end.

Run as ``python -I -m onecode_serving.trial_child`` by :mod:`onecode_serving.trial`, never by hand. All imports come
before the limits, because the runtime alone maps far more than a model may.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onecode_common.errors import OnecodeError
from onecode_serving.domain.contract import Contract, TensorSpec, parse_contract
from onecode_serving.domain.tensors import Array
from onecode_serving.golden import Golden, check_golden, golden_feeds, parse_golden
from onecode_serving.probes import probe_rows
from onecode_serving.runtime_errors import RUNTIME_ERRORS
from onecode_serving.session import contract_of, open_session, require_same
from onecode_serving.version import NON_FINITE, ServedVersion

_SET_DEATH_SIGNAL = 1
_SET_NO_NEW_PRIVILEGES = 38
_OPEN_FILES = 16
_WARM_UPS = 5
_RUNS = 40
_MEMORY_WORDS = ("bad_alloc", "bad allocation", "Failed to allocate memory", "out of memory")


class _RefusedError(Exception):
    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


def confine(memory: int, cpu_s: int) -> None:
    """Give up what a model does not need: memory, time, files, new privileges, a life without the parent."""
    parent = os.getppid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    used = int(time.process_time()) + 1
    limits = (
        (resource.RLIMIT_AS, memory, memory),
        # The soft limit ends the child by SIGXCPU, which tells the cause; the hard one by SIGKILL.
        (resource.RLIMIT_CPU, used + cpu_s, used + cpu_s + 1),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for name, soft, hard in limits:
        resource.setrlimit(name, (soft, hard))


def main() -> None:
    """Read the question, answer it, exit 0; anything else is told by how the process ends."""
    header = json.loads(sys.stdin.buffer.readline(1 << 20))
    confine(int(header["memory"]), int(header["cpu"]))
    onnx = sys.stdin.buffer.read(header["model"])
    golden = sys.stdin.buffer.read(header["golden"]) if header["golden"] >= 0 else None
    trial = _Trial()
    cause = detail = ""
    try:
        trial.run(onnx, header["contract"], golden)
    except _RefusedError as refusal:
        cause, detail = refusal.cause, refusal.detail
    except MemoryError:
        cause, detail = "memory", "the model needs more memory than a trial may use"
    report = {"ok": not cause, "cause": cause, "detail": detail[:500], "p95_us": round(trial.p95_us, 2)}
    if not cause:
        report["detail"] = "loaded, probed" + (", golden set right" if golden is not None else "")
    report |= {"inputs": _described(trial.found.inputs), "outputs": _described(trial.found.outputs)}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    # Destructors of a hostile model need not run.
    os._exit(0)


class _Trial:
    def __init__(self) -> None:
        self.found = Contract((), ())
        self.p95_us = 0.0

    def run(self, onnx: bytes, stated: dict[str, Any] | None, golden: bytes | None) -> None:
        version = self._load(onnx, stated)
        questions = self._questions(golden)
        self._probe(version, probe_rows(version.contract))
        if questions is not None:
            result = check_golden(version, questions)
            if not result.passed:
                detail = f"{result.mismatches} of {len(questions.rows)} golden answers are wrong; {result.detail}"
                raise _RefusedError("golden", detail)
        feeds = golden_feeds(questions, version.contract, 8) if questions else probe_rows(version.contract)[:1]
        self.p95_us = _p95_us(version, feeds)

    def _load(self, onnx: bytes, stated: dict[str, Any] | None) -> ServedVersion:
        try:
            session = open_session(onnx)
            self.found = contract_of(session)
            contract = parse_contract(stated) if stated is not None else self.found
            require_same(contract, self.found)
            if stated is None:
                self.found = contract = _with_known_ranks(contract, session)
        except OnecodeError as error:
            raise _refusal("load", error) from error
        return ServedVersion("trial", 0, "", contract, session)

    def _questions(self, golden: bytes | None) -> Golden | None:
        try:
            return parse_golden(golden) if golden is not None else None
        except OnecodeError as error:
            raise _RefusedError("golden", error.message) from error

    def _probe(self, version: ServedVersion, rows: Sequence[dict[str, Array]]) -> None:
        try:
            for row in rows:
                version.run(row)
        except OnecodeError as error:
            raise _refusal("nan_on_probe" if error.code == NON_FINITE else "load", error) from error


def _refusal(cause: str, error: OnecodeError) -> _RefusedError:
    text = f"{error.message} {error.__cause__ or ''}"
    if any(word in text for word in _MEMORY_WORDS):
        return _RefusedError("memory", "the model needs more memory than a trial may use")
    return _RefusedError(cause, error.message)


def _with_known_ranks(contract: Contract, session: Any) -> Contract:
    """Learn from one answer the ranks of outputs whose shape the graph does not state."""
    if all(spec.shape for spec in contract.outputs):
        return contract
    names = [spec.name for spec in contract.outputs]
    try:
        single, double = (session.run(names, row) for row in probe_rows(contract)[:2])
    except RUNTIME_ERRORS as error:
        raise _RefusedError("load", f"the model did not answer a probe row: {str(error)[:300]}") from error
    outputs = tuple(
        spec if spec.shape else replace(spec, shape=_shape(np.shape(one), np.shape(two)))
        for spec, one, two in zip(contract.outputs, single, double, strict=True)
    )
    return Contract(contract.inputs, outputs)


def _shape(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a if a == b else -1 for a, b in zip(one, two, strict=False))


def _p95_us(version: ServedVersion, feeds: Sequence[dict[str, Array]]) -> float:
    times = []
    for number in range(_WARM_UPS + _RUNS):
        started = time.perf_counter()
        version.run(feeds[number % len(feeds)])
        if number >= _WARM_UPS:
            times.append(time.perf_counter() - started)
    return float(np.percentile(times, 95)) * 1e6


def _described(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs]


if __name__ == "__main__":
    main()
