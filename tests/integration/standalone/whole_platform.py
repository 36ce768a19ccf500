"""Start `onecode up` with one gateway, and do to it what people do: import, release, predict, ask what happened."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import urllib3
from onnx import TensorProto, helper, numpy_helper

from onecode_client import OneCode
from onecode_client.rollouts import make_plan
from onecode_common.errors import OnecodeError
from onecode_standalone.control import ask
from onecode_standalone.proc import family

ONECODE = Path(sys.executable).parent / "onecode"
LIMIT_S = 120.0
TIMES = {
    "min_observe_seconds": 1,
    "probation_seconds": 1,
    "interval_seconds": 1,
    "poll_seconds": 1,
    "report_seconds": 1,
}


class Platform:
    """`onecode up` with one gateway.

    Args:
        home: New, or left by an earlier one.
        base: Ports from 90 above it on are its own.
        program: The command `onecode`, of the release that is to run.
    """

    def __init__(self, home: Path, base: int, program: Path = ONECODE) -> None:
        self.home, self.log, self.program = home, home.with_suffix(".log"), program
        faces = {"console": 90, "oip-rest": 91, "oip-grpc": 92, "edge": 93}
        ports = [f"--{name}-port={base + offset}" for name, offset in faces.items()]
        command = [str(program), "up", "--home", str(home), "--gateways", "1", f"--port-base={base + 100}", *ports]
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.wait(self._ready, "the platform to be ready")
        except BaseException:
            # Nobody has it yet who could end it; its keeper ends the rest.
            self.popen.kill()
            raise
        urls = ask(home / "control.sock", "status")["addresses"]["urls"]  # type: ignore[index]
        self.server = OneCode(urls["console"], (home / "api-token").read_text().strip())
        ports_document = json.loads((home / "ports.json").read_text())
        self.edge_url: str = urls["edge"]
        self.oip_url: str = urls["oip_rest"]
        self.gateway_url = f"http://127.0.0.1:{ports_document['gateways']['gw-1']['rest']}"

    def _ready(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return bool(ask(self.home / "control.sock", "status")["ready"])
        except OnecodeError:
            return False

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + LIMIT_S
        while not (seen := condition()):
            if time.monotonic() > end:
                logs = "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in (self.home / "logs").iterdir())
                pytest.fail(f"waited for {what}; {self.log.read_text()[-2000:]}\n{logs}")
            time.sleep(0.1)
        return seen

    def import_version(self, folder: Path, weight: float) -> str:
        """Register a model with one linear layer and the answers it gives; return its digest."""
        file, golden = folder / f"{weight}.onnx", folder / f"{weight}.jsonl"
        file.write_bytes(linear_model(weight))
        golden.write_bytes(golden_set(file.read_bytes()))
        return str(self.server.models.import_onnx(file, "pump", golden=golden).digest)

    def release(self, digest: str) -> None:
        """Release a version to cloud and gateway; a second one is promoted by hand, as there is no traffic."""
        plan = make_plan("pump", digest, ["cloud", "line-1"], shares=[5000, 10_000], preset=TIMES)
        rollout = self.server.rollouts.start(plan)

        def done() -> bool:
            now = self.server.rollouts.get(rollout.rollout_id)
            if now.state == "running" and now.document["stable"]:
                self.server.rollouts.promote(rollout.rollout_id, reason="a test", force=True)
            return now.ended

        self.wait(done, f"the release of {digest}")
        assert self.server.rollouts.get(rollout.rollout_id).state == "succeeded"

    def told(self) -> dict[str, Any]:
        """Return what must be the same after a restore."""
        rollouts = [one.document for one in self.server.rollouts.list(model="pump")]
        return {
            "versions": [(one["release"], one["digest"]) for one in self.server.models.show("pump")["versions"]],
            "rollouts": [(one["rollout_id"], one["state"], one["plan"]["candidate"]) for one in rollouts],
            "decisions": [self.server.rollouts.explain(one["rollout_id"]) for one in rollouts],
            "gateways": [one.gateway_id for one in self.server.gateways.list(segment="line-1")],
        }

    def serves(self, digest: str) -> bool:
        """Whether the gateway told that it serves this version."""
        return bool(self.server.gateways.get("gw-1").serving.get("pump") == digest)

    def answers(self, url: str = "") -> list[float]:
        """Return the answer of the gateway, or of another one, to one row; nothing while it has none."""
        body = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
        with urllib3.PoolManager(retries=False, timeout=10) as pool:
            try:
                answer = pool.request("POST", f"{url or self.gateway_url}/v2/models/pump/infer", json=body)
            except urllib3.exceptions.NewConnectionError:
                return []
        found: list[float] = answer.json()["outputs"][0]["data"] if answer.status == HTTPStatus.OK else []
        return found

    def down(self) -> None:
        self.server.close()
        if self.popen.poll() is None:
            subprocess.run([self.program, "down", "--home", self.home], check=True, capture_output=True, timeout=60)
            self.popen.wait(30)
        self.wait(partial(no_process, self.home), "its processes to end")


def no_process(home: Path) -> bool:
    """Whether nothing of a home runs."""
    return not family(str(home))


def linear_model(weight: float) -> bytes:
    """Return a model with one linear layer: float32 [n, 2] in and out."""
    weights = np.array([[weight, 1.0], [0.5, weight]], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["scores"])],
        "pump",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def golden_set(model: bytes) -> bytes:
    """Return 64 questions with the answers of the model itself."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    lines: list[dict[str, Any]] = [{"format": 1, "rows": 64, "atol": 1e-4, "rtol": 1e-3, "allowed_mismatch": 0}]
    for number in range(64):
        row = np.array([[number, number / 3]], np.float32)
        (scores,) = session.run(["scores"], {"features": row})
        lines.append(
            {
                "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 2], "data": row[0].tolist()}],
                "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": scores[0].tolist()}],
            }
        )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
