"""Training between a real ingestion and a real registry, all of them processes, as ``onecode up`` starts them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onecode.ingestion.v1 import ingestion_pb2 as data
from onecode.ingestion.v1 import ingestion_pb2_grpc as data_rpc
from onecode.registry.v1 import registry_pb2_grpc as registry_rpc
from onecode.training.v1 import training_pb2 as pb
from onecode.training.v1 import training_pb2_grpc as rpc
from onecode_common.clock import SystemClock
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_common.rpc import Peer, connect
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import INSIDE_AUDIENCE, PRINCIPAL, TokenIssuer

_READY_S = 60.0
_RUN_S = 120.0
_TUS = {"Tus-Resumable": "1.0.0"}
_SIGNERS = ("registry", "ingestion", "training", "rollout", "inference", "console", "standalone")
PROJECT = "default"


@dataclass
class Platform:
    """Three processes that can be killed and started again, and the console's hands."""

    home: Path
    ports: Mapping[str, int]
    environments: Mapping[str, Mapping[str, str]]
    issuers: Mapping[str, TokenIssuer]
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    channels: list[grpc.Channel] = field(default_factory=list)

    def start(self, service: str) -> None:
        """Start a service and wait until it is ready."""
        with (self.home / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", f"onecode_{service}"], env=self.environments[service], stdout=log, stderr=log
            )
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and self.processes[service].poll() is None:
            url = f"http://127.0.0.1:{self.ports[f'{service}-ops']}/readyz"
            with contextlib.suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(url, timeout=2):
                return
            time.sleep(0.05)
        pytest.fail(f"{service} does not become ready: {self.log(service)}")

    def start_bus(self) -> None:
        """Start a message bus with streams, and without passwords."""
        program = Path(sys.executable).parent / "nats-server"
        with (self.home / "nats.log").open("ab") as log:
            arguments = ["-js", "-sd", str(self.home / "nats"), "-a", "127.0.0.1", "-p", str(self.ports["nats"])]
            self.processes["nats"] = subprocess.Popen([str(program), *arguments], stdout=log, stderr=log)

    def end(self, service: str, number: int = signal.SIGKILL) -> None:
        """End a service."""
        process = self.processes.pop(service)
        process.send_signal(number)
        process.wait(timeout=20)

    def log(self, service: str) -> str:
        """Return the end of a service's log."""
        return (self.home / f"{service}.log").read_text(errors="replace")[-3000:]

    def channel(self, service: str, caller: str = "console") -> grpc.Channel:
        """Return a channel on which a service speaks for somebody."""
        issuer = self.issuers[caller]
        peer = Peer(service, f"127.0.0.1:{self.ports[service]}")
        principal = issuer.mint(PRINCIPAL, "key:tester", INSIDE_AUDIENCE) if caller == "console" else ""
        channel = connect(peer, issuer, lambda: principal)
        self.channels.append(channel)
        return channel

    def nobody(self, service: str, issuer: TokenIssuer, audience: str = "") -> grpc.Channel:
        """Return a channel with a caller token (for another audience) and nobody behind it."""
        channel = connect(Peer(audience or service, f"127.0.0.1:{self.ports[service]}"), issuer)
        self.channels.append(channel)
        return channel

    @property
    def training(self) -> rpc.TrainingServiceStub:
        """Training, as the console sees it."""
        return rpc.TrainingServiceStub(self.channel("training"))

    @property
    def registry(self) -> registry_rpc.RegistryServiceStub:
        """The registry, as the console sees it."""
        return registry_rpc.RegistryServiceStub(self.channel("registry"))

    @property
    def ingestion(self) -> data_rpc.IngestionServiceStub:
        """Ingestion, as the console sees it."""
        return data_rpc.IngestionServiceStub(self.channel("ingestion"))

    def commit(self, name: str, content: bytes, **options: Any) -> str:
        """Upload a CSV file, commit it, and return the version id."""
        console = self.issuers["console"]
        token = console.mint(PRINCIPAL, "key:tester", INSIDE_AUDIENCE)
        headers = {**_TUS, "Authorization": f"Bearer {console.caller('ingestion')}", PRINCIPAL_HEADER: token}
        url = f"http://127.0.0.1:{self.ports['ingestion-http']}"
        with urllib3.PoolManager(retries=False, timeout=30) as pool:
            metadata = f"filename {b64encode(f'{name}.csv'.encode()).decode()}"
            begun = {**headers, "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
            path = pool.request("POST", f"{url}/uploads", headers=begun).headers["Location"]
            append = {**headers, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
            assert pool.request("PATCH", f"{url}{path}", headers=append, body=content).status == 204
        request = data.CommitUploadRequest(
            project=PROJECT, upload_id=path.rsplit("/", 1)[-1], dataset=name, options=data.ReadOptions(**options)
        )
        return str(self.ingestion.CommitUpload(request, timeout=60).version.version_id)

    def begin(self, run_id: str, version: str, recipe: str, model: str) -> pb.Run:
        """Start a run."""
        request = pb.StartRunRequest(
            project=PROJECT, run_id=run_id, dataset_version=version, recipe=recipe, model=model
        )
        return self.training.StartRun(request).run

    def run(self, run_id: str) -> pb.Run:
        """Return a run."""
        return self.training.GetRun(pb.GetRunRequest(project=PROJECT, run_id=run_id)).run

    def wait(self, run_id: str, reached: Callable[[pb.Run], bool]) -> pb.Run:
        """Return the run as soon as it is as wanted."""
        stub = self.training
        end = time.monotonic() + _RUN_S
        while time.monotonic() < end:
            run = stub.GetRun(pb.GetRunRequest(project=PROJECT, run_id=run_id)).run
            if reached(run):
                return run
            time.sleep(0.1)
        pytest.fail(f"run {run_id} is {run}; log: {self.log('training')}")

    def driver(self, run_id: str) -> list[int]:
        """Return the processes that work on a run: those in the session of whoever carries its mark."""
        mark = f"ONECODE_RUN_FOLDER={self.home}/training/runs/{run_id}".encode()
        sessions: dict[int, int] = {}
        marked = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] in "ZX":
                    continue
                sessions[int(entry.name)] = int(fields[3])
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    marked.add(int(fields[3]))
        return sorted(pid for pid, session in sessions.items() if session in marked)

    def kill_driver(self, run_id: str) -> None:
        """Kill the driver itself; what it started must not outlive it either."""
        os.kill(min(self.driver(run_id), key=lambda pid: pid != os.getsid(pid)), signal.SIGKILL)

    def close(self) -> None:
        """End everything."""
        for channel in self.channels:
            channel.close()
        for service in [name for name in ("training", "registry", "ingestion", "nats") if name in self.processes]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end(service, signal.SIGTERM)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Ingestion, registry and training on loopback."""
    home = tmp_path_factory.mktemp("training")
    keys = {name: load_or_create_key(home / "keys" / f"{name}.key") for name in _SIGNERS}
    (home / "jwks.json").write_bytes(jwks_document({name: public_bytes(key) for name, key in keys.items()}))
    fleet = load_or_create_key(home / "keys" / "fleet.key").public_key()
    (home / "fleet.pub").write_bytes(fleet.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    issuers = {name: TokenIssuer(name, key, SystemClock()) for name, key in keys.items()}
    ports = _ports("ingestion", "ingestion-http", "registry", "registry-http", "training", "mlflow", "nats", *_OPS)
    found = Platform(home, ports, _environments(home, ports), issuers)
    try:
        found.start_bus()
        for service in ("ingestion", "registry", "training"):
            found.start(service)
        yield found
    finally:
        found.close()


_OPS = ("ingestion-ops", "registry-ops", "training-ops")


def _environments(home: Path, ports: Mapping[str, int]) -> dict[str, dict[str, str]]:
    def at(name: str) -> str:
        return f"127.0.0.1:{ports[name]}"

    own = {
        "ingestion": {"HTTP_ADDRESS": at("ingestion-http"), "OBJECTS_URL": f"file://{home}/objects/data"},
        "registry": {
            "HTTP_ADDRESS": at("registry-http"),
            "PUBLIC_URL": f"http://{at('registry-http')}",
            "OBJECTS_URL": f"file://{home}/objects/models",
            "KEYS_DIR": f"{home}/registry/keys",
            "FLEET_PUBLIC_KEY_FILE": f"{home}/fleet.pub",
            # Nobody is there: a run's log waits, and everything else goes on.
            "MLFLOW_URL": f"http://{at('mlflow')}",
        },
        "training": {
            "INGESTION_ADDRESS": at("ingestion"),
            "REGISTRY_ADDRESS": at("registry"),
            "REGISTRY_HTTP_URL": f"http://{at('registry-http')}",
            "DATASETS_URL": f"file://{home}/objects/data",
            "NATS_URL": f"nats://{at('nats')}",
        },
    }
    environments = {}
    for service, more in own.items():
        (home / service).mkdir()
        values = {
            "GRPC_ADDRESS": at(service),
            "OPS_ADDRESS": at(f"{service}-ops"),
            "KEY_FILE": f"{home}/keys/{service}.key",
            "JWKS_FILE": f"{home}/jwks.json",
            "DATABASE_URL": f"sqlite:///{home}/{service}/{service}.db",
            "HOME_DIR": f"{home}/{service}",
            **more,
        }
        environments[service] = {
            **os.environ,
            **{f"ONECODE_{service.upper()}_{name}": value for name, value in values.items()},
        }
    return environments


def _ports(*names: str) -> dict[str, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def readings() -> bytes:
    """569 real measurements of thirty features and a diagnosis, as CSV."""
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    names = [f"feature {number}" for number in range(features.shape[1])]
    lines = [",".join([*names, "diagnosis"])]
    lines += [
        ",".join([*(repr(float(value)) for value in row), "benign" if label else "malignant"])
        for row, label in zip(features, labels, strict=True)
    ]
    return "\n".join(lines).encode() + b"\n"
