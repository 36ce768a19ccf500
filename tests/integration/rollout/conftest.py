"""A real rollout process with a real nats-server; the registry is a stand-in, members are played by the test."""

import base64
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from onecode.edge.v1 import edge_pb2 as edge
from onecode.registry.v1 import registry_pb2 as reg
from onecode.registry.v1 import registry_pb2_grpc as reg_rpc
from onecode.rollout.v1 import rollout_pb2 as pb
from onecode.rollout.v1 import rollout_pb2_grpc as rpc
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.errors import ConflictError, NotFoundError, UnavailableError
from onecode_common.keys import jwks_document, public_bytes
from onecode_common.rpc import GrpcServer, Peer, Rule, connect
from onecode_common.tokens import INSIDE_AUDIENCE, PRINCIPAL, TokenIssuer, TokenVerifier

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))
sys.path.insert(0, str(Path(__file__).parents[2] / "contract" / "upgrade"))

SERVICES = ("console", "rollout", "registry")


def digest(model: str, number: int) -> str:
    """Return the digest of version ``number`` of a model."""
    return f"sha256:{hashlib.sha256(f'{model} {number}'.encode()).hexdigest()}"


class RegistryStub(reg_rpc.RegistryServiceServicer):
    """Knows versions of models by digest; keeps what is published; compares and sets aliases."""

    def __init__(self) -> None:
        self.version = 0
        self.metadata = b""
        self.policies: dict[str, dict[str, Any]] = {}
        self.history: list[int] = []
        self.champions: dict[str, str] = {}
        self.versions: dict[str, tuple[str, int]] = {}
        self.down = False

    def know(self, model: str) -> None:
        """Register versions 1 to 5 of a model."""
        self.versions |= {digest(model, number): (model, number) for number in range(1, 6)}

    def GetVersion(self, request: reg.GetVersionRequest, _context: grpc.ServicerContext) -> reg.GetVersionResponse:
        wanted = self.champions.get(request.model, "") if request.alias else request.digest
        if request.release:
            wanted = digest(request.model, request.release)
        if wanted not in self.versions:
            raise NotFoundError(f"no version {wanted}", code="version.unknown")
        model, number = self.versions[wanted]
        contract = reg.Contract(inputs=[reg.TensorSpec(name="features", datatype="FP32", shape=[-1, 9])])
        return reg.GetVersionResponse(
            version=reg.Version(model=model, release=number, digest=wanted, contract=contract)
        )

    def PublishPolicy(
        self, request: reg.PublishPolicyRequest, context: grpc.ServicerContext
    ) -> reg.PublishPolicyResponse:
        if self.down:
            context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        if request.generation < self.version:
            raise ConflictError("an older version", code="policy.older")
        self.version, self.metadata = request.generation, request.fleet_metadata
        self.history.append(request.generation)
        for path, content in request.policies.items():
            self.policies[path.split("/")[1]] = json.loads(content)
        return reg.PublishPolicyResponse(generation=self.version)

    def GetDistribution(
        self, _request: reg.GetDistributionRequest, _context: grpc.ServicerContext
    ) -> reg.GetDistributionResponse:
        return reg.GetDistributionResponse(fleet_metadata=self.metadata, root_metadata=b'{"root":1}')

    def SetAlias(self, request: reg.SetAliasRequest, _context: grpc.ServicerContext) -> reg.SetAliasResponse:
        if request.expected_digest != self.champions.get(request.model, ""):
            raise ConflictError("moved", code="alias.moved")
        self.champions[request.model] = request.digest
        return reg.SetAliasResponse()


@dataclass
class Edge:
    """A gateway as far as the edge face sees it."""

    url: str
    name: str
    token: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    access: str = ""

    def post(
        self, path: str, body: bytes, content_type: str = "application/json", bearer: str = ""
    ) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": content_type})  # noqa: S310
        if bearer:
            request.add_header("Authorization", f"Bearer {bearer}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def enrol(self, token: str = "", key: Ed25519PrivateKey | None = None) -> tuple[int, dict[str, Any]]:
        key, token = key or self.key, token or self.token
        raw = public_bytes(key)
        message = b"onecode-enrol-v1\x00" + hashlib.sha256(token.encode()).digest() + raw
        body = {
            "token": token,
            "public_key": base64.urlsafe_b64encode(raw).decode(),
            "signature": base64.urlsafe_b64encode(key.sign(message)).decode(),
            "facts": {"cpu": "test"},
        }
        status, answer = self.post("/edge/v1/enrol", json.dumps(body).encode())
        return status, json.loads(answer)

    def assertion(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.name, "sub": self.name, "aud": "onecode:edge", "iat": now, "exp": now + 60}
        claims |= {"jti": secrets.token_hex(8), **changes}
        headers = {"typ": "onecode-assertion+jwt", "kid": self.name}
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers=headers)

    def get_access(self, assertion: str = "") -> tuple[int, dict[str, Any]]:
        body = json.dumps({"assertion": assertion or self.assertion()}).encode()
        status, answer = self.post("/edge/v1/token", body)
        document = json.loads(answer)
        self.access = document.get("access_token", self.access)
        return status, document

    def report(self, *reports: edge.Report) -> tuple[int, list[int]]:
        body = edge.ReportBatch(reports=reports).SerializeToString()
        status, answer = self.post("/edge/v1/reports", body, "application/x-protobuf", self.access)
        return status, list(edge.Acknowledged.FromString(answer).sequences) if status == 200 else []


