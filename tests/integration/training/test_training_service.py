"""The service's own behaviour: refusals at its door, a queue, a bus, and peers that stay away."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from onecode.events.v1 import events_pb2 as events
from onecode.training.v1 import training_pb2 as pb
from onecode.training.v1 import training_pb2_grpc as rpc
from onecode_common.bus import Bus
from onecode_common.errors import DeniedError, InvalidError, NotFoundError, OnecodeError, UnauthenticatedError

PROJECT = "default"
RECIPE = "task: tabular-classification\ntarget: diagnosis\nsearch: {families: [linear]}"
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def version(platform: Any, readings: bytes) -> str:
    return str(platform.commit("service", readings[:40_000].rsplit(b"\n", 1)[0] + b"\n", target="diagnosis"))


def test_a_recipe_is_checked_against_its_table_without_starting_anything(platform: Any, version: str) -> None:
    asked = pb.ValidateRecipeRequest(project=PROJECT, recipe=RECIPE, dataset_version=version)
    answer = platform.training.ValidateRecipe(asked)
    assert list(answer.problems) == []
    assert json.loads(answer.recipe)["search"]["families"] == ["linear"]
    asked.recipe = "task: tabular-classification\ntarget: mood\nbudget: {max_bytes: 1}"
    answer = platform.training.ValidateRecipe(asked)
    assert [(each.path, each.value) for each in answer.problems] == [("budget.max_bytes", "1")]
    asked.recipe = "task: tabular-classification\ntarget: mood"
    assert [each.path for each in platform.training.ValidateRecipe(asked).problems] == ["target"]


@pytest.mark.parametrize(
    ("change", "kind", "code", "value"),
    [
        ({"recipe": RECIPE + "\ncolour: red"}, InvalidError, "recipe.invalid", "red"),
        ({"recipe": "task: {"}, InvalidError, "recipe.invalid", "task: {"),
        ({"recipe": RECIPE + "\nbudget: {max_bytes: 99999999999999}"}, InvalidError, "recipe.invalid", "1e+14"),
        ({"recipe": RECIPE.replace("diagnosis", "mood")}, InvalidError, "recipe.invalid", "mood"),
        ({"dataset_version": UNKNOWN}, NotFoundError, "", ""),
        ({"dataset_version": "cancer"}, InvalidError, "digest.invalid", "cancer"),
        ({"run_id": "../../etc"}, InvalidError, "id.invalid", "../../etc"),
        ({"run_id": ""}, InvalidError, "id.invalid", ""),
        ({"run_id": "x" * 101}, InvalidError, "id.invalid", ""),
        ({"model": "Big Model"}, InvalidError, "name.invalid", "Big Model"),
        ({"project": "other"}, NotFoundError, "project.missing", "other"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_and_leaves_no_run(
    platform: Any, version: str, change: dict[str, str], kind: type[OnecodeError], code: str, value: str
) -> None:
    before = len(platform.training.ListRuns(pb.ListRunsRequest(project=PROJECT)).runs)
    good = {"project": PROJECT, "run_id": "r_bad", "dataset_version": version, "recipe": RECIPE, "model": "m"}
    with pytest.raises(kind) as caught:
        platform.training.StartRun(pb.StartRunRequest(**{**good, **change}))
    assert not code or caught.value.code == code
    assert not value or value in caught.value.params.values()
    assert len(platform.training.ListRuns(pb.ListRunsRequest(project=PROJECT)).runs) == before


@pytest.mark.parametrize("method", ["GetRun", "StopRun", "ResumeRun", "WatchRun"])
def test_a_run_that_does_not_exist_is_not_found(platform: Any, method: str) -> None:
    request = getattr(pb, f"{method}Request")(project=PROJECT, run_id="r_none")
    ask = getattr(platform.training, method)
    with pytest.raises(NotFoundError) as caught:
        list(ask(request))
    assert caught.value.code == "run.missing"


@pytest.mark.parametrize("token", ["-1", "x", "9" * 40, "٣"])
def test_a_foreign_page_token_is_refused(platform: Any, token: str) -> None:
    with pytest.raises(InvalidError):
        platform.training.ListRuns(pb.ListRunsRequest(project=PROJECT, page_token=token))


def test_only_the_console_may_ask_and_only_for_somebody(platform: Any) -> None:
    for caller in ("registry", "rollout", "ingestion", "inference"):
        with pytest.raises(DeniedError):
            rpc.TrainingServiceStub(platform.channel("training", caller)).ListRuns(pb.ListRunsRequest(project=PROJECT))
    issuer = platform.issuers["console"]
    stub = rpc.TrainingServiceStub(platform.nobody("training", issuer))
    with pytest.raises(DeniedError):
        stub.ListRuns(pb.ListRunsRequest(project=PROJECT))
    with pytest.raises(UnauthenticatedError):
        # A token for the registry opens no other door.
        rpc.TrainingServiceStub(platform.nobody("training", issuer, "registry")).ListRuns(
            pb.ListRunsRequest(project=PROJECT)
        )


@pytest.fixture
def facts(platform: Any) -> Iterator[list[events.Envelope]]:
    """What training tells while a test goes on."""
    heard: list[events.Envelope] = []
    bus = Bus(f"nats://127.0.0.1:{platform.ports['nats']}", "listener")
    bus.start()
    bus.subscribe("oc.ev.training.>", lambda _subject, content: heard.append(events.Envelope.FromString(content)))
    assert bus.wait_connected(20)
    yield heard
    bus.stop()


def test_a_run_that_its_data_refuses_fails_with_the_reason_before_ray_starts(
    platform: Any, facts: list[events.Envelope]
) -> None:
    rows = "\n".join(f"{number},{number * 2},1" for number in range(200))
    version = platform.commit("single", f"a,b,y\n{rows}\n".encode(), target="y")
    recipe = "task: tabular-classification"
    platform.begin("r_single", version, recipe, "single")
    run = platform.wait("r_single", lambda run: run.HasField("finished"))
    assert (run.state, run.error_code) == (pb.RUN_STATE_FAILED, "data.single_class")
    assert "'1'" in run.error
    assert run.trials == []
    assert run.finished.seconds >= run.started.seconds >= run.created.seconds > 0
    platform.wait("r_single", lambda _run: any(fact.HasField("run_finished") for fact in facts))
    ended = next(fact for fact in facts if fact.HasField("run_finished"))
    assert (ended.run_finished.run_id, ended.run_finished.state) == ("r_single", "failed")
    steps = [fact.run_progress for fact in facts if fact.HasField("run_progress")]
    assert {step.run_id for step in steps} == {"r_single"}
    assert steps[-1].state == "failed"


def test_a_stop_before_the_turn_needs_no_driver(platform: Any, version: str) -> None:
    platform.begin("r_first", version, RECIPE, "")
    platform.begin("r_second", version, RECIPE, "")
    platform.training.StopRun(pb.StopRunRequest(project=PROJECT, run_id="r_second"))
    second = platform.wait("r_second", lambda run: run.state == pb.RUN_STATE_STOPPED)
    assert (second.attempt, platform.driver("r_second")) == (0, [])
    platform.training.StopRun(pb.StopRunRequest(project=PROJECT, run_id="r_first"))
    platform.wait("r_first", lambda run: run.state == pb.RUN_STATE_STOPPED)
    listed = platform.training.ListRuns(pb.ListRunsRequest(project=PROJECT, page_size=1))
    assert [run.run_id for run in listed.runs] == ["r_second"]
    rest = platform.training.ListRuns(pb.ListRunsRequest(project=PROJECT, page_token=listed.next_page_token))
    assert rest.runs[0].run_id == "r_first"


def test_health_is_told_without_a_token(platform: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", platform.ports["training-ops"], timeout=5)
    connection.request("GET", "/metrics")
    assert b"onecode_rpc_calls_total" in connection.getresponse().read()
    connection.close()
