"""Run every fuzz target under atheris for a bounded time and keep a tally: ``python tests/fuzz/run.py``.

A target is a function ``fuzz_…(data: bytes)`` in a file ``…_target.py`` of this folder that raises where a promise is
broken; ``seeds()`` beside it may give inputs that get far. Each runs in a process of its own, since libFuzzer ends the
process it runs in. What breaks a promise is written to ``found/`` and ends the run with status 1.
"""

import argparse
import ast
import hashlib
import importlib
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
FOUND, TALLY = HERE / "found", HERE / "tally.json"
PACKAGE = "onecode_serving"
MAX_BYTES = 4096
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_COVERAGE = re.compile(r"cov: (\d+)")
_COUNT = re.compile(r"^#(\d+)", re.MULTILINE)


class Target(NamedTuple):
    """One function of one file."""

    module: str
    function: str


def targets() -> Iterator[Target]:
    """Yield all targets, without importing them."""
    for path in sorted(HERE.glob("*_target.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("fuzz_"):
                yield Target(path.stem, node.name)


def fuzz(target: Target, seconds: int) -> None:
    """Run one target in this process, which ends with it."""
    import atheris

    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(HERE))
    # What a target imports only when it is called counts too.
    with atheris.instrument_imports(include=[PACKAGE]), tempfile.TemporaryDirectory() as corpus:
        module = importlib.import_module(target.module)
        work: Callable[[bytes], None] = getattr(module, target.function)
        for seed in module.seeds() if hasattr(module, "seeds") else []:
            Path(corpus, hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={FOUND}/{target.function}-", corpus], work)
        atheris.Fuzz()


def run(target: Target, seconds: int) -> dict[str, Any]:
    """Run one target in a child and return what came of it."""
    command = [sys.executable, __file__, "--one", ":".join(target), "--seconds", str(seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds * 3 + 120)
    done, coverage = _DONE.search(ended.stderr), _COVERAGE.findall(ended.stderr)
    if ended.returncode or done is None:
        say(_without_progress(ended.stdout + ended.stderr))
    reached = [int(number) for number in _COUNT.findall(ended.stderr)]
    return {
        "executions": int(done[1]) if done else max(reached, default=0),
        "seconds": int(done[2]) if done else 0,
        "coverage": int(coverage[-1]) if coverage else 0,
        "failed": bool(ended.returncode) or done is None,
    }


def add(tally: dict[str, Any], target: Target, result: dict[str, Any]) -> None:
    """Add a run to the tally."""
    before = tally.get(target.function, {"executions": 0, "seconds": 0, "coverage": 0, "failures": 0})
    tally[target.function] = {
        "executions": before["executions"] + result["executions"],
        "seconds": before["seconds"] + result["seconds"],
        "coverage": max(before["coverage"], result["coverage"]),
        "failures": before["failures"] + result["failed"],
        "last": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _without_progress(output: str) -> str:
    return "\n".join(line for line in output.splitlines() if not line.startswith("#"))[-6000:]


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run all targets, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="functions; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz(Target(*options.one.split(":")), options.seconds)
        return
    FOUND.mkdir(exist_ok=True)
    tally: dict[str, Any] = json.loads(TALLY.read_text()) if TALLY.exists() else {}
    failed = False
    for target in targets():
        if options.names and target.function not in options.names:
            continue
        result = run(target, options.seconds)
        add(tally, target, result)
        failed = failed or result["failed"]
        word = "FAILED" if result["failed"] else "held"
        say(f"{target.function}: {word}, {result['executions']:,} executions, coverage {result['coverage']}")
        TALLY.write_text(json.dumps(tally, indent=1, sort_keys=True) + "\n")
    say(f"in all so far: {sum(one['executions'] for one in tally.values()):,} executions")
    if not any(FOUND.iterdir()):
        FOUND.rmdir()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
