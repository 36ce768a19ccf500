"""Several processes are one server: one set of versions, one sum of counters, one end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving_models as make
from inference_world import Distribution, Inference, Rollout, arm, broker, entry, eventually, free_port
from prometheus_client.parser import text_string_to_metric_families

V1 = make.built("m", 1, make.plus(1))
V2 = make.built("m", 2, make.plus(2))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Distribution, Rollout, Inference]]:
    port = free_port()
    distribution = Distribution()
    for built in (V1, V2):
        distribution.add(built)
    distribution.start()
    distribution.publish(1, entry(1, arm(0, 10_000, V1, "stable")))
    (tmp_path / "root.json").write_bytes(distribution.root)
    with broker(tmp_path / "nats", port):
        rollout = Rollout(port)
        server = Inference(tmp_path / "home", distribution, port, PROCESSES="3")
        try:
            server.start()
            rollout.start()
            yield distribution, rollout, server
        finally:
            server.stop()
            rollout.stop()
            distribution.stop()
            print((tmp_path / "log").read_text())  # noqa: T201 - shown by pytest where a test failed


def _answered(server: Inference) -> float:
    families = text_string_to_metric_families(server.metrics())
    samples = [one for family in families for one in family.samples if one.name == "nv_inference_request_success"]
    return sum(one.value for one in samples)


def test_three_processes_answer_switch_count_and_end_as_one(world: tuple[Distribution, Rollout, Inference]) -> None:
    distribution, rollout, server = world
    eventually(server.ready, "ready")
    members = server.members()
    assert len(members) == 2
    assert {server.served() for _ in range(60)} == {V1.digest}
    eventually(lambda: rollout.requests(V1) == 60, "every answer is counted once, whoever gave it")
    eventually(lambda: _answered(server) == 60, "metrics are sums")
    eventually(lambda: {server.answered() for _ in range(20)} == {60}, "each process answers for all of them")

    distribution.publish(2, entry(2, arm(0, 10_000, V2, "stable")))
    rollout.wake(2)
    eventually(lambda: {server.served() for _ in range(30)} == {V2.digest}, "all of them switch")

    os.kill(members[0], signal.SIGKILL)
    assert {server.served() for _ in range(40)} == {V2.digest}, "callers of a dead process wait for the next one"
    eventually(lambda: len(server.members()) == 2 and members[0] not in server.members(), "it comes back")
    eventually(server.ready, "ready again")
    assert _answered(server) >= 60, "what a dead process counted stays"
    eventually(lambda: min(server.answered() for _ in range(20)) >= 60, "the new one knows of it, too")

    answers: list[dict[str, Any]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = server.ask()
            if answer == {"error": "no answer"}:
                return
            answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(answers) > 200, "load")
    survivors = server.members()
    assert server.stop() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert all("error" not in answer for answer in answers)
    assert not [pid for pid in survivors if Path(f"/proc/{pid}").exists()]


def test_windows_of_rows_need_one_process(tmp_path: Path) -> None:
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"models": {"m": {"window": {"input": "features", "rows": 3}}}}))
    environment = {"HOME_DIR": str(tmp_path / "home"), "PROCESSES": "2", "MODELS_FILE": str(models)}
    addresses = dict.fromkeys(("REST_ADDRESS", "GRPC_ADDRESS"), "127.0.0.1:0")
    settings = {f"ONECODE_INFERENCE_{name}": value for name, value in {**environment, **addresses}.items()}
    command = [sys.executable, "-m", "onecode_inference"]
    ended = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "set PROCESSES to 1" in ended.stderr


def test_the_others_end_with_the_first(world: tuple[Distribution, Rollout, Inference]) -> None:
    server = world[2]
    eventually(server.ready, "ready")
    members = server.members()
    assert len(members) == 2
    server.stop(kill=True)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members), "nobody outlives the first process")
