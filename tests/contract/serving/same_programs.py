"""Start the two programs that serve models, the cloud's and a gateway's, each as its operator's release would."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from inference_world import Distribution, Inference, arm, entry, eventually
from same_models import Sample
from serving_models import Built

from onecode_common.canonical import canonical, sha256_hex
from onecode_common.errors import UnavailableError
from onecode_delivery.store import ModelStore
from onecode_edge.domain.modelset import ModelSet, from_document
from onecode_edge.layout import Layout
from onecode_edge.seal import Seal, write_seal
from onecode_edge.unix_http import ask
from onecode_inference.state import ModelState, StateFile

WAIT_S = 20
KEY = "same-key"
"""Of a caller who may do everything; to register shared memory is an administrator's right."""

_NOBODY = 1
"""A port where no broker listens; the address is taken back."""


@contextmanager
def cloud(folder: Path, samples: Sequence[Sample]) -> Iterator[str]:
    """Run ``python -m onecode_inference`` after a signed policy with all models, and return its host:port.

    It finds in its state that it has proven them before: their trials in child processes are not repeated.
    """
    distribution = Distribution()
    for one in samples:
        distribution.add(one.built)
    distribution.publish(1, *[entry(1, arm(0, 10_000, one.built, "stable"), name=one.name) for one in samples])
    distribution.start()
    folder.mkdir()
    (folder / "root.json").write_bytes(distribution.root)
    home = folder / "home"
    home.mkdir()
    StateFile(home / "state.json").save({one.name: ModelState(one.built.digest, 1) for one in samples})
    server = Inference(home, distribution, _NOBODY, NATS_URL="", **_switches(folder))
    server.start()
    status: int | None = None
    try:
        eventually(server.ready, "the cloud's server is not ready")
        yield f"127.0.0.1:{server.rest}"
        status = server.stop()
    finally:
        if status is None:
            server.stop(kill=True)
        distribution.stop()
        # Shown by pytest where a test failed.
        print((folder / "log").read_text())  # noqa: T201
    assert status == 0


@contextmanager
def gateway(folder: Path, samples: Sequence[Sample]) -> Iterator[str]:
    """Run a gateway's ``onecode_edge.serve`` over a sealed set of all models, and return its host:port."""
    layout = Layout(folder)
    layout.make()
    store = ModelStore(layout.root)
    for one in samples:
        _keep(store, one.built)
    models = from_document([_entry(one) for one in samples])
    write_seal(layout, Seal(models, 1, 3600))
    with ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        process = stack.enter_context(_serving(layout, models, door))
        eventually(_serves(layout, process), "the gateway's process does not serve")
        yield f"127.0.0.1:{door.getsockname()[1]}"
        # The signal of an agent that ends: nobody comes for its counters.
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0


@contextmanager
def _serving(layout: Layout, models: ModelSet, door: socket.socket) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the process as the gateway's supervisor does: with a socket, and a pipe that tells of our end."""
    read, write = os.pipe()
    names = {"--name": "serve-1", "--set": models.id, "--gateway": "gw-1"}
    ties = {"--parent": os.getpid(), "--lifeline": read, "--sockets": door.fileno()}
    settings = {"HOME_DIR": str(layout.root), "GRPC_ADDRESS": "", **_switches(layout.run)}
    command = [str(part) for pair in {**names, **ties}.items() for part in pair]
    process = subprocess.Popen(
        [sys.executable, "-m", "onecode_edge.serve", *command],
        env={**os.environ, **{f"ONECODE_EDGE_{name}": value for name, value in settings.items()}},
        pass_fds=(read, door.fileno()),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(read)
        os.close(write)


def _serves(layout: Layout, process: "subprocess.Popen[bytes]") -> Callable[[], bool]:
    def asked() -> bool:
        assert process.poll() is None, f"it ended with status {process.returncode}"
        try:
            answer: Mapping[str, Any] = ask(layout.serve_socket("serve-1"), "GET /v1/status")
        except UnavailableError:
            return False
        return bool(answer["phase"] == "serving")

    return asked


def _switches(folder: Path) -> dict[str, str]:
    """Return what an operator sets of either program."""
    tenants = [{"principal": "tester", "keys": [sha256_hex(KEY.encode())], "verbs": ["read", "infer", "admin"]}]
    path = folder / "tenants.json"
    path.write_text(json.dumps({"schema": 1, "tenants": tenants}))
    return {"ANONYMOUS": "false", "TENANTS_FILE": str(path), "SHARED_MEMORY": "true"}


def _keep(store: ModelStore, built: Built) -> None:
    for content in (canonical(built.manifest), built.onnx, built.golden):
        store.add(sha256_hex(content), content)


def _entry(one: Sample) -> dict[str, Any]:
    return {**entry(1, arm(0, 10_000, one.built, "stable"), name=one.name)}
