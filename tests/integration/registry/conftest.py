"""A whole registry on loopback, models to put into it, and the hands of its callers."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from onnx import TensorProto, helper, numpy_helper
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.metadata import Metadata, TargetFile, Targets  # type: ignore[attr-defined]

from onecode.registry.v1 import registry_pb2 as pb
from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.canonical import canonical
from onecode_common.clock import SystemClock
from onecode_common.keys import jwks_document, public_bytes
from onecode_common.program import Part
from onecode_common.rpc import Peer, connect
from onecode_common.tokens import EDGE_AUDIENCE, GATEWAY, INSIDE_AUDIENCE, PRINCIPAL, TokenIssuer
from onecode_registry.__main__ import parts_of
from onecode_registry.settings import RegistrySettings

SERVICES = ("registry", "ingestion", "training", "rollout", "inference", "console", "standalone")
Reply = urllib3.BaseHTTPResponse


@dataclass(frozen=True)
class Models:
    """Makes small ONNX files and golden sets for them."""

    def good(self, seed: int = 0, columns: int = 3) -> bytes:
        """A linear classifier with a label and two probabilities."""
        rng = np.random.default_rng(seed)
        nodes = [
            helper.make_node("Gemm", ["features", "w", "b"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        ]
        constants = {"w": rng.normal(size=(columns, 2)), "b": rng.normal(size=2)}
        return self.build(nodes, constants, columns=columns)

    def build(
        self,
        nodes: list[onnx.NodeProto],
        constants: Mapping[str, Any],
        *,
        columns: int = 3,
        opset: int = 18,
        batch: str | int = "n",
        change: Callable[[onnx.ModelProto], None] = lambda _: None,
    ) -> bytes:
        """A file with these nodes between `features` and `label`, `probabilities`."""
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, columns])],
            [
                helper.make_tensor_value_info("label", TensorProto.INT64, [batch]),
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 2]),
            ],
            [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        change(model)
        return bytes(model.SerializeToString())

    def golden(self, columns: int = 3, rows: int = 64, **header: Any) -> bytes:
        """Questions that fit; whether the answers are right is nobody's question here."""
        lines: list[dict[str, Any]] = [{"format": 1, "rows": rows, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}]
        lines[0].update(header)
        for number in range(rows):
            data = [float(number + column) for column in range(columns)]
            lines.append(
                {
                    "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, columns], "data": data}],
                    "outputs": [
                        {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]},
                        {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.5]},
                    ],
                }
            )
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def contract(self, columns: int = 3) -> pb.Contract:
        """What :meth:`good` takes and gives."""
        return pb.Contract(
            task="classification",
            inputs=[
                pb.TensorSpec(
                    name="features",
                    datatype="FP32",
                    shape=[-1, columns],
                    columns=[f"s{number}" for number in range(columns)],
                    minimum=[0.5] * columns,
                    maximum=[float("nan")] * columns,
                    allow_nan=True,
                )
            ],
            outputs=[
                pb.TensorSpec(name="label", datatype="INT64", shape=[-1]),
                pb.TensorSpec(name="probabilities", datatype="FP32", shape=[-1, 2], labels=["0", "1"]),
            ],
        )


