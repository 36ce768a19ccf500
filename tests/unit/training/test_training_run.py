"""Who may move a run, and what a driver's lines do to it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from onecode_common.errors import ConflictError, PreconditionError
from onecode_training.adapters.documents import from_json, to_json
from onecode_training.domain import run as states
from onecode_training.domain.journal import change, lines_of, told
from onecode_training.domain.run import Run, Trial, asked_to_resume, asked_to_stop, began, require_same, succeeded
from onecode_training.domain.runlog import closing, of_trial, opening

NOW = datetime(2026, 11, 21, tzinfo=UTC)
RUN = Run(
    "r_1", "default", "sha256:b", states.QUEUED, "sha256:d", '{"seed":7,"budget":{"max_bytes":9}}', "m", NOW, "me"
)


def step(progress: float, **more: object) -> dict[str, object]:
    return {"kind": "step", "stage": "search", "progress": progress, "message": "x", **more}


def test_half_a_line_is_not_read() -> None:
    whole = json.dumps(step(0.5)).encode() + b"\n"
    lines, length = lines_of(whole + whole[:10])
    assert (len(lines), length) == (1, len(whole))
    assert lines_of(whole[:10]) == ([], 0)


def test_progress_never_goes_back_and_points_are_numbered() -> None:
    run = began(RUN, 7, NOW)
    found = []
    for progress in (0.1, 0.5, 0.3, 7.0):
        result = change(run, step(progress), NOW)
        run = result.run
        assert result.point is not None
        found.append((result.point.sequence, result.point.progress))
    assert found == [(1, 0.1), (2, 0.5), (3, 0.5), (4, 1.0)]


def test_a_new_attempt_begins_at_nothing_but_goes_on_counting() -> None:
    run = change(began(RUN, 7, NOW), step(0.5), NOW).run
    again = began(asked_to_resume(replace(run, state=states.INTERRUPTED)), 8, NOW)
    assert (again.progress, again.attempt, again.spool_offset) == (0.0, 2, 0)
    assert change(again, step(0.1), NOW).run.last_sequence == 2


def test_the_best_score_leaves_out_the_baseline_and_what_failed() -> None:
    run = began(RUN, 7, NOW)
    for number, family, state, score in (
        (1, "baseline", "done", 0.99),
        (2, "linear", "done", 0.7),
        (3, "mlp", "failed", 0.9),
        (4, "lightgbm", "done", 0.6),
    ):
        trial = {"number": number, "family": family, "state": state, "score": score, "later_field": 1}
        run = change(run, {**step(0.2), "kind": "trial", "trial": trial}, NOW).run
    assert run.best_score == 0.7


def test_unknown_lines_of_a_later_release_change_nothing() -> None:
    assert change(RUN, {"kind": "hologram", "x": 1}, NOW).run == RUN


def test_the_reason_of_a_failure_is_kept_until_its_driver_is_gone() -> None:
    run = change(began(RUN, 7, NOW), {"kind": "failed", "code": "data.infinite", "message": "column 'a'"}, NOW).run
    assert (run.state, run.error_code, run.error) == (states.RUNNING, "data.infinite", "column 'a'")
    assert began(run, 8, NOW).error_code == ""


def test_the_outcome_is_kept_until_it_is_registered() -> None:
    outcome = {"winner": 4, "test_metrics": {"r2": 0.5}, "parity": {"passed": True}}
    run = change(began(RUN, 7, NOW), {"kind": "outcome", "outcome": outcome, "message": "proven"}, NOW).run
    assert (run.winner, run.stage, run.outcome) == (4, "register", outcome)
    with pytest.raises(PreconditionError, match="being registered"):
        asked_to_stop(run)
    done = succeeded(run, "sha256:m", 3, NOW)
    assert (done.state, done.progress, done.model_release) == (states.SUCCEEDED, 1.0, 3)


@pytest.mark.parametrize("state", [states.QUEUED, states.RUNNING])
def test_what_is_open_can_be_stopped(state: str) -> None:
    stopping = asked_to_stop(replace(RUN, state=state))
    assert stopping.state == states.STOPPING
    assert asked_to_stop(stopping) == stopping


@pytest.mark.parametrize("state", [states.FAILED, states.SUCCEEDED, states.INTERRUPTED])
def test_what_has_ended_cannot_be_stopped(state: str) -> None:
    with pytest.raises(PreconditionError) as caught:
        asked_to_stop(replace(RUN, state=state))
    assert caught.value.code == "run.ended"


@pytest.mark.parametrize("state", [states.STOPPED, states.INTERRUPTED, states.FAILED])
def test_what_ended_without_a_version_can_be_resumed(state: str) -> None:
    again = asked_to_resume(replace(RUN, state=state, error="x", error_code="y", finished=NOW, winner=3))
    assert (again.state, again.error, again.winner, again.finished) == (states.QUEUED, "", 0, None)
    assert asked_to_resume(again) == again


@pytest.mark.parametrize("state", [states.SUCCEEDED, states.STOPPING])
def test_nothing_else_can(state: str) -> None:
    with pytest.raises(PreconditionError) as caught:
        asked_to_resume(replace(RUN, state=state))
    assert caught.value.code == "run.not_resumable"


def test_an_id_means_one_question() -> None:
    require_same(RUN, "sha256:b")
    with pytest.raises(ConflictError) as caught:
        require_same(RUN, "sha256:c")
    assert caught.value.code == "run.exists"


def test_a_run_is_read_as_it_was_written_also_with_fields_of_a_later_release() -> None:
    run = replace(told(RUN, "x", NOW).run, started=NOW, test_metrics={"r2": 0.1})
    document = json.loads(to_json(run)) | {"later": 1}
    assert from_json(Run, json.dumps(document)) == run


def test_the_log_has_what_was_asked_what_was_found_and_how_it_ended() -> None:
    run = replace(began(RUN, 7, NOW), metric="r2", best_score=0.5)
    first = opening(run, "0.1.0+abc")
    assert first.parameters == {"seed": "7", "budget.max_bytes": "9"}
    assert first.tags["onecode.code_version"] == "0.1.0+abc"
    trial = Trial(3, "mlp", state="done", score=0.5, bytes=900)
    entry = of_trial(run, trial, {"loss": (2.0, 1.0)})
    assert entry is not None
    assert entry.metrics == (
        ("trial/r2", 0.5, 3),
        ("trial/bytes", 900.0, 3),
        ("best_score", 0.5, 3),
        ("curve/loss", 2.0, 0),
        ("curve/loss", 1.0, 1),
    )
    assert of_trial(run, replace(trial, state="running", score=None), None) is None
    last = closing(replace(succeeded(run, "sha256:m", 3, NOW), test_metrics={"r2": 0.4}, winner=3))
    assert (last.state, last.metrics) == ("succeeded", (("test/r2", 0.4, 0),))
    assert last.tags["onecode.model_release"] == "3"
