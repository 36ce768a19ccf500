"""Put processes of another release into a running platform: a service in its place, a gateway beside it."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from kept_releases import Release
from whole_platform import Platform

from onecode_standalone.control import ask

_STOP_S = 20


def processes(platform: Platform) -> dict[str, dict[str, Any]]:
    """Return what the platform says of each of its processes."""
    found: dict[str, Any] = ask(platform.home / "control.sock", "status")
    return {one["name"]: one for one in found["processes"]}


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def command_of(pid: int) -> list[str]:
    """Return the words by which a process was started."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


@contextmanager
def replaced(platform: Platform, settings: Mapping[str, Mapping[str, str]], release: Release) -> Iterator[None]:
    """Let services of another release stand in for the platform's own, on the same files and ports.

    Args:
        platform: That runs.
        settings: Environment by service, as that release's own platform gives it.
        release: Whose services these are.
    """
    control, running = platform.home / "control.sock", []
    try:
        for name, environment in settings.items():
            ask(control, "stop", name)
            platform.wait(lambda name=name: processes(platform)[name]["state"] == "held", f"{name} to stop")
            with platform.home.with_suffix(f".{name}.log").open("ab") as log:
                command = [str(release.python), "-m", f"onecode_{name}"]
                folder = platform.home / name
                running.append(subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log))
        for name, environment in settings.items():
            address = environment[f"ONECODE_{name.upper()}_OPS_ADDRESS"]
            platform.wait(lambda address=address: ready(address), f"{name} of {release.version}")
        assert [command_of(one.pid)[0] for one in running] == [str(release.python)] * len(settings)
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(_STOP_S)
        for name in settings:
            ask(control, "start", name)
    for name in settings:
        platform.wait(lambda name=name: processes(platform)[name]["state"] == "ready", f"{name} to be back")


@contextmanager
def gateway(platform: Platform, name: str, release: Release, ports: tuple[int, int, int]) -> Iterator[str]:
    """Run a gateway as an operator elsewhere would; yields the URL of its predictions."""
    made = platform.server.gateways.create(name, "line-1", accept=True)
    home = platform.home.with_name(name)
    home.mkdir()
    token = home.with_suffix(".token")
    token.write_text(made.token)
    rest, grpc, ops = (f"127.0.0.1:{port}" for port in ports)
    values = {
        "HOME_DIR": home, "SERVER_URL": platform.edge_url, "ENROL_TOKEN_FILE": token, "ROOT_SHA256": made.root_sha256,
        "REST_ADDRESS": rest, "GRPC_ADDRESS": grpc, "OPS_ADDRESS": ops, "ANONYMOUS": "true",
    }  # fmt: skip
    environment = {**os.environ, **{f"ONECODE_EDGE_{key}": str(value) for key, value in values.items()}}
    with home.with_suffix(".log").open("ab") as log:
        command = [str(release.python), "-m", "onecode_edge"]
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    try:
        yield f"http://{rest}"
    finally:
        process.terminate()
        process.wait(_STOP_S)


def ready(address: str) -> bool:
    """Whether a process says on its ops port that it is ready."""
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        try:
            return pool.request("GET", f"http://{address}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False
