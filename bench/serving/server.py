"""Start the server under measurement as its own process, and give it orders while it serves."""

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.serving.certificate import write_certificate
from bench.serving.home import Home
from bench.serving.machine import SERVER_CORE
from bench.serving.models import Model, build
from onecode_common.canonical import sha256_hex

_ROOT = Path(__file__).parents[2]
_FIRST_SEED = 6


class Server:
    """``python -m bench.serving.serve`` on its core, with models, one bearer token, and TLS if wanted.

    Args:
        models: How many releases of each are there to be loaded; the first one is served.
        tls: Speak TLS only.

    Attributes:
        port: On loopback; every face.
        token: The one that it lets in.
        authority_file: Certificate to trust; empty without TLS.
        pid: Of its process.
    """

    def __init__(self, models: Mapping[str, int], *, tls: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-serving-")
        home = Home(Path(self._folder.name))
        self.token = secrets.token_urlsafe(32)
        home.tokens.write_text(sha256_hex(self.token.encode()) + "\n")
        for name, releases in models.items():
            for release in range(1, releases + 1):
                _write(release_of(name, release), release, home)
        self.authority_file = write_certificate(home) if tls else ""
        self._process = _start("bench.serving.serve", "--home", self._folder.name, "--models", ",".join(models))
        self.pid = self._process.pid
        self.port = int(self._read()["port"])

    def order(self, what: str, **details: Any) -> dict[str, Any]:
        """Give an order and return what was done."""
        assert self._process.stdin  # noqa: S101 - for the type checker
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Stop it."""
        assert self._process.stdin  # noqa: S101 - as above
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout  # noqa: S101 - as above
        self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout  # noqa: S101 - as above
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the server ended: its last words stand above")
        document: dict[str, Any] = json.loads(line)
        return document


class Echo:
    """``python -m bench.serving.echo`` on the same core.

    Attributes:
        port: On loopback.
        pid: Of its process.
    """

    def __init__(self) -> None:
        self._process = _start("bench.serving.echo")
        self.pid = self._process.pid
        assert self._process.stdout  # noqa: S101 - for the type checker
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def release_of(name: str, release: int) -> Model:
    """Return a release of a model; each gives other answers to the same rows."""
    return build(name, _FIRST_SEED + release)


def _write(model: Model, release: int, home: Home) -> None:
    """Write a model and its manifest."""
    tensors = [
        {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in (model.input, *model.outputs)
    ]
    files = [{"name": "model.onnx", "sha256": sha256_hex(model.onnx), "length": len(model.onnx)}]
    contract = {"inputs": tensors[:1], "outputs": tensors[1:]}
    manifest = {"model": model.name, "release": release, "files": files, "contract": contract}
    home.manifest(model.name, release).write_text(json.dumps(manifest))
    home.onnx(model.name, release).write_bytes(model.onnx)


def _start(module: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, "--core", str(SERVER_CORE), *options]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - a module of this bench