class Platform:
    """The processes of one test and the tools to talk to them."""

    def __init__(self, folder: Path, nats_url: str) -> None:
        self.folder, self.nats_url = folder, nats_url
        keys = {name: Ed25519PrivateKey.generate() for name in SERVICES}
        self.jwks = folder / "jwks.json"
        self.jwks.write_bytes(jwks_document({name: public_bytes(key) for name, key in keys.items()}))
        pem = keys["rollout"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "rollout.key").write_bytes(pem)
        (folder / "rollout.key").chmod(0o600)
        self.keys = keys
        self.registry = RegistryStub()  # type: ignore[abstract]
        rules = {f"/onecode.registry.v1.RegistryService/{name}": Rule.of("rollout") for name in _REGISTRY_METHODS}
        self._registry_server = GrpcServer("registry", "127.0.0.1:0", TokenVerifier(self.jwks, SystemClock()), rules)
        reg_rpc.add_RegistryServiceServicer_to_server(self.registry, self._registry_server.server)
        self._registry_server.start()
        self.grpc_port, self.http_port, self.ops_port = free_ports(3)
        self.edge_url = f"http://127.0.0.1:{self.http_port}"
        self.database_url = f"sqlite:///{folder / 'rollout.db'}"
        self._process: subprocess.Popen[bytes] | None = None
        self._issuer = TokenIssuer("console", keys["console"], SystemClock())
        self.person = "u_anna"
        peer = Peer("rollout", f"127.0.0.1:{self.grpc_port}")
        self._channel = connect(peer, self._issuer, lambda: self._issuer.mint(PRINCIPAL, self.person, INSIDE_AUDIENCE))
        self.stub = rpc.RolloutServiceStub(self._channel)
        self.sequences: dict[str, int] = {}
        self.tests = 0
        self.settings: dict[str, str] = {}
        self.python = sys.executable
        """Of the release that runs."""
        self.bus = Bus(nats_url, "cloud")
        self.bus.start()

    def start(self) -> None:
        environment = {
            "GRPC_ADDRESS": f"127.0.0.1:{self.grpc_port}",
            "HTTP_ADDRESS": f"127.0.0.1:{self.http_port}",
            "OPS_ADDRESS": f"127.0.0.1:{self.ops_port}",
            "NATS_URL": self.nats_url,
            "DATABASE_URL": self.database_url,
            "KEY_FILE": str(self.folder / "rollout.key"),
            "JWKS_FILE": str(self.jwks),
            "FLEET_KEY_FILE": str(self.folder / "fleet.key"),
            "REGISTRY_ADDRESS": f"127.0.0.1:{self._registry_server.port}",
            "POLL_SECONDS": "0.1",
            **self.settings,
        }
        named = {f"ONECODE_ROLLOUT_{name}": value for name, value in environment.items()}
        with (self.folder / "rollout.log").open("ab") as log:
            command, environment = [self.python, "-m", "onecode_rollout"], {**os.environ, **named}
            self._process = subprocess.Popen(command, env=environment, cwd=self.folder, stderr=log, stdout=log)
        wait_until(self._ready, 30, lambda: (self.folder / "rollout.log").read_text()[-2000:])

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(timeout=15) == 0
        self.bus.stop()
        self._channel.close()
        self._registry_server.stop()

    def gateway(self, name: str, segment: str = "line-1") -> Edge:
        """Return an enrolled gateway with an access token."""
        self.stub.CreateSegment(pb.CreateSegmentRequest(name=segment))
        answer = self.stub.CreateGateway(pb.CreateGatewayRequest(name=name, segment=segment, accept=True))
        gateway = Edge(self.edge_url, name, answer.token)
        assert gateway.enrol()[0] == 200
        assert gateway.get_access()[0] == 200
        return gateway

    def get(self, rollout_id: str) -> pb.Rollout:
        rollout: pb.Rollout = self.stub.GetRollout(pb.GetRolloutRequest(rollout_id=rollout_id)).rollout
        return rollout

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


