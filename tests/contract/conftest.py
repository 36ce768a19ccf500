"""Real servers for the contract tests: PostgreSQL and an S3, both from wheels, each with a folder of its own.

``postgres_url`` and ``s3_url`` are a fresh database and a fresh bucket for each test module; ``record_url`` is a fresh
database for each test, once on SQLite and once on PostgreSQL.
"""

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3

sys.path.insert(0, str(Path(__file__).parent))

from contract_postgres import new_database, serving

_ACCESS, _SECRET = "contract-access", "contract-secret"
_START_S = 60.0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL on a Unix socket."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def new_postgres_url(postgres_server: Any) -> Callable[[], str]:
    """Make an empty database and return its URL."""
    return partial(new_database, postgres_server)


@pytest.fixture(scope="module")
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """An empty PostgreSQL database of this test module."""
    return new_postgres_url()


@pytest.fixture(params=["sqlite", "postgresql"])
def record_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test, on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_postgres_url")
    return make()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A SeaweedFS on loopback with one identity; yields its host:port."""
    folder = Path(tempfile.mkdtemp(prefix="oc-s3-"))
    identity = {"accessKey": _ACCESS, "secretKey": _SECRET}
    config = {"identities": [{"name": "onecode", "credentials": [identity], "actions": ["Admin", "Read", "Write"]}]}
    (folder / "s3.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "credentials").write_text(f"{_ACCESS}\n{_SECRET}\n", encoding="utf-8")
    (folder / "credentials").chmod(0o600)
    (folder / "data").mkdir()
    process, address = _start_s3(folder)
    try:
        yield f"{address}|{folder / 'credentials'}"
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)
        # Its Unix sockets lie outside its folder, whatever one asks.
        for left in Path("/tmp").glob(f"seaweedfs-*-{address.rpartition(':')[2]}.sock"):  # noqa: S108
            left.unlink()


@pytest.fixture(scope="module")
def s3_url(s3_server: str) -> str:
    """A bucket of this test module that does not exist yet."""
    address, _, credentials = s3_server.partition("|")
    return f"s3://{address}/t-{secrets.token_hex(6)}/objects?credentials={credentials}&tls=0"


_TRIES = 3
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


def _start_s3(folder: Path) -> "tuple[subprocess.Popen[bytes], str]":
    """Start the server; a port may be taken between the look and the start, then others are tried."""
    for _ in range(_TRIES):
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "weed"),
                    f"-logdir={folder}",
                    "server",
                    "-s3",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-dir={folder / 'data'}",
                    f"-s3.config={folder / 's3.json'}",
                    "-master.telemetry=false",
                    # Two catalogues that nobody asked for, at ports of their own choice.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-volume.max=20",
                    "-master.volumeSizeLimitMB=64",
                    *(f"-{name}={port}" for name, port in ports.items()),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        address = f"127.0.0.1:{ports['s3.port']}"
        if _answers(process, address):
            return process, address
        _end(process)
    pytest.fail(f"no S3 on {address}: {(folder / 'log').read_text(errors='replace')[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # It takes 25 s to end by itself, and its folder is thrown away.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that the system hands out to clients."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        if port not in ports:
            ports.append(port)
    return ports


def _answers(process: "subprocess.Popen[bytes]", address: str) -> bool:
    pool = urllib3.PoolManager(timeout=2, retries=False)
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if pool.request("GET", f"http://{address}/status").status == 200:
                return True
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    return False
