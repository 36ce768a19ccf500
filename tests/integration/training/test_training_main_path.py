"""A run of the real service on a real Ray: what it gives, and what a kill cannot take from it."""

import json
import signal
from typing import Any

import pytest

from onecode.ingestion.v1 import ingestion_pb2 as data
from onecode.registry.v1 import registry_pb2 as registry
from onecode.training.v1 import training_pb2 as pb
from onecode_common.errors import ConflictError, PreconditionError
from onecode_serving.golden import check_golden, parse_golden
from onecode_serving.loading import load_version

PROJECT = "default"
RECIPE = """
task: tabular-classification
target: diagnosis
budget: {max_bytes: 120000, max_p95_us: 5000}
search: {preset: quick}
seed: 3
"""


@pytest.fixture(scope="module")
def version(platform: Any, readings: bytes) -> str:
    return str(platform.commit("cancer", readings, target="diagnosis"))


def test_a_run_becomes_one_version_although_its_service_is_killed(platform: Any, version: str) -> None:
    run = platform.begin("r_main", version, RECIPE, "cancer")
    assert run.state == pb.RUN_STATE_QUEUED
    platform.wait("r_main", lambda run: run.stage == "search")
    working = set(platform.driver("r_main"))
    platform.end("training")
    assert working & set(platform.driver("r_main"))
    platform.start("training")
    seen = list(platform.training.WatchRun(pb.WatchRunRequest(project=PROJECT, run_id="r_main")))
    run = platform.wait("r_main", lambda run: run.state not in (pb.RUN_STATE_QUEUED, pb.RUN_STATE_RUNNING))
    assert (run.state, run.error) == (pb.RUN_STATE_SUCCEEDED, "")
    _check_run(run, seen)
    _check_version(platform, run)
    assert platform.driver("r_main") == []
    platform.wait("r_main", lambda _run: _released(platform, version))
    _check_starting_again(platform, version)


def _check_run(run: pb.Run, seen: list[pb.WatchRunResponse]) -> None:
    """One attempt did it; a watcher misses nothing and sees no step back; all is told and measured."""
    assert (run.attempt, run.stage, run.progress) == (1, "done", 1.0)
    points = [each.progress for each in seen if each.HasField("progress")]
    assert [point.sequence for point in points] == list(range(1, run.last_sequence + 1))
    shares = [point.progress for point in points]
    assert shares == sorted(shares)
    assert points[-1].state == pb.RUN_STATE_SUCCEEDED
    assert seen[-1].run.state == pb.RUN_STATE_SUCCEEDED
    assert run.metric == "balanced_accuracy"
    assert run.best_score > 0.9 > run.baseline_score
    assert run.test_metrics["accuracy"] > 0.9
    families = {trial.family for trial in run.trials}
    assert families == {"baseline", "linear", "lightgbm", "mlp"}
    winner = next(trial for trial in run.trials if trial.number == run.winner)
    assert winner.bytes <= 120_000
    assert 0 < winner.p95_us <= 5000
    assert run.parity.passed
    assert run.parity.max_abs_delta < 1e-4


def _check_version(platform: Any, run: pb.Run) -> None:
    """The registry has it once, and a gateway's own code gets the golden answers from its file."""
    listed = platform.registry.ListVersions(registry.ListVersionsRequest(project=PROJECT, model="cancer")).versions
    assert [each.digest for each in listed] == [run.model_digest]
    assert run.model_release == 1
    manifest = json.loads(listed[0].manifest)
    files = {each["name"]: each["sha256"] for each in manifest["files"]}
    folder = platform.home / "objects" / "models"
    content = {name: (folder / digest[:2] / digest[2:]).read_bytes() for name, digest in files.items()}
    served = load_version(manifest, content["model.onnx"])
    golden = parse_golden(content["golden.jsonl"])
    assert len(golden.rows) == 64
    assert check_golden(served, golden).passed
    assert {next(iter(row.outputs[0].values or [])) for row in golden.rows} == {"benign", "malignant"}
    lineage = manifest["lineage"]
    assert (lineage["run_id"], lineage["dataset_version"]) == ("r_main", run.dataset_version)
    assert manifest["contract"]["inputs"][0]["columns"][0] == "feature 0"