_REGISTRY_METHODS = (
    "RegisterVersion", "ImportVersion", "GetVersion", "ListModels", "ListVersions", "SetAlias", "DeleteVersion",
    "LogRun", "PublishPolicy", "GetDistribution",
)  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(condition: Callable[[], object], seconds: float = 20, why: Callable[[], object] = lambda: "") -> None:
    """Wait until the condition holds; fail with ``why()`` when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {why()}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A nats-server with JetStream."""
    folder = tmp_path_factory.mktemp("nats")
    (port,) = free_ports(1)
    binary = str(Path(sys.executable).parent / "nats-server")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "js")], stdout=log, stderr=log
        )
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def new_platform(tmp_path_factory: pytest.TempPathFactory, nats_url: str) -> Callable[[], Platform]:
    """Make a platform that is not started yet."""
    return lambda: Platform(tmp_path_factory.mktemp("rollout"), nats_url)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, nats_url: str) -> Iterator[Platform]:
    """A running rollout; each test has a model, a segment and gateways of its own."""
    found = Platform(tmp_path_factory.mktemp("rollout"), nats_url)
    found.start()
    assert found.bus.wait_connected(10)
    yield found
    found.stop()


@pytest.fixture
def version(members: "Members") -> Callable[[int], str]:
    """Return the digest of a version by number."""
    return lambda number: digest(members.model, number)


@pytest.fixture
def until() -> Callable[..., None]:
    """Return the function that waits for a condition."""
    return wait_until


@dataclass
class Members:
    """Members that follow the published policies: they report what real ones would, when :meth:`tick` is called.

    Attributes:
        broken: Digests that fail the golden set.
        rates: Share of bad events by digest.
        mute: No requests arrive anywhere.
        requests: A tick adds to each member.
        shown: Of them those that a shadow is shown.
        differing: Share of those to which it says something different.
    """

    platform: Platform
    model: str
    segment: str
    gateways: list[Edge]
    broken: set[str] = field(default_factory=set)
    rates: dict[str, float] = field(default_factory=dict)
    mute: bool = False
    requests: int = 400
    shown: int = 20
    differing: float = 0.0
    serving: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    shadows: dict[str, str] = field(default_factory=dict)
    counts: dict[tuple[str, int, str, str], list[float]] = field(default_factory=dict)
    outbox: list[bytes] = field(default_factory=list)

    def tick(self) -> None:
        """Let every member look at its policy, act and report once."""
        named: list[tuple[str, str, Edge | None]] = [(one.name, self.segment, one) for one in self.gateways]
        for name, segment, gateway in [*named, ("cloud", "cloud", None)]:
            policy = self.platform.registry.policies.get(segment)
            if policy is None:
                continue
            reports = [*self._follow(name, policy), *self._count(name, policy)]
            self._send(name, gateway, reports)

    def _follow(self, name: str, policy: dict[str, Any]) -> list[edge.Report]:
        reports = []
        models = [model for model in policy["models"] if model["name"] == self.model]
        for model in models:
            if model["revision"] > self.seen.get(name, 0):
                self.seen[name] = model["revision"]
                reports += self._install(name, model)
            if model.get("shadow", {}).get("digest", "") != self.shadows.get(name, ""):
                self.shadows[name] = model.get("shadow", {}).get("digest", "")
                reports += self._install_shadow(name, model)
        if not models:
            self.serving.pop(name, None)
        served = self.serving.get(name, "")
        status = edge.Status(generation=policy["generation"], serving={self.model: served} if served else {})
        return [*reports, edge.Report(status=status)]

    def _install(self, name: str, model: dict[str, Any]) -> list[edge.Report]:
        arm = model["arms"][0]
        facts = {
            "model": self.model,
            "rollout": model["rollout"],
            "revision": model["revision"],
            "digest": arm["digest"],
        }
        if arm["digest"] in self.broken:
            return [edge.Report(action=edge.Action(**facts, state="rejected", cause="golden"))]
        if len(model["arms"]) == 1:
            self.serving[name] = arm["digest"]
        states = ("verified", "switching", "probation", "committed")
        return [edge.Report(action=edge.Action(**facts, state=one, served_digest=arm["digest"])) for one in states]

    def _install_shadow(self, name: str, model: dict[str, Any]) -> list[edge.Report]:
        """Report what the cloud's server and gateways do with a version that is to answer nobody."""
        digest = self.shadows[name]
        if not digest:
            return []
        facts = {"model": self.model, "rollout": model["rollout"], "revision": model["revision"], "digest": digest}
        if digest in self.broken:
            return [edge.Report(action=edge.Action(**facts, state="rejected", cause="golden"))]
        states = ["verified", "staged"] if name == "cloud" else ["verified", "switching", "probation", "committed"]
        return [edge.Report(action=edge.Action(**facts, state=one, served_digest=digest)) for one in states]

    def _count(self, name: str, policy: dict[str, Any]) -> list[edge.Report]:
        counters = []
        for model in [one for one in policy["models"] if one["name"] == self.model]:
            length = policy["interval_s"]
            start = int(time.time()) // length * length
            arms = [arm for arm in model["arms"] if arm["digest"] not in self.broken]
            for arm in arms if not self.mute else []:
                total = self.counts.setdefault((name, start, arm["digest"], model["rollout"]), [0, 0])
                total[0] += round(self.requests * (arm["to"] - arm["from"]) / 10_000)
                total[1] = total[0] * self.rates.get(arm["digest"], 0.0)
                counters.append(
                    edge.Counter(
                        model=self.model,
                        rollout=model["rollout"],
                        revision=model["revision"],
                        digest=arm["digest"],
                        role=arm["role"],
                        interval_start=start,
                        interval_seconds=length,
                        requests=int(total[0]),
                        errors=int(total[1]),
                        non_finite=int(total[1]),
                    )
                )
            if "shadow" in model and not self.mute:
                counters.append(self._shadow(name, model, start, length))
        return [edge.Report(counters=edge.CounterBatch(counters=counters))] if counters else []

    def _shadow(self, name: str, model: dict[str, Any], start: int, length: int) -> edge.Counter:
        digest = model["shadow"]["digest"]
        total = self.counts.setdefault((name, start, f"shadow {digest}", model["rollout"]), [0, 0])
        total[0] += self.shown
        return edge.Counter(
            model=self.model,
            rollout=model["rollout"],
            revision=model["revision"],
            digest=digest,
            role="shadow",
            interval_start=start,
            interval_seconds=length,
            requests=int(total[0]),
            errors=int(total[0] * self.rates.get(digest, 0.0)),
            different=int(total[0] * self.differing),
            dropped=int(total[0]),
            largest_difference=0.25 if self.differing else 0.0,
        )

    def _send(self, name: str, gateway: Edge | None, reports: list[edge.Report]) -> None:
        for report in reports:
            sequence = self.platform.sequences[name] = self.platform.sequences.get(name, 0) + 1
            report.sequence, report.sent_at, report.boot_id = sequence, int(time.time()), "boot-1"
            report.source = "somebody-else"
        if gateway is not None:
            gateway.report(*reports)
            return
        self.outbox += [report.SerializeToString() for report in reports]
        while self.outbox:
            subject = f"oc.default.up.{shard_of(name)}.{name}.counters"
            try:
                self.platform.bus.publish_durable(subject, self.outbox[0], f"{name}:{secrets.token_hex(8)}")
            except UnavailableError:
                return
            self.outbox.pop(0)

    def drive(self, rollout_id: str, *states: str, seconds: float = 30) -> pb.Rollout:
        """Tick until the rollout is in one of the states; return it."""

        def there() -> bool:
            self.tick()
            return self.platform.get(rollout_id).state in states

        wait_until(there, seconds, lambda: self.platform.get(rollout_id))
        return self.platform.get(rollout_id)


