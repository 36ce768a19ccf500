"""A running console before real servers of the contracts, and ways to visit it."""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_common.migrations import upgrade
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import TokenIssuer
from onecode_console.adapters.facts import bus_reason
from onecode_console.adapters.peers import GrpcPeers, PrincipalTokens
from onecode_console.adapters.records import RecordedCopies, RecordedSessions
from onecode_console.adapters.secret_files import SecretFiles
from onecode_console.adapters.upstream import HttpUpstream
from onecode_console.domain.origins import origins_of
from onecode_console.http import Faces
from onecode_console.service import Choices, Ports, Service, build
from onecode_console.visit import current_subject

TOKEN = "token-of-programs-0123456789"
CODE = "code-of-the-login-link-0123456789"


def load(name: str) -> ModuleType:
    """Load a file that stands beside this one."""
    full = f"console_tests_{name}"
    if full not in sys.modules:
        spec = spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@dataclass
class Stand:
    """A console that runs, and what stands around it."""

    service: Service
    plant: Any
    url: str
    folder: Path
    database: Database
    copies: RecordedCopies

    def program(self, **headers: str) -> httpx2.Client:
        """Return a client with the bearer token."""
        return httpx2.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}", **headers}, timeout=20)

    def stranger(self, **headers: str) -> httpx2.Client:
        """Return a client without any credential."""
        return httpx2.Client(base_url=self.url, headers=headers, timeout=20)

    def fresh_code(self, code: str) -> None:
        """Write a login code, as an operator does."""
        (self.folder / "login").write_text(code + "\n", encoding="ascii")

    @contextmanager
    def browser(self) -> Iterator[httpx2.Client]:
        """Yield a client that has signed in by a fresh link."""
        code = secrets.token_urlsafe(32)
        self.fresh_code(code)
        with self.stranger(**{"accept-language": "en"}) as client:
            answer = client.get("/login", params={"code": code})
            assert answer.status_code == 303, answer.text
            yield client


@pytest.fixture(scope="module")
def plant() -> Any:
    return load("console_servers").Plant(load("console_seeds"))


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, plant: Any) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("console")
    servers = load("console_servers")
    key = load_or_create_key(folder / "console.key")
    jwks = folder / "jwks.json"
    jwks.write_bytes(jwks_document({"console": public_bytes(key)}))
    (folder / "token").write_text(TOKEN, encoding="ascii")
    peers_up = {
        name: servers.grpc_server(name, plant, jwks) for name in ("ingestion", "training", "registry", "rollout")
    }
    face = load("console_face").http_face(plant, jwks, TOKEN)
    for part in (*peers_up.values(), face):
        part.start()
    stand = _open(folder, plant, {name: server.port for name, server in peers_up.items()}, face.port, key)
    yield stand
    for part in (stand.service.streams, stand.service.http, face, *peers_up.values()):
        part.stop()
    stand.service.inside.peers.close()  # type: ignore[attr-defined]
    stand.database.close()


def _open(folder: Path, plant: Any, ports: dict[str, int], face: int, key: Any) -> Stand:
    clock = SystemClock()
    database = Database(f"sqlite:///{folder / 'console.db'}")
    upgrade(database, "onecode_console")
    issuer = TokenIssuer("console", key, clock)
    principal = PrincipalTokens(issuer, clock, "default", current_subject)
    copies = RecordedCopies(database)
    http = _free_port()
    url = f"http://127.0.0.1:{http}"
    service = build(
        Ports(
            clock,
            RecordedSessions(database, clock, "default"),
            copies,
            SecretFiles(folder / "token", folder / "login"),
            GrpcPeers({name: f"127.0.0.1:{port}" for name, port in ports.items()}, issuer, principal),
            _faces(f"http://127.0.0.1:{face}", issuer, principal),
            bus_reason(None),
        ),
        Choices("default", "zh", "0.1.0", origins_of(url), f"127.0.0.1:{http}"),
    )
    for part in service.parts([]):
        part.start()
    return Stand(service, plant, url, folder, database, copies)


def _faces(url: str, issuer: TokenIssuer, principal: Callable[[], str]) -> Faces:
    def inside(service: str) -> dict[str, str]:
        return {"authorization": f"Bearer {issuer.caller(service)}", PRINCIPAL_HEADER: principal()}

    ingestion, registry, inference = (HttpUpstream(name, url) for name in ("ingestion", "registry", "inference"))
    return Faces(ingestion, registry, inference, inside, lambda: TOKEN)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
