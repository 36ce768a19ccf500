"""A real TUF repository, signed with real keys, and a real HTTP server before it that can be told to misbehave."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from securesystemslib.signer import CryptoSigner
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

from onecode_common.canonical import canonical

TOKEN = "gateway-token"
SEGMENT = "line-1"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class SignedRepository:
    """Keys of all roles, and the files that a distribution would serve."""

    def __init__(self) -> None:
        names = ("root", "targets", "snapshot", "timestamp", "models", "fleet")
        self.signers = {name: CryptoSigner.generate_ed25519() for name in names}
        self.files: dict[str, bytes] = {}
        self.versions = dict.fromkeys(names, 0)
        self.expires = {name: datetime.now(UTC).replace(microsecond=0) + timedelta(days=7) for name in names}
        self.tenant = "default"
        self.root = Root(expires=self.expires["root"], consistent_snapshot=True, version=1)
        for name in ("root", "targets", "snapshot", "timestamp"):
            self.root.add_key(self.signers[name].public_key, name)
        self.targets = Targets(expires=self.expires["targets"])
        self.models = Targets(expires=self.expires["models"])
        self.fleet = Targets(expires=self.expires["fleet"])
        roles = {
            "models": DelegatedRole("models", [], 1, terminating=True, paths=["models/*/*/*"]),
            "fleet": DelegatedRole("fleet", [], 1, terminating=True, paths=["fleet/*/*"]),
        }
        self.targets.delegations = Delegations(keys={}, roles=roles)
        for name in roles:
            self.targets.add_key(self.signers[name].public_key, name)
        self.root_bytes = self._write("root", self.root, "1.root.json")
        self._unwritten = {"targets", "models", "fleet"}

    def publish_model(
        self,
        model: str,
        release: int,
        onnx: bytes,
        golden: bytes,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> str:
        """Publish a version and return its digest; ``change`` edits the manifest before it is signed."""
        files = [
            {"name": name, "sha256": sha(content), "length": len(content)}
            for name, content in (("model.onnx", onnx), ("golden.jsonl", golden))
        ]
        document: dict[str, Any] = {
            "schema": 1, "project": "default", "model": model, "release": release, "files": files, "contract": CONTRACT,
        }  # fmt: skip
        if change:
            change(document)
        for content in (onnx, golden):
            self.files[f"objects/{sha(content)}"] = content
        manifest = canonical(document)
        self._target(self.models, f"models/{model}/{release}/manifest.json", manifest)
        self._unwritten.add("models")
        return f"sha256:{sha(manifest)}"

    def publish_policy(self, document: dict[str, Any] | bytes, segment: str = SEGMENT) -> bytes:
        content = document if isinstance(document, bytes) else canonical(document)
        self._target(self.fleet, f"fleet/{segment}/policy.json", content)
        self._unwritten.add("fleet")
        self.sign()
        return content

    def sign(self) -> None:
        """Write a new consistent state."""
        for name in sorted(self._unwritten):
            role = {"targets": self.targets, "models": self.models, "fleet": self.fleet}[name]
            self._version(name, role)
            self._write(name, role, f"{role.version}.{name}.json")
        self._unwritten.clear()
        meta = {f"{name}.json": MetaFile(version=self.versions[name]) for name in ("targets", "models", "fleet")}
        snapshot = Snapshot(meta=meta)
        self._version("snapshot", snapshot)
        self._write("snapshot", snapshot, f"{snapshot.version}.snapshot.json")
        timestamp = Timestamp(snapshot_meta=MetaFile(version=snapshot.version))
        self._version("timestamp", timestamp)
        self._write("timestamp", timestamp, "timestamp.json")

    def rewrite(self, *roles: str) -> None:
        """Sign these again, as they are now."""
        self._unwritten.update(roles)
        self.sign()

    def _version(self, name: str, role: Any) -> None:
        self.versions[name] += 1
        role.version = self.versions[name]
        role.expires = self.expires[name]

    def _write(self, name: str, role: Any, file: str) -> bytes:
        metadata: Metadata[Any] = Metadata(deepcopy(role))
        metadata.sign(self.signers[name])
        self.files[f"metadata/{file}"] = content = metadata.to_bytes()
        return content

    def _target(self, role: Targets, path: str, content: bytes) -> None:
        role.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        folder, _, name = path.rpartition("/")
        self.files[f"targets/{folder}/{sha(content)}.{name}"] = content


CONTRACT = {
    "task": "regression",
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 3], "allow_nan": True}],
    "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}],
}


def arm(start: int, end: int, release: int, digest: str, role: str = "stable") -> dict[str, Any]:
    return {"from": start, "to": end, "release": release, "digest": digest, "role": role}


def policy(generation: int, *models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document = {
        "schema": 1, "tenant": "default", "segment": SEGMENT, "generation": generation,
        "issued": datetime.now(UTC).isoformat(), "poll_s": 0.2, "report_s": 0.3, "interval_s": 60, "critical": [],
        "models": list(models),
    }  # fmt: skip
    return {**document, **changes}


def model(name: str, revision: int, *arms: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document = {
        "name": name, "rollout": "r_1", "revision": revision, "unit": "request", "salt": "r_1", "arms": list(arms),
        "mode": "active", "probation_s": 0.3, "rollback_to": [], "floor": 1, "hold": False,
    }  # fmt: skip
    return {**document, **changes}


@dataclass
class Behaviour:
    """What the server does wrong.

    Attributes:
        cut: Bytes after which an answer to a path is cut, by path; each is used once.
        replace: Other bytes for a path.
        status: Other answers for all paths.
        ignore_range: Send everything whatever was asked.
    """

    cut: dict[str, list[int]] = field(default_factory=dict)
    replace: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    ignore_range: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)


class Distribution:
    """Serves a repository on loopback with a bearer token, ``Range`` and ``ETag``, as the registry does."""

    def __init__(self, repository: SignedRepository, token: str = TOKEN) -> None:
        self.repository = repository
        self.behaviour = Behaviour()
        self.token = token
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _handler(distribution: Distribution) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            behaviour = distribution.behaviour
            path = self.path.removeprefix("/distribution/v1/")
            behaviour.asked.append((path, self.headers.get("Range", "")))
            if behaviour.status:
                self._refuse(behaviour.status)
            elif self.headers.get("Authorization") != f"Bearer {distribution.token}":
                self._refuse(401)
            elif (content := behaviour.replace.get(path, distribution.repository.files.get(path))) is None:
                self._refuse(404)
            else:
                self._send(path, content)

        def _refuse(self, status: int) -> None:
            body = json.dumps({"code": f"http.{status}"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send(self, path: str, content: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            first = int(wanted[1]) if wanted and not distribution.behaviour.ignore_range else 0
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            cuts = distribution.behaviour.cut.get(path)
            if cuts:
                self.wfile.write(content[first : first + cuts.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self.wfile.write(content[first:])

    return Handler
