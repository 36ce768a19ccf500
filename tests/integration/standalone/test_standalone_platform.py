"""The real platform, all of it: it comes up, keeps to loopback, and goes without a trace however it is ended."""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from onecode_client import OneCode
from onecode_client.rollouts import make_plan
from onecode_common.errors import OnecodeError
from onecode_standalone.control import ask
from onecode_standalone.proc import family, runs

ONECODE = Path(sys.executable).parent / "onecode"
LIMIT_S = 120.0
NONSENSE = ("http.", "request.", "internal", "json.")
"""Codes by which a server says that it does not know such a call."""


class Platform:
    """`onecode up` on a home, as a person starts it."""

    def __init__(self, home: Path, base: int) -> None:
        self.home, self.log = home, home.with_suffix(".log")
        faces = {"console": 90, "oip-rest": 91, "oip-grpc": 92, "edge": 93}
        ports = [f"--{name}-port={base + offset}" for name, offset in faces.items()]
        command = [ONECODE, "up", "--home", home, "--gateways", "1", f"--port-base={base + 100}", *ports]
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.wait(self.ready, "the platform to be ready")

    def ready(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return bool(self.status()["ready"])
        except OnecodeError:
            # The socket is not there yet, or it is still that of a supervisor that was killed.
            return False

    def status(self) -> dict[str, Any]:
        return ask(self.home / "control.sock", "status")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(f"{path.name}: {path.read_text()[-600:]}" for path in (self.home / "logs").iterdir())
                pytest.fail(f"waited for {what}; {self.log.read_text()[-2000:]}\n{logs}")
            time.sleep(0.1)

    def pids(self) -> set[int]:
        return family(str(self.home))

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(10)
        self.wait(lambda: not self.pids(), "the keeper")


@pytest.fixture
def start(tmp_path: Path, free_base: int) -> Iterator[Callable[[], Platform]]:
    """Start the platform on one home, again and again."""
    started: list[Platform] = []

    def up() -> Platform:
        started.append(Platform(tmp_path / "home", free_base))
        return started[-1]

    yield up
    for one in started:
        one.end()


def test_the_platform_comes_up_keeps_to_loopback_and_leaves_nothing(
    start: Callable[[], Platform], tmp_path: Path
) -> None:
    platform = start()
    pids = platform.pids()
    commands = " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in pids)
    assert "mlflow" in commands, "MLflow is below the registry"
    assert listeners_elsewhere(pids) == []
    assert secrets_in_environments(platform.home, pids) == []
    assert unknown_to_the_server(platform, tmp_path) == {}
    before = kept(platform.home)

    platform.popen.kill()
    platform.popen.wait(10)
    platform.wait(lambda: not any(runs(pid) for pid in pids), "every process to end with its supervisor")

    platform = start()
    assert kept(platform.home) == before, "keys, tokens and the gateway's identity stay"
    pids = platform.pids()
    for entry in platform.status()["processes"]:
        assert entry["restarts"] == 0, entry
    platform.popen.send_signal(signal.SIGTERM)
    assert platform.popen.wait(30) == 0
    assert [pid for pid in pids if runs(pid)] == []


def listeners_elsewhere(pids: set[int]) -> list[str]:
    """Return what listens on another address than loopback."""
    found = []
    for pid in pids:
        process = psutil.Process(pid)
        listening = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        found += [f"{process.cmdline()} on {one.laddr}" for one in listening if not is_local(one.laddr.ip)]
    return found


def is_local(address: str) -> bool:
    """Return whether it is a loopback address, also one of IPv4 written as IPv6."""
    return ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback


def secrets_in_environments(home: Path, pids: set[int]) -> list[str]:
    """Return the processes whose environment or arguments hold a secret."""
    files = [home / "api-token", home / "ray-token", home / "login-code", *(home / "nkeys").iterdir()]
    secrets = [path.read_bytes().strip() for path in files]
    found = []
    for pid in pids:
        shown = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        found += [f"{pid}" for secret in secrets if secret in shown]
    return found


def unknown_to_the_server(platform: Platform, folder: Path) -> dict[str, str]:
    """Return the client's methods whose path, fields or method the server does not know.

    Each is called with names of nothing: it may be refused, but not as nonsense.
    """
    file = folder / "nothing.csv"
    file.write_text("a,b\n1,2\n")
    token = (platform.home / "api-token").read_text().strip()
    found = {}
    with OneCode(platform.status()["addresses"]["urls"]["console"], token) as server:
        for name, call in every_call(server, file).items():
            try:
                call()
            except OnecodeError as error:
                if error.code.startswith(NONSENSE):
                    found[name] = f"{error.code}: {error.message}"
    return found


def every_call(server: OneCode, file: Path) -> dict[str, Callable[[], Any]]:
    """Return a call of each method that asks the server."""
    digest = "sha256:" + "0" * 64
    plan = make_plan("none", digest, ["cloud"], preset={"min_observe_seconds": 5})
    verbs = ("pause", "resume", "promote", "abort", "rollback", "approve", "cancel", "get", "explain")
    return {
        "version": server.version,
        "status": server.status,
        "send": lambda: server.data.send(file),
        "upload_state": lambda: server.data.upload_state("u_none"),
        "preview": lambda: server.data.preview("u_none", options={"target": "a"}),
        "commit": lambda: server.data.commit("u_none", "none", options={"delimiter": ","}),
        "datasets": server.data.list,
        "dataset": lambda: server.data.show("none"),
        "dataset version": lambda: server.data.show(digest),
        "dataset versions": lambda: server.data.versions("none"),
        "profile": lambda: server.data.profile(digest),
        "rows": lambda: server.data.rows(digest),
        "delete": lambda: server.data.delete(digest),
        "validate": lambda: server.train.validate("a: 1"),
        "start": lambda: server.train.start("a: 1", data=digest, model="none"),
        "runs": server.train.list,
        "run": lambda: server.train.get("r_none"),
        "watch": lambda: list(server.train.watch("r_none")),
        "stop": lambda: server.train.stop("r_none"),
        "resume": lambda: server.train.resume("r_none"),
        "models": server.models.list,
        "model": lambda: server.models.show("none"),
        "model version": lambda: server.models.version("none", 1),
        "import": lambda: server.models.import_onnx(file, "none", golden=file),
        "alias": lambda: server.models.alias("none", "champion", 1),
        "delete version": lambda: server.models.delete("none", 1),
        "segments": server.segments.list,
        "segment": lambda: server.segments.create("other"),
        "gateways": lambda: server.gateways.list(segment="other"),
        "gateway": lambda: server.gateways.get("none"),
        "new gateway": lambda: server.gateways.create("spare", "other"),
        "revoke": lambda: server.gateways.revoke("spare", reason="a test"),
        "plan": lambda: server.rollouts.plan(plan),
        "start rollout": lambda: server.rollouts.start(plan),
        "rollouts": lambda: server.rollouts.list(model="none"),
        **{f"rollout {verb}": partial(getattr(server.rollouts, verb), "ro_none") for verb in verbs},
        "predict": lambda: server.predict("none", [[1.0, None]]),
    }


def kept(home: Path) -> dict[str, str]:
    """Return what a restart must not change."""
    files = [home / "api-token", home / "gateways" / "gw-1.token", home / "registry" / "public" / "root.json"]
    files += [path for folder in ("keys", "nkeys") for path in (home / folder).iterdir()]
    files += [path for path in (home / "gateways" / "gw-1" / "identity").rglob("*") if path.suffix in (".key", ".pem")]
    content = {str(path.relative_to(home)): path.read_bytes().hex() for path in files}
    with (home / "ports.json").open() as ports:
        content["ports"] = json.dumps(json.load(ports))
    content["owner"] = str(os.getuid())
    return content
