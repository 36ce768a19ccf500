"""What the registry serves is what the delivery library of gateways takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from onecode.registry.v1 import registry_pb2 as pb
from onecode_common.clock import SystemClock
from onecode_common.errors import NotFoundError
from onecode_delivery.client import Delivery
from onecode_serving.loading import load_version


def policy(version: pb.Version, generation: int) -> bytes:
    arm = {"from": 0, "to": 10_000, "release": version.release, "digest": version.digest, "role": "stable"}
    entry = {
        "name": "shuttle",
        "rollout": "r_1",
        "revision": generation,
        "unit": "request",
        "salt": "r_1",
        "arms": [arm],
        "mode": "active",
        "probation_s": 1800,
        "rollback_to": [],
        "floor": 1,
        "hold": False,
    }
    document = {
        "schema": 1,
        "tenant": "default",
        "segment": "line-1",
        "generation": generation,
        "issued": "2026-01-01T00:00:00Z",
        "poll_s": 30,
        "report_s": 30,
        "interval_s": 60,
        "critical": [],
        "models": [entry],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def test_a_gateway_comes_from_the_root_to_a_model_that_answers(bench: Any, tmp_path: Path) -> None:
    root = (bench.home / "registry" / "public" / "root.json").read_bytes()
    delivery = Delivery(tmp_path / "gw", bench.url, "default", "line-1", bench.gateway, root, SystemClock())
    with pytest.raises(NotFoundError):
        delivery.refresh()
    version = bench.register()
    request = bench.fleet.request(1, {"fleet/line-1/policy.json": policy(version, 1)})
    bench.stub("rollout").PublishPolicy(request)
    accepted, _ = delivery.refresh()
    assert accepted.generation == 1
    manifest = delivery.manifest("shuttle", version.release, version.digest)
    assert manifest == version.manifest.encode()
    delivery.fetch(manifest)
    verified = delivery.open_version(version.digest)
    assert verified.onnx == bench.models.good()
    served = load_version(verified.manifest, verified.onnx)
    assert [spec.name for spec in served.contract.outputs] == ["label", "probabilities"]
