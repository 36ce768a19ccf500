"""What a ModelRollout object asks for becomes the right command, and its status says what the definition allows."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from onecode_rollout.domain.lease import LIFE_S, Lease, given_back, taken
from onecode_rollout.domain.plan import DEFAULT_STEPS, PRESETS, Plan, Step
from onecode_rollout.domain.resource_status import Refusal, may_write, patch_of, status_of
from onecode_rollout.domain.rollout import Rollout, StepStart
from onecode_rollout.domain.states import STATES, TERMINAL
from onecode_rollout.domain.wish import Followed, Wish, command, command_without, difference, rollout_id

TEMPLATE = Path(__file__).resolve().parents[3] / "deploy" / "helm" / "onecode-crds" / "templates" / "modelrollouts.yaml"
WISH = Wish("prod", "pump-v3", 2, "pump", 3, ("cloud", "line-1"))
FOLLOWED = Followed("prod", "pump-v3", "prod:pump-v3")


def rollout(state: str, reason: str = "", **changes: Any) -> Rollout:
    plan = Plan("pump", "sha256:" + "3" * 64, ("line-1", "cloud"), steps=DEFAULT_STEPS, preset=PRESETS["standard"])
    made = Rollout("prod:pump-v3", plan, "", "kubernetes:prod:pump-v3", 1.0, state, reason, candidate_release=3)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("wish", "followed", "state", "reason", "expected"),
    [
        ({}, {}, None, "", "create"),
        ({"paused": True}, {}, None, "", ""),
        ({"withdrawn": True}, {}, None, "", ""),
        ({}, {}, "running", "", ""),
        ({"paused": True}, {}, "running", "", "pause"),
        ({"paused": True}, {}, "promoting", "", "pause"),
        ({"paused": True}, {}, "scheduled", "", ""),
        ({"paused": True}, {}, "paused", "no_data", ""),
        ({"paused": True}, {"paused": True}, "running", "", ""),
        ({}, {"paused": True}, "paused", "operator", "resume"),
        ({}, {}, "paused", "operator", ""),
        ({}, {"paused": True}, "paused", "bad", ""),
        ({"advance_to": 2}, {}, "paused", "gate", "open_gate"),
        ({"advance_to": 1}, {}, "paused", "gate", ""),
        ({"advance_to": 2}, {}, "paused", "bad", ""),
        ({"advance_to": 2}, {}, "running", "", ""),
        ({"withdrawn": True}, {}, "running", "", "rollback"),
        ({"withdrawn": True}, {}, "paused", "operator", "rollback"),
        ({"withdrawn": True}, {}, "awaiting_approval", "", "cancel"),
        ({"withdrawn": True}, {}, "rolling_back", "", ""),
    ],
)
def test_each_wish_in_each_state_is_one_command(
    wish: dict[str, Any], followed: dict[str, Any], state: str | None, reason: str, expected: str
) -> None:
    found = rollout(state, reason) if state else None
    assert command(replace(WISH, **wish), replace(FOLLOWED, **followed), found) == expected


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_what_has_ended_is_left_alone(state: str) -> None:
    for change in ({"paused": True}, {"withdrawn": True}, {"advance_to": 5}, {}):
        assert command(replace(WISH, **change), FOLLOWED, rollout(state)) == ""
    assert command_without(FOLLOWED, rollout(state)) == ""


def test_a_deleted_object_pauses_what_moves_once() -> None:
    assert command_without(FOLLOWED, rollout("running")) == "pause"
    assert command_without(replace(FOLLOWED, paused=True), rollout("running")) == ""
    assert command_without(FOLLOWED, None) == ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, ""),
        ({"segments": ("line-1", "cloud")}, ""),
        ({"version": 4}, "version"),
        ({"segments": ("cloud",)}, "segments"),
        ({"preset": "fast"}, "preset"),
        ({"steps": (Step(10_000),)}, "steps"),
    ],
)
def test_another_object_of_an_old_name_is_seen(change: dict[str, Any], field: str) -> None:
    assert difference(replace(WISH, **change), rollout("running")) == field


def test_ids_fit_and_stay_apart() -> None:
    long = [rollout_id("n" * 63, "a" * 200 + end) for end in "xy"]
    assert rollout_id("prod", "pump-v3") == "prod:pump-v3"
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 100


def allowed() -> dict[str, Any]:
    """Return the definition's schema of a status; Helm's braces do not matter here."""
    text = re.sub(r"\{\{.*?\}\}", "x", TEMPLATE.read_text(encoding="utf-8"))
    schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["status"]["properties"]
    return found


@pytest.mark.parametrize("state", STATES)
def test_a_status_has_only_what_the_definition_names(state: str) -> None:
    made = rollout(state, "operator", started=2.0, finished=3.0, stable_release=2, steps=(StepStart(0, 500, 2.0),))
    for refusal in (None, Refusal("plan.steps", "no")):
        for found in (made, None):
            status = status_of(WISH, FOLLOWED, found, "So it is.", refusal, {}, 9.0)
            assert set(status) <= set(allowed())
            wanted = allowed()["conditions"]["items"]["required"]
            for one in status["conditions"]:
                assert set(wanted) <= set(one) <= set(allowed()["conditions"]["items"]["properties"])
                assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", one["reason"])


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    first = status_of(WISH, FOLLOWED, rollout("running"), "Started.", None, {}, 100.0)
    later = status_of(WISH, FOLLOWED, rollout("running"), "Wider.", None, first, 200.0)
    assert [one["lastTransitionTime"] for one in later["conditions"]] == ["1970-01-01T00:01:40Z"] * 3
    ended = status_of(WISH, FOLLOWED, rollout("succeeded"), "Released.", None, later, 300.0)
    times = {one["type"]: one["lastTransitionTime"] for one in ended["conditions"]}
    assert times == {
        "Accepted": "1970-01-01T00:01:40Z",
        "Ready": "1970-01-01T00:05:00Z",
        "Stalled": "1970-01-01T00:01:40Z",
    }


def test_a_patch_removes_what_is_no_longer_true_and_is_empty_without_a_change() -> None:
    assert patch_of({"a": 1, "b": 2}, {"a": 1}) == {"a": 1, "b": None}
    assert patch_of({"a": 1}, {"a": 1}) == {}


def test_ten_seconds_lie_between_two_writings() -> None:
    assert [may_write(last, 100.0) for last in (None, 80.0, 90.0, 90.1)] == [True, True, True, False]


def test_a_lease_is_kept_by_its_holder_and_taken_when_it_ran_out() -> None:
    lease = taken(None, "one", "a", 100.0)
    assert lease == Lease("one", "a", 100.0 + LIFE_S)
    assert taken(lease, "one", "b", 100.0 + LIFE_S - 1) is None
    assert taken(lease, "one", "a", 105.0) == Lease("one", "a", 105.0 + LIFE_S)
    assert taken(lease, "one", "b", 100.0 + LIFE_S) == Lease("one", "b", 100.0 + 2 * LIFE_S)
    assert given_back(lease, "b") is None
    back = given_back(lease, "a")
    assert taken(back, "one", "b", 100.0) is not None