def _released(platform: Any, version: str) -> bool:
    try:
        platform.ingestion.DeleteVersion(data.DeleteVersionRequest(project=PROJECT, version_id=version))
    except PreconditionError:
        return False
    return True


def _check_starting_again(platform: Any, version: str) -> None:
    """The same id and body answers as the first time, another body is refused; an ended run cannot be stopped."""
    again = platform.begin("r_main", version, RECIPE.replace("seed: 3", "seed: 3 # the same"), "cancer")
    assert again.state == pb.RUN_STATE_SUCCEEDED
    with pytest.raises(ConflictError) as caught:
        platform.begin("r_main", version, RECIPE.replace("seed: 3", "seed: 4"), "cancer")
    assert caught.value.code == "run.exists"
    for method, request in (("StopRun", pb.StopRunRequest), ("ResumeRun", pb.ResumeRunRequest)):
        with pytest.raises(PreconditionError):
            getattr(platform.training, method)(request(project=PROJECT, run_id="r_main"))


def test_a_run_that_was_stopped_and_killed_is_resumed_from_its_trials(platform: Any, readings: bytes) -> None:
    version = platform.commit("cancer-2", readings[: readings.rindex(b"\n", 0, -1) + 1], target="diagnosis")
    platform.begin("r_faults", version, RECIPE, "faults")
    platform.wait("r_faults", lambda run: run.stage == "search")
    platform.training.StopRun(pb.StopRunRequest(project=PROJECT, run_id="r_faults"))
    run = platform.wait("r_faults", lambda run: run.state == pb.RUN_STATE_STOPPED)
    assert platform.driver("r_faults") == []

    platform.training.ResumeRun(pb.ResumeRunRequest(project=PROJECT, run_id="r_faults"))
    run = platform.wait("r_faults", lambda run: run.attempt == 2 and len(_finished(run)) >= 2)
    platform.kill_driver("r_faults")
    run = platform.wait("r_faults", lambda run: run.state == pb.RUN_STATE_INTERRUPTED)
    assert run.error_code == "run.interrupted"
    assert platform.driver("r_faults") == []
    before = {trial.number: trial.score for trial in _finished(run)}

    platform.training.ResumeRun(pb.ResumeRunRequest(project=PROJECT, run_id="r_faults"))
    run = platform.wait("r_faults", lambda run: run.state not in (pb.RUN_STATE_QUEUED, pb.RUN_STATE_RUNNING))
    assert (run.state, run.attempt) == (pb.RUN_STATE_SUCCEEDED, 3)
    after = {trial.number: trial.score for trial in run.trials}
    assert before.items() <= after.items()
    seen = platform.training.WatchRun(pb.WatchRunRequest(project=PROJECT, run_id="r_faults"))
    told = [each.progress.message for each in seen]
    assert sum("taken over from an earlier attempt" in message for message in told) >= len(before)
    listed = platform.registry.ListVersions(registry.ListVersionsRequest(project=PROJECT, model="faults")).versions
    assert [each.digest for each in listed] == [run.model_digest]


def _finished(run: pb.Run) -> list[pb.Trial]:
    return [trial for trial in run.trials if trial.state == "done" and trial.family != "baseline"]


def test_a_service_that_ends_in_order_leaves_its_run_interrupted(platform: Any, readings: bytes) -> None:
    version = platform.commit("cancer-3", readings[: len(readings) // 2 + 7], target="diagnosis", ragged_rows=2)
    platform.begin("r_order", version, RECIPE, "")
    platform.wait("r_order", lambda _run: bool(platform.driver("r_order")))
    platform.end("training", signal.SIGTERM)
    assert platform.driver("r_order") == []
    platform.start("training")
    run = platform.run("r_order")
    assert run.state == pb.RUN_STATE_INTERRUPTED