@dataclass
class Fleet:
    """What rollout does: sign policies with the fleet key."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def policy(self, segment: str, *digests: str, tenant: str = "default", generation: int = 1) -> bytes:
        """A policy that names these versions."""
        arms = [{"from": 0, "to": 10_000, "release": 1, "digest": one, "role": "stable"} for one in digests]
        models = [{"name": "shuttle", "arms": arms, "rollback_to": []}] if arms else []
        document: Any = {"schema": 1, "tenant": tenant, "segment": segment, "generation": generation, "models": models}
        return canonical(document)

    def sign(
        self,
        version: int,
        policies: Mapping[str, bytes],
        key: Ed25519PrivateKey | None = None,
        change: Callable[[Targets], None] = lambda _: None,
    ) -> bytes:
        """Metadata of role fleet that lists these policies."""
        targets = Targets(version=version, expires=SystemClock().now().replace(microsecond=0) + timedelta(days=7))
        for path, content in policies.items():
            digest = hashlib.sha256(content).hexdigest()
            targets.targets[path] = TargetFile(len(content), {"sha256": digest}, path)
        change(targets)
        metadata = Metadata(targets)
        metadata.sign(CryptoSigner(key or self.key))
        return metadata.to_bytes()

    def request(self, version: int, policies: Mapping[str, bytes]) -> pb.PublishPolicyRequest:
        """A call that publishes these."""
        return pb.PublishPolicyRequest(
            project="default", generation=version, fleet_metadata=self.sign(version, policies), policies=policies
        )


class Bench:
    """A registry in this process, with real listeners; MLflow is somewhere that does not answer."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.models = Models()
        self.fleet = Fleet()
        self.keys = {name: Ed25519PrivateKey.generate() for name in SERVICES}
        home.mkdir(exist_ok=True)
        (home / "jwks.json").write_bytes(jwks_document({name: public_bytes(key) for name, key in self.keys.items()}))
        pem = self.fleet.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (home / "fleet.pub").write_bytes(pem)
        self.http = urllib3.PoolManager(retries=False, timeout=20)
        self._parts: list[Part] = []
        self._channels: list[Any] = []

    def settings(self, **changes: Any) -> RegistrySettings:
        """What an operator would set."""
        fields: dict[str, Any] = {
            "grpc_address": "127.0.0.1:0",
            "http_address": "127.0.0.1:0",
            "database_url": f"sqlite:///{self.home / 'registry.db'}",
            "objects_url": f"file://{self.home / 'objects'}",
            "home_dir": self.home / "registry",
            "keys_dir": self.home / "registry" / "keys",
            "fleet_public_key_file": self.home / "fleet.pub",
            "jwks_file": self.home / "jwks.json",
            "mlflow_url": "http://127.0.0.1:9",
            **changes,
        }
        return RegistrySettings(**fields)

    def start(self, **changes: Any) -> None:
        """Start all parts."""
        self._parts = parts_of(self.settings(**changes))
        for part in self._parts:
            part.start()
        answering = threading.Event()
        while self.part("http").ready() is not None:
            answering.wait(0.01)

    def stop(self) -> None:
        """Stop what was started."""
        self.http.clear()
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        for part in reversed(self._parts):
            part.stop()
        self._parts.clear()

    def part(self, name: str) -> Any:
        """The part of this name."""
        return next(part for part in self._parts if part.name == name)

    @property
    def url(self) -> str:
        """Base of the HTTP face."""
        return f"http://127.0.0.1:{self.part('http').port}"

    def issuer(self, service: str) -> TokenIssuer:
        """What a service mints its tokens with."""
        return TokenIssuer(service, self.keys[service], SystemClock())

    def stub(self, service: str) -> rpc.RegistryServiceStub:
        """The registry as a service calls it; console speaks for a person."""

        def principal() -> str:
            return self.issuer("console").mint(PRINCIPAL, "alice", INSIDE_AUDIENCE) if service == "console" else ""

        peer = Peer("registry", f"127.0.0.1:{self.part('grpc').port}")
        self._channels.append(connect(peer, self.issuer(service), principal))
        stub: rpc.RegistryServiceStub = rpc.RegistryServiceStub(self._channels[-1])
        return stub

    def gateway(self, segment: str = "line-1", issuer: str = "rollout", tenant: str = "default") -> str:
        """A gateway's access token."""
        extra = {"segment": segment, "tenant": tenant}
        return self.issuer(issuer).mint(GATEWAY, "gw-1", EDGE_AUDIENCE, extra)

    def caller(self, service: str) -> str:
        """A service's caller token."""
        return self.issuer(service).caller("registry")

    def request(self, method: str, path: str, token: str = "", **more: Any) -> Reply:
        """Send an HTTP request."""
        headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        return self.http.request(method, f"{self.url}{path}", headers=headers, **more)

    def put(self, content: bytes) -> str:
        """Store an object as training does; returns its hex digest."""
        digits = hashlib.sha256(content).hexdigest()
        answer = self.request("PUT", f"/internal/v1/objects/{digits}", self.caller("training"), body=content)
        assert answer.status in (200, 201), answer.data
        return digits

    def candidate(
        self, request_id: str, seed: int = 0, model: str = "shuttle", **changes: Any
    ) -> pb.RegisterVersionRequest:
        """A request to register a stored model."""
        fields: dict[str, Any] = {
            "project": "default",
            "request_id": request_id,
            "model": model,
            "model_sha256": self.put(self.models.good(seed)),
            "golden_sha256": self.put(self.models.golden()),
            "contract": self.models.contract(),
            "metrics": {"average_precision": 0.9875},
            "parity": '{"max_abs": 1.5e-07, "rows": 100}',
            "lineage": '{"run_id": "run_1", "dataset_version": "dv-1", "code_version": "v0.1-3-gabc"}',
            "p95_us": 12.5,
            **changes,
        }
        return pb.RegisterVersionRequest(**fields)

    def register(self, request_id: str = "r1", seed: int = 0, **changes: Any) -> pb.Version:
        """A registered version."""
        request = self.candidate(request_id, seed, **changes)
        version: pb.Version = self.stub("training").RegisterVersion(request).version
        return version


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A running registry of this test."""
    running = Bench(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Bench]:
    """A registry that the test starts itself."""
    waiting = Bench(tmp_path)
    yield waiting
    waiting.stop()


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    """For tests that need a registry with other settings."""
    return Bench


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A running registry of this module, for tests that leave nothing that disturbs others."""
    running = Bench(tmp_path_factory.mktemp("registry"))
    running.start()
    yield running
    running.stop()
