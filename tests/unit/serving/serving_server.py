"""Start and steer the server process of the tests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Server:
    """A running server; ``rest`` and ``grpc`` are host:port."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        ports = self._answer()
        self.rest = f"127.0.0.1:{ports['rest']}"
        self.grpc = f"127.0.0.1:{ports['grpc']}"

    def route(self, model: str, *releases: int) -> None:
        """Serve the last release; each one before it gets a tenth."""
        self.ask(f"route {model} {' '.join(map(str, releases))}")

    def counters(self) -> list[dict[str, Any]]:
        """Return all rows of counters."""
        return list(self.ask("counters"))

    def ask(self, line: str) -> Any:
        """Send a line and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server ended"
        return json.loads(line)


@contextmanager
def running(*arguments: str) -> Iterator[Server]:
    """Run a server until the block ends; it must then end by itself with status 0."""
    script = Path(__file__).with_name("serving_process.py")
    command = [sys.executable, "-W", "error", str(script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
