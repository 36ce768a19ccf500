"""What the inference server meets in the field: a signed distribution, a broker, a rollout that listens."""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from serving_models import Built
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from onecode.edge.v1 import edge_pb2
from onecode_common.bus import Bus
from onecode_common.canonical import canonical, sha256_hex

FAR = datetime(2040, 1, 1, tzinfo=UTC)
PATIENCE_S = 25.0
MODEL = "m"


def eventually(question: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; fail when none comes."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(what)


def free_port() -> int:
    """Return a port that nobody has now, below those that the kernel hands out by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Distribution:
    """A TUF repository with the registry's layout, served from memory."""

    def __init__(self) -> None:
        self._keys = {
            role: CryptoSigner.generate_ed25519()
            for role in ("root", "targets", "snapshot", "timestamp", "models", "fleet")
        }
        self._versions = dict.fromkeys(("targets", "models", "fleet", "snapshot"), 0)
        self._manifests: dict[str, bytes] = {}
        self._policy = b""
        self.files: dict[str, bytes] = {}
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        root = Root(version=1, expires=FAR, consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            root.add_key(self._keys[role].public_key, role)
        self.root = self._signed(root, "root")
        self.files["metadata/1.root.json"] = self.root

    def start(self, port: int = 0) -> None:
        """Answer on a port; as the registry does, with signed lists from the first moment, before there is a policy."""
        files = self.files
        if not self._versions["snapshot"]:
            self._write_targets()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = files.get(self.path.removeprefix("/distribution/v1/"))
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def add(self, built: Built) -> None:
        """Publish a version."""
        content = canonical(built.manifest)
        path = f"models/{built.manifest['model']}/{built.manifest['release']}/manifest.json"
        self._manifests[path] = content
        for data in (built.onnx, built.golden):
            self.files[f"objects/{sha256_hex(data)}"] = data

    def publish(self, generation: int, *entries: dict[str, Any], report_s: float = 0.3) -> None:
        """Sign and serve a policy of segment ``cloud``."""
        document = {
            "schema": 1, "tenant": "default", "segment": "cloud", "generation": generation,
            "issued": datetime.now(UTC).isoformat(), "poll_s": 0.3, "report_s": report_s, "interval_s": 3600,
            "critical": [], "models": list(entries),
        }  # fmt: skip
        self._policy = canonical(document)
        self._write_targets()

    def _write_targets(self) -> None:
        roles = {name: Targets(version=self._next(name), expires=FAR) for name in ("models", "fleet")}
        for path, content in self._manifests.items():
            self._target(roles["models"], path, content)
        if self._policy:
            self._target(roles["fleet"], "fleet/cloud/policy.json", self._policy)
        top = Targets(version=self._next("targets"), expires=FAR)
        top.delegations = Delegations(
            keys={self._keys[name].public_key.keyid: self._keys[name].public_key for name in roles},
            roles={
                name: DelegatedRole(name, [self._keys[name].public_key.keyid], 1, terminating=True, paths=[paths])
                for name, paths in (("models", "models/*/*/*"), ("fleet", "fleet/*/*"))
            },
        )
        snapshot = Snapshot(version=self._next("snapshot"), expires=FAR)
        for name, signed in (*roles.items(), ("targets", top)):
            self.files[f"metadata/{signed.version}.{name}.json"] = self._signed(signed, name)
            snapshot.meta[f"{name}.json"] = MetaFile(version=signed.version)
        self.files[f"metadata/{snapshot.version}.snapshot.json"] = self._signed(snapshot, "snapshot")
        stamp = Timestamp(
            version=snapshot.version, expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        )
        stamp.snapshot_meta = MetaFile(version=snapshot.version)
        self.files["metadata/timestamp.json"] = self._signed(stamp, "timestamp")

    def _target(self, role: Targets, path: str, content: bytes) -> None:
        role.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        folder, _, name = path.rpartition("/")
        self.files[f"targets/{folder}/{sha256_hex(content)}.{name}"] = content

    def _next(self, role: str) -> int:
        self._versions[role] += 1
        return self._versions[role]

    def _signed(self, signed: Any, role: str) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self._keys[role])
        return metadata.to_bytes()


def arm(start: int, end: int, built: Built, role: str) -> dict[str, Any]:
    """Return an arm of a policy entry."""
    return {"from": start, "to": end, "release": built.manifest["release"], "digest": built.digest, "role": role}


def entry(revision: int, *arms: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a policy entry for the one model."""
    base = {
        "name": MODEL,
        "rollout": f"r_{revision}",
        "revision": revision,
        "unit": "request",
        "salt": "r",
        "mode": "active",
    }
    return {**base, "arms": list(arms), "probation_s": 0.5, "rollback_to": [], "floor": 1, "hold": False, **more}


class Rollout:
    """Consumes reports as rollout does, and acknowledges them while it is told to."""

    def __init__(self, port: int) -> None:
        self._bus = Bus(f"nats://127.0.0.1:{port}", "rollout")
        self.reports: dict[int, edge_pb2.Report] = {}
        self.repeats = 0
        self.answering = True

    def start(self) -> None:
        """Connect and consume."""
        self._bus.start()
        self._bus.ensure_streams()
        self._bus.consume("UP", "rollout", "oc.*.up.>", self._take)

    def stop(self) -> None:
        """Disconnect."""
        self._bus.stop()

    def wake(self, generation: int) -> None:
        """Tell of a new policy."""
        self._bus.publish("oc.default.wake.cloud", edge_pb2.Wake(generation=generation).SerializeToString())

    def actions(self, digest: str) -> list[edge_pb2.Action]:
        """Return what was told of a version, in order."""
        reports = [self.reports[number] for number in sorted(self.reports)]
        return [report.action for report in reports if report.action.digest == digest]

    def states(self, digest: str) -> list[str]:
        """Return the states that a version reached, in order."""
        return [action.state for action in self.actions(digest)]

    def counters(self) -> dict[tuple[str, int, str], edge_pb2.Counter]:
        """Return the newest totals by boot, revision and digest."""
        rows: dict[tuple[str, int, str], edge_pb2.Counter] = {}
        for number in sorted(self.reports):
            report = self.reports[number]
            for row in report.counters.counters:
                rows[report.boot_id, row.revision, row.digest] = row
        return rows

    def requests(self, built: Built) -> int:
        """Return how many requests were counted for a version."""
        return sum(row.requests for (_, _, digest), row in self.counters().items() if digest == built.digest)

    def status(self) -> edge_pb2.Status:
        """Return the newest status."""
        numbers = [number for number in sorted(self.reports) if self.reports[number].HasField("status")]
        return self.reports[numbers[-1]].status if numbers else edge_pb2.Status()

    def _take(self, batch: list[tuple[str, bytes]]) -> None:
        arrived = []
        for subject, payload in batch:
            assert subject.startswith("oc.default.up.11.cloud.")
            assert len(payload) < 64 << 10
            report = edge_pb2.Report.FromString(payload)
            self.repeats += report.sequence in self.reports
            self.reports[report.sequence] = report
            arrived.append(report.sequence)
        if self.answering:
            message = edge_pb2.Acknowledged(sequences=arrived)
            self._bus.publish("oc.default.dn.cloud.ack", message.SerializeToString())


class Inference:
    """The server's process."""

    def __init__(self, home: Path, distribution: Distribution, nats_port: int, **extra: str) -> None:
        self.rest, self.ops = free_port(), free_port()
        self._home = home
        self._environment = {
            "REST_ADDRESS": f"127.0.0.1:{self.rest}", "GRPC_ADDRESS": "127.0.0.1:0",
            "OPS_ADDRESS": f"127.0.0.1:{self.ops}", "HOME_DIR": str(home), "ANONYMOUS": "true",
            "DISTRIBUTION_URL": f"http://127.0.0.1:{distribution.port}", "ROOT_FILE": str(home.parent / "root.json"),
            "NATS_URL": f"nats://127.0.0.1:{nats_port}", **extra,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when its ops port answers."""
        settings = {f"ONECODE_INFERENCE_{name}": value for name, value in self._environment.items()}
        with (self._home.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "onecode_inference"], env={**os.environ, **settings}, stderr=log
            )
        eventually(lambda: self._get(self.ops, "/healthz"), "the server does not start")

    def stop(self, *, kill: bool = False) -> int:
        """End it and return its status."""
        assert self._process is not None
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        return self._process.wait(timeout=20)

    def members(self) -> list[int]:
        """Return the process ids of its further processes."""
        assert self._process is not None
        found = []
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        for child in [child for thread in threads for child in thread.read_text().split()]:
            with suppress(OSError):
                if b"onecode_inference.member" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def metrics(self) -> str:
        """Return what monitoring reads."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    def ready(self) -> bool:
        """Return whether it says that it is ready."""
        return bool((self._get(self.ops, "/readyz") or {}).get("ready"))

    def reason(self) -> str:
        """Return why it is not ready; empty if it is or does not say."""
        return str((self._get(self.ops, "/readyz") or {}).get("reason") or "")

    def ask(self, value: float = 1.0, version: str = "") -> dict[str, Any]:
        """Return the answer to one row; errors have the key ``error``."""
        features = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [value] * 4}
        path = f"/v2/models/{MODEL}{version}/infer"
        return self._get(self.rest, path, json.dumps({"inputs": [features]}).encode()) or {"error": "no answer"}

    def served(self) -> str:
        """Return the digest that answers; empty if none does."""
        return str(self.ask().get("parameters", {}).get("onecode_model_digest", ""))

    def answered(self) -> float:
        """Return how many requests the process that takes this connection says that the server has answered."""
        entries = (self._get(self.rest, f"/v2/models/{MODEL}/stats") or {}).get("model_stats", [])
        return sum(one["inference_stats"]["success"]["count"] for one in entries)

    def _get(self, port: int, path: str, body: bytes | None = None) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=10) as reply:
                return dict(json.loads(reply.read()))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.loads(error.read()))
        except (OSError, http.client.HTTPException):
            return None


@contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Run nats-server with JetStream."""
    binary = Path(sys.executable).with_name("nats-server")
    command = [str(binary), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
