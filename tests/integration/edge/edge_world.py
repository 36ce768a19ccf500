"""A cloud in miniature (signed distribution, enrolment, tokens, reports, a real bus) and real agent processes."""

import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import numpy as np
import onnx
import onnxruntime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from onnx import TensorProto, helper
from signed_repository import SEGMENT, TOKEN, Distribution, SignedRepository, arm, model, policy

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.assignment import shard
from onecode_common.bus import Bus
from onecode_common.errors import UnavailableError
from onecode_edge.reporting import Subjects
from onecode_edge.unix_http import ask

GATEWAY = "gw-1"
_LIMIT_S = 60.0


def until(claim: Callable[[], Any], what: str = "", limit_s: float = _LIMIT_S) -> Any:
    """Wait for an event; the limit is far beyond what it takes and only ends a test that would never end."""
    end = time.monotonic() + limit_s
    while True:
        try:
            found = claim()
        except (OSError, http.client.HTTPException, KeyError, UnavailableError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            message = f"waited in vain for {what or claim}"
            raise AssertionError(message)
        time.sleep(0.05)


def held_port() -> socket.socket:
    """Return a socket that keeps its port from everybody who picks one at random; an agent may listen beside it."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        address = chosen.getsockname()
    held = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        held.setsockopt(socket.SOL_SOCKET, option, 1)
    held.bind(address)
    return held


def linear(weight: float, *, log: bool = False) -> bytes:
    """Return a model: ``prediction = weight * sum(features)``, or ln(1 + that), which is NaN below minus one."""
    name = "scaled" if log else "prediction"
    nodes = [
        helper.make_node("ReduceSum", ["features", "axes"], ["summed"], keepdims=1),
        helper.make_node("Mul", ["summed", "weight"], [name]),
    ]
    if log:
        nodes.append(helper.make_node("Add", ["scaled", "one"], ["shifted"]))
        nodes.append(helper.make_node("Log", ["shifted"], ["prediction"]))
    ones = [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])] if log else []
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("weight", TensorProto.FLOAT, [1], [weight]),
            *ones,
        ],
    )
    return onnx.ModelProto.SerializeToString(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    )


def golden(content: bytes, *, shift: float = 0.0) -> bytes:
    """Return a golden set of the model's own answers, all of them wrong by ``shift``."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    lines = [json.dumps({"format": 1, "rows": 64, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0})]
    for number in range(64):
        row = np.array([[number + 1, number / 2, 3.0]], np.float32)
        answer = float(session.run(None, {"features": row})[0][0, 0]) + shift
        inputs = [{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": row.ravel().tolist()}]
        outputs = [{"name": "prediction", "datatype": "FP32", "shape": [1, 1], "data": [answer]}]
        lines.append(json.dumps({"inputs": inputs, "outputs": outputs}))
    return "\n".join(lines).encode() + b"\n"


class Cloud:
    """What ``rollout`` answers to gateways: enrolment, tokens, reports."""

    def __init__(self, repository: SignedRepository, distribution: Distribution) -> None:
        self.repository = repository
        self.distribution = distribution
        self.enrol_token = "oce_test"
        self.key: Ed25519PublicKey | None = None
        self.root = repository.root_bytes
        self.segment = SEGMENT
        self.refuse_tokens = False
        self.reports: dict[int, pb.Report] = {}
        self.batches = 0
        self.deliveries: list[tuple[str, int]] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, report: pb.Report, by: str) -> None:
        with self.lock:
            self.deliveries.append((by, report.sequence))
            self.reports.setdefault(report.sequence, report)

    def actions(self) -> list[pb.Action]:
        with self.lock:
            reports = sorted(self.reports.items())
        return [report.action for _, report in reports if report.WhichOneof("body") == "action"]

    def states(self, digest: str) -> list[str]:
        return [action.state for action in self.actions() if action.digest == digest]

    def statuses(self) -> list[pb.Status]:
        with self.lock:
            reports = sorted(self.reports.items())
        return [report.status for _, report in reports if report.WhichOneof("body") == "status"]

    def counters(self) -> dict[tuple[Any, ...], pb.Counter]:
        """Merge counters as the controller does: a later report of a key replaces the earlier one."""
        merged: dict[tuple[Any, ...], pb.Counter] = {}
        with self.lock:
            reports = sorted(self.reports.items())
        for _, report in reports:
            for one in report.counters.counters:
                key = (one.model, one.rollout, one.revision, one.digest, one.role, one.interval_start)
                merged[key] = one
        return merged

    def counted(self, digest: str) -> int:
        return sum(one.requests for one in self.counters().values() if one.digest == digest)

    def enrol(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        public = base64.urlsafe_b64decode(body["public_key"] + "==")
        key = Ed25519PublicKey.from_public_bytes(public)
        proof = b"onecode-enrol-v1\0" + hashlib.sha256(body["token"].encode()).digest() + public
        key.verify(base64.urlsafe_b64decode(body["signature"] + "=="), proof)
        if body["token"] != self.enrol_token:
            return 401, {"code": "auth.token", "detail": "unknown token"}
        self.key = key
        answer = {"gateway_id": GATEWAY, "tenant": "default", "state": "active", "server_time": time.time()}
        root = base64.b64encode(self.root).decode()
        return 200, {**answer, "segment": self.segment, "root": root, "distribution_url": self.distribution.url}

    def token(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.key is None or self.refuse_tokens:
            return 401, {"code": "auth.unknown", "detail": "unknown gateway"}
        head = jwt.get_unverified_header(body["assertion"])
        try:
            claims = jwt.decode(body["assertion"], self.key, algorithms=["EdDSA"], audience="onecode:edge")
        except jwt.PyJWTError as error:
            return 401, {"code": "auth.clock_skew", "detail": str(error)}
        good = head["typ"] == "onecode-assertion+jwt" and head["kid"] == claims["iss"] == claims["sub"] == GATEWAY
        if not good or claims["exp"] - claims["iat"] > 60 or not claims["jti"]:
            return 401, {"code": "auth.assertion", "detail": "wrong assertion"}
        answer = {"access_token": TOKEN, "expires_in": 3600, "server_time": time.time(), "spread_ms": 0}
        return 200, {
            **answer, "segment": self.segment, "tenant": "default", "distribution_url": self.distribution.url,
        }  # fmt: skip

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/edge/v1/reports":
                self._reports(body)
                return
            handle = {"/edge/v1/enrol": cloud.enrol, "/edge/v1/token": cloud.token}[self.path]
            status, document = handle(json.loads(body))
            self._send(status, json.dumps(document).encode())

        def _reports(self, body: bytes) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, b"{}")
                return
            batch = pb.ReportBatch.FromString(body)
            cloud.batches += 1
            for report in batch.reports:
                cloud.take(report, "http")
            answer = pb.Acknowledged(sequences=[report.sequence for report in batch.reports])
            self._send(200, answer.SerializeToString())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


class Agent:
    """One gateway as an operator starts it."""

    def __init__(self, world: "World", home: Path) -> None:
        self.world = world
        self.home = home
        self.held = [held_port() for _ in range(3)]
        self.rest, self.grpc, self.ops = (one.getsockname()[1] for one in self.held)
        self.process: subprocess.Popen[bytes] | None = None
        self.token_file = home.with_name("enrol-token")
        self.token_file.write_text(world.cloud.enrol_token)
        self.extra: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        values = {
            "HOME_DIR": self.home,
            "SERVER_URL": self.world.cloud.url,
            "ENROL_TOKEN_FILE": self.token_file,
            "REST_ADDRESS": f"127.0.0.1:{self.rest}",
            "GRPC_ADDRESS": f"127.0.0.1:{self.grpc}",
            "OPS_ADDRESS": f"127.0.0.1:{self.ops}",
            "NATS_URL": self.world.nats_url,
            "ANONYMOUS": "true",
            **self.extra,
        }
        return {**os.environ, **{f"ONECODE_EDGE_{name}": str(value) for name, value in values.items()}}

    def start(self) -> None:
        log = self.home.with_name("agent.log").open("ab")
        arguments = [sys.executable, "-m", "onecode_edge"]
        self.process = subprocess.Popen(arguments, env=self.environment(), stdout=log, stderr=log)
        log.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self, what: str) -> int:
        """Kill the supervisor, or the processes of a module below it; return how many that were."""
        if what == "supervisor":
            assert self.process is not None
            self.process.kill()
            self.process.wait()
            return 1
        victims = self.children(f"onecode_edge.{what}")
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return len(victims)

    def children(self, module: str = "onecode_edge.") -> list[int]:
        """Return the pids of this agent's processes, found by its home in their environment."""
        mark = f"ONECODE_EDGE_HOME_DIR={self.home}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in environment and module.encode() in command:
                found.append(int(entry.name))
        return found

    def status(self) -> dict[str, Any]:
        return ask(self.home / "run" / "control.sock", "GET /v1/status")

    def ready(self) -> bool:
        return self._get(self.ops, "/readyz")[0] == 200

    def _get(self, port: int, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def predict(self, *features: float, name: str = "shuttle") -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of one prediction over REST."""
        row = [list(features or (1.0, 2.0, 3.0))]
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, 3], "data": row}
        connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=10)
        try:
            connection.request("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def digest(self) -> str:
        """Return the version that answered one prediction; empty if none did."""
        try:
            status, answer = self.predict()
        except (OSError, http.client.HTTPException):
            return ""
        return str(answer["parameters"]["onecode_model_digest"]) if status == 200 else ""

    def serves(self, digest: str) -> None:
        until(lambda: self.digest() == digest, f"{digest} to be served; {self.log()}")

    def log(self) -> str:
        path = self.home.with_name("agent.log")
        return path.read_text()[-6000:] if path.exists() else ""


class World:
    """A cloud and a place for one gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = SignedRepository()
        self.distribution = Distribution(self.repository)
        self.cloud = Cloud(self.repository, self.distribution)
        self.nats_url = ""
        self.nats: subprocess.Popen[bytes] | None = None
        self.bus: Bus | None = None
        self.generation = 0
        self.agent = Agent(self, folder / "gateway")
        self.one = self.version(1, linear(1.0))
        self.two = self.version(2, linear(2.0))

    def version(self, release: int, content: bytes, answers: bytes | None = None, name: str = "shuttle") -> str:
        digest = self.repository.publish_model(name, release, content, answers or golden(content))
        self.repository.sign()
        return digest

    def publish(self, *models: dict[str, Any], **changes: Any) -> None:
        """Publish a policy and wake the gateways."""
        self.generation += 1
        self.repository.publish_policy({**policy(self.generation, *models), **changes})
        if self.bus is not None:
            self.bus.publish(f"oc.default.wake.{SEGMENT}", pb.Wake(generation=self.generation).SerializeToString())

    def all_to(self, release: int, digest: str, **changes: Any) -> None:
        revision = changes.pop("revision", self.generation + 1)
        self.publish(model("shuttle", revision, arm(0, 10_000, release, digest), **changes))

    def split(self, share: int, candidate: tuple[int, str], revision: int | None = None, **changes: Any) -> None:
        """Give a share of requests, in basis points, to a candidate beside version one."""
        arms = arm(0, share, *candidate, "candidate"), arm(share, 10_000, 1, self.one)
        self.publish(model("shuttle", revision or self.generation + 1, *arms, **changes))

    def start_nats(self) -> None:
        with held_port() as held:
            port = held.getsockname()[1]
        store = self.folder / "jetstream"
        config = self.folder / "nats.conf"
        config.write_text(f'listen: 127.0.0.1:{port}\njetstream {{ store_dir: "{store}" }}\n')
        program = Path(sys.executable).with_name("nats-server")
        self.nats = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.nats_url = f"nats://127.0.0.1:{port}"
        self.bus = Bus(self.nats_url, "rollout")
        self.bus.ensure_streams()
        self.bus.start()
        self.bus.consume("UP", "rollout", "oc.*.up.>", self._consume)
        assert self.bus.wait_connected(20)

    def _consume(self, batch: list[tuple[str, bytes]]) -> None:
        sequences = []
        for subject, payload in batch:
            report = pb.Report.FromString(payload)
            kind = report.WhichOneof("body")
            assert subject == Subjects("default", GATEWAY, SEGMENT).up(kind), (subject, shard(GATEWAY))
            self.cloud.take(report, "bus")
            sequences.append(report.sequence)
        assert self.bus is not None
        answer = pb.Acknowledged(sequences=sequences).SerializeToString()
        self.bus.publish(f"oc.default.dn.{GATEWAY}.ack", answer)

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Refuse everything that a gateway asks, for a while."""
        self.distribution.behaviour.status = 503
        self.cloud.refuse_tokens = True
        yield
        self.distribution.behaviour.status = 0
        self.cloud.refuse_tokens = False

    def close(self) -> None:
        self.agent.stop()
        for pid in self.agent.children():
            os.kill(pid, signal.SIGKILL)
        for held in self.agent.held:
            held.close()
        if self.bus is not None:
            self.bus.stop()
        if self.nats is not None:
            self.nats.kill()
            self.nats.wait()
        self.cloud.close()
        self.distribution.close()


__all__ = ["GATEWAY", "Agent", "World", "arm", "golden", "linear", "model", "until"]
