"""The story goes on after a restore: the same digests, the same gateway, the next release; on the real platform."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    """`onecode up` with one gateway."""

    def __init__(self, home: Path, base: int) -> None:
        self.home, self.log = home, home.with_suffix(".log")
        faces = {"console": 90, "oip-rest": 91, "oip-grpc": 92, "edge": 93}
        ports = [f"--{name}-port={base + offset}" for name, offset in faces.items()]
        command = [str(ONECODE), "up", "--home", str(home), "--gateways", "1", f"--port-base={base + 100}", *ports]
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.wait(self._ready, "the platform to be ready")
        urls = ask(home / "control.sock", "status")["addresses"]["urls"]  # type: ignore[index]
        self.server = OneCode(urls["console"], (home / "api-token").read_text().strip())
        ports_document = json.loads((home / "ports.json").read_text())
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

    def answers(self) -> list[float]:
        """Return the gateway's answer to one row; nothing while it has none."""
        body = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
        with urllib3.PoolManager(retries=False, timeout=10) as pool:
            answer = pool.request("POST", f"{self.gateway_url}/v2/models/pump/infer", json=body)
        found: list[float] = answer.json()["outputs"][0]["data"] if answer.status == HTTPStatus.OK else []
        return found

    def down(self) -> None:
        self.server.close()
        if self.popen.poll() is None:
            subprocess.run([ONECODE, "down", "--home", self.home], check=True, capture_output=True, timeout=60)
            self.popen.wait(30)
        self.wait(partial(no_process, self.home), "its processes to end")


def no_process(home: Path) -> bool:
    """Whether nothing of a home runs."""
    return not family(str(home))


@pytest.fixture
def up(free_base: int) -> Iterator[Callable[[Path], Platform]]:
    """Start the platform on a home."""
    started: list[Platform] = []

    def start(home: Path) -> Platform:
        started.append(Platform(home, free_base))
        return started[-1]

    yield start
    for one in started:
        one.server.close()
        if one.popen.poll() is None:
            one.popen.kill()
            one.popen.wait(10)
            one.wait(partial(no_process, one.home), "the keeper")


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


def onecode(*words: object) -> dict[str, Any]:
    """Run a command and return its JSON answer."""
    done = subprocess.run(
        [ONECODE, *map(str, words), "-o", "json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(400)
def test_a_platform_that_was_backed_up_while_it_ran_goes_on_elsewhere(
    up: Callable[[Path], Platform], tmp_path: Path
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    first = up(tmp_path / "first")
    one = first.import_version(tmp_path, 1.0)
    first.release(one)
    first.wait(lambda: first.serves(one), "the gateway to tell")
    before, answers = first.told(), first.answers()
    assert answers

    file = tmp_path / "platform.backup"
    taken = onecode("backup", file, "--passphrase-file", secret, "--home", first.home)
    assert taken["objects"] >= 3
    # What is released after the backup is lost with the machine, but a gateway has accepted it.
    lost = first.import_version(tmp_path, 3.0)
    first.release(lost)
    first.wait(lambda: first.serves(lost), "the gateway to serve what will be lost")
    first.down()
    assert onecode("backup", "verify", file, "--passphrase-file", secret)["whole"] is True
    restored = onecode("restore", file, "--passphrase-file", secret, "--home", tmp_path / "second")
    assert restored["audit"] == "whole"
    for name in ("api-token", "keys/registry.key", "gateways/gw-1/identity/gateway.key", "registry/keys/root.key"):
        assert (tmp_path / "second" / name).read_bytes() == (first.home / name).read_bytes()

    shutil.rmtree(tmp_path / "second" / "gateways" / "gw-1")
    shutil.copytree(first.home / "gateways" / "gw-1", tmp_path / "second" / "gateways" / "gw-1", symlinks=True)

    second = up(tmp_path / "second")
    assert second.told() == before
    second.wait(lambda: second.answers() == answers, "the gateway to follow the restored cloud")
    two = second.import_version(tmp_path, 2.0)
    second.release(two)
    second.wait(lambda: second.serves(two), "the gateway to serve the next version")
    assert second.answers() not in ([], answers)
    assert sorted(int(release) for release, _ in second.told()["versions"]) == [1, 2]
    second.down()
