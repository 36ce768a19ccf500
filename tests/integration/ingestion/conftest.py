"""A real ingestion process, as ``onecode up`` starts it, and the console's ways to it."""

import json
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode.ingestion.v1 import ingestion_pb2_grpc as rpc
from onecode_common.clock import SystemClock
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_common.rpc import Peer, connect
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import INSIDE_AUDIENCE, PRINCIPAL, TokenIssuer
from onecode_ingestion.adapters.reading.child import do_job
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import ReadOptions

_READY_S = 90.0
TUS = {"Tus-Resumable": "1.0.0"}
APPEND = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass
class Platform:
    """An ingestion process that can be killed and started again, and those who talk to it."""

    home: Path
    ports: tuple[int, int, int]
    environment: Mapping[str, str]
    issuers: Mapping[str, TokenIssuer]
    process: "subprocess.Popen[bytes] | None" = None
    channels: list[grpc.Channel] = field(default_factory=list)
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30))

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "onecode_ingestion"], env=dict(self.environment), stdout=log, stderr=log
            )
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[2]}/readyz", timeout=2):
                    return
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.05)
        pytest.fail(f"ingestion does not become ready: {self.log()}")

    def kill(self) -> None:
        """Kill it without a warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        """End everything."""
        for channel in self.channels:
            channel.close()
        self.pool.clear()
        if self.process is not None:
            self.kill()

    def log(self) -> str:
        """Return the end of its log."""
        return (self.home / "log").read_text(errors="replace")[-3000:]

    def stub(self, service: str = "console", principal: str = "key:tester") -> rpc.IngestionServiceStub:
        """Return a stub of a service that may speak for somebody."""
        issuer = self.issuers[service]
        token = issuer.mint(PRINCIPAL, principal, INSIDE_AUDIENCE) if principal else ""
        peer = Peer("ingestion", f"127.0.0.1:{self.ports[0]}")
        channel = connect(peer, issuer, lambda: token)
        self.channels.append(channel)
        return rpc.IngestionServiceStub(channel)

    def http(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Ask the upload face as the console does."""
        everything = {**self.credentials(), **(headers or {})}
        return self.pool.request(method, self.url(path), headers=everything, body=body)

    def credentials(self) -> dict[str, str]:
        """Return the console's headers."""
        console = self.issuers["console"]
        principal = console.mint(PRINCIPAL, "key:tester", INSIDE_AUDIENCE)
        return {"Authorization": f"Bearer {console.caller('ingestion')}", PRINCIPAL_HEADER: principal}

    def url(self, path: str) -> str:
        """Return the address of a path of the upload face."""
        return f"http://127.0.0.1:{self.ports[1]}{path}"

    def begin(self, length: int, name: str = "readings.csv", **metadata: str) -> str:
        """Create an upload and return its id."""
        pairs = {"filename": name, **metadata}
        encoded = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items())
        answer = self.http("POST", "/uploads", {**TUS, "Upload-Length": str(length), "Upload-Metadata": encoded})
        assert answer.status == 201, answer.data
        return answer.headers["Location"].rsplit("/", 1)[-1]

    def append(self, upload_id: str, offset: int, content: bytes) -> urllib3.BaseHTTPResponse:
        """Send bytes at an offset."""
        return self.http("PATCH", f"/uploads/{upload_id}", {**APPEND, "Upload-Offset": str(offset)}, content)

    def offset(self, upload_id: str) -> int:
        """Return the durable offset."""
        return int(self.http("HEAD", f"/uploads/{upload_id}", TUS).headers["Upload-Offset"])

    def upload(self, content: bytes, name: str = "readings.csv") -> str:
        """Upload a file in one piece and return the id."""
        upload_id = self.begin(len(content), name)
        if content:
            assert self.append(upload_id, 0, content).status == 204
        return upload_id

    def commit(self, content: bytes, dataset: str, name: str = "readings.csv", **options: Any) -> pb.Version:
        """Upload and commit; return the version."""
        request = pb.CommitUploadRequest(
            upload_id=self.upload(content, name), dataset=dataset, options=pb.ReadOptions(**options)
        )
        return self.stub().CommitUpload(request, timeout=90).version

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture(scope="session")
def new_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Platform]]:
    """Make an ingestion process that is not started yet."""
    made: list[Platform] = []

    def make(**settings: str) -> Platform:
        home = tmp_path_factory.mktemp("ingestion")
        keys = {name: load_or_create_key(home / f"{name}.key") for name in ("console", "training", "rollout")}
        (home / "jwks.json").write_bytes(jwks_document({name: public_bytes(key) for name, key in keys.items()}))
        ports = _free_ports()
        values = {
            "GRPC_ADDRESS": f"127.0.0.1:{ports[0]}",
            "HTTP_ADDRESS": f"127.0.0.1:{ports[1]}",
            "OPS_ADDRESS": f"127.0.0.1:{ports[2]}",
            "DATABASE_URL": f"sqlite:///{home / 'ingestion.db'}",
            "OBJECTS_URL": f"file://{home / 'objects'}",
            "HOME_DIR": str(home / "home"),
            "JWKS_FILE": str(home / "jwks.json"),
            **settings,
        }
        environment = {"PATH": os.environ["PATH"], **{f"ONECODE_INGESTION_{key}": one for key, one in values.items()}}
        clock = SystemClock()
        issuers = {name: TokenIssuer(name, key, clock) for name, key in keys.items()}
        made.append(Platform(home, ports, environment, issuers))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def platform(new_platform: Callable[..., Platform]) -> Platform:
    """One ingestion process for all tests that leave it as it was."""
    one = new_platform()
    one.start()
    return one


def _free_ports() -> tuple[int, int, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports[0], ports[1], ports[2]


SMALL = Limits(upload_bytes=64 << 20, decoded_bytes=48 << 20, rows=200_000, columns=50)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Read bytes as the child does, in this process; returns the outcome document."""

    def run(content: bytes, name: str = "a.csv", *, preview: bool = False, **options: Any) -> dict[str, Any]:
        (tmp_path / "file").write_bytes(content)
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        job = {
            "path": str(tmp_path / "file"),
            "file_name": name,
            "folder": str(folder),
            "preview": preview,
            "options": ReadOptions(**options).to_document(),
            "limits": asdict(SMALL),
        }
        outcome: dict[str, Any] = json.loads(json.dumps(do_job(job), allow_nan=False))
        return outcome

    return run
