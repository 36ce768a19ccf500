"""The registry as a process: it starts by itself, says what is wrong, survives a kill, leaves no child behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from onecode.registry.v1 import registry_pb2 as pb
from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.rpc import Peer, connect


class Process:
    """A registry started as an operator starts it."""

    def __init__(self, bench: Any, ports: list[int]) -> None:
        self.bench = bench
        self.ports = ports
        names = ("grpc_address", "http_address", "ops_address", "mlflow_address")
        addresses = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        wanted = ("database_url", "objects_url", "home_dir", "keys_dir", "fleet_public_key_file", "jwks_file")
        settings = bench.settings()
        fields = {**{name: str(getattr(settings, name)) for name in wanted}, **addresses}
        own = {f"ONECODE_REGISTRY_{name.upper()}": value for name, value in fields.items()}
        self.environment = {**os.environ, **own}
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "onecode_registry"], env=self.environment, stderr=subprocess.DEVNULL
        )
        eventually(lambda: self.ready() or self.child is None or self.child.poll() is not None, "it is ready")
        assert self.ready()

    def ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.ports[2]}/readyz"
            return bool(json.loads(urllib3.request("GET", url, retries=False, timeout=5).data)["ready"])
        except urllib3.exceptions.HTTPError:
            return False

    def kill(self, number: int) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(15)

    def mlflow_pid(self) -> int:
        return int((self.bench.home / "registry" / "mlflow" / "pid").read_text().split()[0])


def eventually(claim: Callable[[], Any], what: str, limit_s: float = 60.0) -> Any:
    end = time.monotonic() + limit_s
    waiting = threading.Event()
    while time.monotonic() < end:
        found = claim()
        if found:
            return found
        waiting.wait(0.05)
    pytest.fail(f"never happened: {what}")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def process(stopped: Any) -> Iterator[Process]:
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    started = Process(stopped, ports)
    yield started
    if started.child is not None and started.child.poll() is None:
        started.kill(signal.SIGTERM)


def test_it_serves_again_after_a_kill_and_its_mlflow_ends_with_it(process: Process) -> None:
    process.start()
    first = eventually(process.mlflow_pid, "MLflow is started")
    channel = connect(Peer("registry", f"127.0.0.1:{process.ports[0]}"), process.bench.issuer("training"))
    training = rpc.RegistryServiceStub(channel)
    training.LogRun(pb.LogRunRequest(project="default", run_id="r1", batch=1, state="running"))
    assert process.kill(signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: not runs(first), "MLflow ends with the registry")
    process.start()
    training.LogRun(pb.LogRunRequest(project="default", run_id="r1", batch=1, state="running"))
    channel.close()
    second = eventually(lambda: (pid := process.mlflow_pid()) != first and pid, "MLflow is started again")
    assert process.kill(signal.SIGTERM) == 0
    assert not runs(second)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ONECODE_REGISTRY_GRCP_ADDRESS", "x", "unknown setting ONECODE_REGISTRY_GRCP_ADDRESS"),
        ("ONECODE_REGISTRY_OBJECTS_URL", "ftp://x", "neither file:///folder nor s3://"),
        ("ONECODE_REGISTRY_FLEET_PUBLIC_KEY_FILE", "/nonexistent", "cannot read /nonexistent"),
        ("ONECODE_REGISTRY_SWEEP_AFTER_H", "0", "ONECODE_REGISTRY_SWEEP_AFTER_H does not fit"),
        ("ONECODE_REGISTRY_HTTP_ADDRESS", "here", "'here' is not host:port"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(process: Process, name: str, value: str, words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "onecode_registry"],
        env={**process.environment, name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