def shard_of(source: str) -> int:
    """Return the shard of a source."""
    return int.from_bytes(hashlib.sha256(f"shard\0{source}".encode()).digest()[:8], "big") % 16


@pytest.fixture
def members(platform: Platform) -> Members:
    """Three gateways of a new segment and the cloud, for a new model."""
    platform.tests += 1
    tag = f"t{platform.tests}"
    platform.registry.know(f"shuttle-{tag}")
    gateways = [platform.gateway(f"{tag}-gw{number}", f"line-{tag}") for number in (1, 2, 3)]
    return Members(platform, f"shuttle-{tag}", f"line-{tag}", gateways)


@pytest.fixture
def fast_plan(members: Members) -> Callable[..., pb.Plan]:
    """Return a plan with short times; its statistics are those of production but for a wider floor."""

    def plan(number: int, *shares: int, **changes: Any) -> pb.Plan:
        times = {
            "min_observe_seconds": 1, "probation_seconds": 1, "interval_seconds": 1, "poll_seconds": 1,
            "report_seconds": 1, "no_data_after_seconds": 30, "limit_seconds": 600, "floor": 0.01,
        }  # fmt: skip
        preset = pb.Preset(name="fast", **{**times, **changes.pop("preset", {})})
        return pb.Plan(
            model=members.model,
            candidate=digest(members.model, number),
            segments=["cloud", members.segment],
            steps=[pb.Step(share=share) for share in shares],
            preset=preset,
            **changes,
        )

    return plan


@pytest.fixture
def release_first(members: Members, fast_plan: Callable[..., pb.Plan]) -> Callable[[], None]:
    """Bring version 1 to every member."""

    def release() -> None:
        first = f"r-{members.model}-first"
        members.platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id=first, plan=fast_plan(1, 10_000)))
        members.drive(first, "succeeded")

    return release
