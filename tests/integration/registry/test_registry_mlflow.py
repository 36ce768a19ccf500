"""MLflow below the registry: closed to everybody else, told everything once, and nobody waits for it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from onecode.registry.v1 import registry_pb2 as pb


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Mlflow:
    """MLflow's own interface, asked as any of its users would."""

    def __init__(self, bench: Any, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = bench.home / "registry" / "mlflow"
        self.pool = urllib3.PoolManager(retries=False, timeout=20)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        token = (self.folder / "token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.pool.request(method, f"{self.url}/api/2.0/mlflow/{path}", json=body, headers=headers)
        return answer.json()

    def runs(self, query: str) -> list[Any]:
        experiment = self.call("GET", "experiments/get-by-name?experiment_name=onecode-default")
        if "experiment" not in experiment:
            return []
        body = {"experiment_ids": [experiment["experiment"]["experiment_id"]], "filter": query}
        found: list[Any] = self.call("POST", "runs/search", body).get("runs", [])
        return found

    def versions(self, model: str) -> list[Any]:
        found: list[Any] = self.call("GET", f"model-versions/search?filter=name%3D%27{model}%27").get(
            "model_versions", []
        )
        return found

    def answers(self) -> bool:
        try:
            return self.pool.request("GET", f"{self.url}/health").status == 200
        except urllib3.exceptions.HTTPError:
            return False


def eventually(claim: Callable[[], Any], what: str, limit_s: float = 60.0) -> Any:
    """Wait for something that another process brings about."""
    end = time.monotonic() + limit_s
    waiting = threading.Event()
    while time.monotonic() < end:
        found = claim()
        if found:
            return found
        waiting.wait(0.1)
    pytest.fail(f"never happened: {what}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Mlflow]]:
    """One registry with one MLflow below it for all tests of this module."""
    make: Callable[[Path], Any] = request.getfixturevalue("new_bench")
    bench = make(tmp_path_factory.mktemp("with-mlflow"))
    port = free_port()
    bench.start(mlflow_url="", mlflow_address=f"127.0.0.1:{port}")
    mlflow = Mlflow(bench, port)
    yield bench, mlflow
    bench.stop()
    assert not mlflow.answers()


def log(bench: Any, batch: int, run_id: str = "run_1", **changes: Any) -> None:
    fields: dict[str, Any] = {"project": "default", "run_id": run_id, "batch": batch, "state": "running", **changes}
    bench.stub("training").LogRun(pb.LogRunRequest(**fields))


def points(key: str, values: list[float]) -> list[pb.MetricPoint]:
    found = []
    for step, value in enumerate(values):
        point = pb.MetricPoint(key=key, value=value, step=step)
        point.time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
        found.append(point)
    return found


def test_a_run_and_its_version_are_in_mlflow_with_everything_that_led_to_them(running: tuple[Any, Mlflow]) -> None:
    bench, mlflow = running
    curve = [number / 700 for number in range(700)]
    # MLflow takes seconds to start: what is told before waits.
    log(bench, 1, parameters={"model": "lightgbm", "depth": "6"}, tags={"code_version": "v0.1-3-gabc"})
    log(bench, 2, metrics=points("loss", curve), parameters={"depth": "7", "rate": "0.1"})
    log(bench, 2, metrics=points("loss", curve))
    log(bench, 3, state="succeeded", metrics=points("val/nan", [float("nan")]), tags={"dataset_version": "dv-1"})
    version = bench.register()
    request = pb.SetAliasRequest(project="default", model="shuttle", alias="champion", digest=version.digest)
    bench.stub("console").SetAlias(request)

    eventually(mlflow.answers, "MLflow answers")
    run = eventually(
        lambda: next(iter(mlflow.runs("tags.onecode_run_id = 'run_1' and attributes.status = 'FINISHED'")), None),
        "the run is mirrored",
    )
    run_id = run["info"]["run_id"]
    assert {one["key"]: one["value"] for one in run["data"]["params"]} == {
        "model": "lightgbm",
        "depth": "6",
        "rate": "0.1",
    }
    history = eventually(
        lambda: (
            len(got := mlflow.call("GET", f"metrics/get-history?run_id={run_id}&metric_key=loss")["metrics"]) >= 700
            and got
        ),
        "the curve is mirrored",
    )
    assert [round(one["value"], 6) for one in sorted(history, key=lambda one: int(one["step"]))] == [
        round(value, 6) for value in curve
    ]
    found = eventually(
        lambda: (
            bench.stub("console")
            .GetVersion(pb.GetVersionRequest(project="default", digest=version.digest))
            .version.mlflow_version
        ),
        "the version is mirrored",
    )
    [mirrored] = mlflow.versions("shuttle")
    tags = {one["key"]: one["value"] for one in mirrored["tags"]}
    assert (mirrored["version"], mirrored["run_id"]) == (found, run_id)
    assert mirrored["source"] == f"onecode:/objects/{version.files[0].sha256}"
    assert tags["onecode_url"].endswith(f"/distribution/v1/objects/{version.files[0].sha256}")
    assert tags["onecode_version_uid"] == tags["onecode_digest"] == version.digest
    assert (tags["onecode_dataset_version"], tags["onecode_code_version"]) == ("dv-1", "v0.1-3-gabc")
    assert mlflow.runs(f"tags.onecode_digest = '{version.digest}' and tags.onecode_model = 'shuttle'")
    alias = eventually(
        lambda: mlflow.call("GET", "registered-models/alias?name=shuttle&alias=champion").get("model_version"),
        "the alias is mirrored",
    )
    assert alias["version"] == found
    move = pb.SetAliasRequest(project="default", model="shuttle", alias="champion", expected_digest=version.digest)
    bench.stub("console").SetAlias(move)
    eventually(
        lambda: "model_version" not in mlflow.call("GET", "registered-models/alias?name=shuttle&alias=champion"),
        "the alias is removed",
    )
    bench.stub("console").DeleteVersion(pb.DeleteVersionRequest(project="default", digest=version.digest))
    eventually(
        lambda: any(tag["value"] == "deleted" for tag in mlflow.versions("shuttle")[0]["tags"]), "the deletion is told"
    )


def test_nobody_without_the_token_is_told_anything(running: tuple[Any, Mlflow]) -> None:
    _, mlflow = running
    eventually(mlflow.answers, "MLflow answers")
    paths = [
        "/",
        "/version",
        "/metrics",
        "/graphql",
        "/api/2.0/mlflow/experiments/search?max_results=5",
        "/ajax-api/2.0/mlflow/experiments/search?max_results=5",
        "/ajax-api/3.0/jobs/search",
        "/api/3.0/mlflow/server-info",
        "/api/2.0/mlflow-artifacts/artifacts",
        "/get-artifact?path=x&run_uuid=y",
        "/gateway/x/mlflow/invocations",
        "/static-files/index.html",
        "//health",
        "/health/",
        "/health/../version",
        "/v1/traces",
    ]
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YWRtaW46cGFzc3dvcmQxMjM0"}):
            for method in ("GET", "POST", "OPTIONS"):
                answer = mlflow.pool.request(method, f"{mlflow.url}{path}", headers=headers)
                assert (answer.status, answer.data) == (401, b""), (method, path)
    for name in ("token", "secret"):
        assert (mlflow.folder / name).stat().st_mode & 0o777 == 0o600


def test_a_foreign_host_is_refused_even_with_the_token(running: tuple[Any, Mlflow]) -> None:
    _, mlflow = running
    eventually(mlflow.answers, "MLflow answers")
    headers = {"Authorization": f"Bearer {(mlflow.folder / 'token').read_text()}", "Host": "evil.example"}
    url = f"{mlflow.url}/api/2.0/mlflow/experiments/search?max_results=5"
    assert mlflow.pool.request("GET", url, headers=headers).status == 403


def test_a_killed_mlflow_comes_back_and_what_was_told_meanwhile_arrives_once(running: tuple[Any, Mlflow]) -> None:
    bench, mlflow = running
    eventually(mlflow.answers, "MLflow answers")
    log(bench, 1, "run_2", parameters={"a": "1"})
    eventually(lambda: mlflow.runs("tags.onecode_run_id = 'run_2'"), "the run is mirrored")
    before = int((mlflow.folder / "pid").read_text().split()[0])
    os.killpg(before, signal.SIGKILL)
    log(bench, 2, "run_2", state="stopped", metrics=points("loss", [1.0, 2.0]))
    version = bench.register("r9", seed=9, model="other")
    assert version.state == "ready"
    run = eventually(
        lambda: (
            mlflow.answers()
            and next(iter(mlflow.runs("tags.onecode_run_id = 'run_2' and attributes.status = 'KILLED'")), None)
        ),
        "the rest of the run is mirrored",
    )
    assert len(mlflow.runs("tags.onecode_run_id = 'run_2'")) == 1
    assert int((mlflow.folder / "pid").read_text().split()[0]) != before
    assert run["data"]["metrics"][0]["value"] == 2.0
    eventually(lambda: len(mlflow.versions("other")) == 1, "the version is mirrored")


def test_what_a_crash_left_unnoted_is_found_again_and_not_made_twice(running: tuple[Any, Mlflow]) -> None:
    """The rows say that MLflow knows nothing; MLflow knows it all."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    bench, mlflow = running
    eventually(mlflow.answers, "MLflow answers")
    log(bench, 1, "run_3", state="succeeded", parameters={"a": "1"}, metrics=points("loss", [1.0]))
    bench.register("r10", seed=10, model="third", lineage='{"run_id": "run_3"}')
    eventually(lambda: mlflow.versions("third"), "the version is mirrored")
    engine = create_engine(f"sqlite:///{bench.home / 'registry.db'}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("UPDATE runs SET mirrored = -1, mlflow_run = '', parameters_sent = 0"))
        connection.execute(text("UPDATE versions SET mirrored = 0, mlflow_version = ''"))
    engine.dispose()

    def told() -> bool:
        version = bench.stub("console").GetVersion(pb.GetVersionRequest(project="default", model="third")).version
        return bool(version.mlflow_version)

    eventually(told, "the version is found again")
    assert len(mlflow.versions("third")) == 1
    assert len(mlflow.runs("tags.onecode_run_id = 'run_3'")) == 1
