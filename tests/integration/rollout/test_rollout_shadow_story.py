"""Releases that begin in shadow, end to end: a real process decides on what members report."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from onecode.rollout.v1 import rollout_pb2 as pb

Plan = Callable[..., pb.Plan]


@pytest.fixture
def shadow_plan(fast_plan: Plan) -> Plan:
    """Return a plan of one canary step that begins with a second of shadow."""

    def make(number: int, **more: Any) -> pb.Plan:
        plan = fast_plan(number, 1000, 5000, 10_000, **more)
        plan.shadow_seconds = 1
        return plan

    return make


def create(platform: Any, rollout_id: str, plan: pb.Plan) -> None:
    platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id=rollout_id, plan=plan))


def decisions(platform: Any, rollout_id: str) -> list[pb.Decision]:
    return list(platform.stub.ExplainRollout(pb.ExplainRolloutRequest(rollout_id=rollout_id)).decisions)


def rows_of_shadows(platform: Any) -> int:
    with closing(sqlite3.connect(platform.folder / "rollout.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM shadow_counters").fetchone()[0])


def test_a_good_candidate_is_compared_before_anybody_is_answered_by_it(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    until(lambda: platform.registry.champions.get(members.model) == version(1))
    members.differing = 0.1
    create(platform, "r-shadow", shadow_plan(2))
    until(lambda: "shadow" in platform.registry.policies[members.segment]["models"][0])
    (model,) = platform.registry.policies[members.segment]["models"]
    assert model["shadow"] == {"release": 2, "digest": version(2)}
    assert [(arm["digest"], arm["to"]) for arm in model["arms"]] == [(version(1), 10_000)]
    shown = platform.get("r-shadow")
    assert shown.shadow.running
    assert (shown.plan.shadow_seconds, shown.shadow.needed_pairs) == (1, 200)
    assert "Running in shadow" in shown.sentence
    done = members.drive("r-shadow", "succeeded")
    (model,) = platform.registry.policies[members.segment]["models"]
    assert "shadow" not in model
    rules = [(one.kind, one.rule) for one in decisions(platform, "r-shadow")]
    assert rules[:3] == [("create", "operator"), ("start", "start"), ("widen", "shadow.pairs")]
    assert decisions(platform, "r-shadow")[1].sentence == "Started: v1 → v2, first in shadow for 1 s."
    begun = decisions(platform, "r-shadow")[2]
    found = json.loads(begun.record)["shadow"]
    assert found["pairs"] >= 200
    assert found["different"] == pytest.approx(0.1 * found["pairs"], abs=20)
    assert (found["failed"], found["largest"]) == (0, "0.25")
    assert f"{found['pairs']:,} requests" in begun.sentence
    assert all(one.replay_agrees for one in decisions(platform, "r-shadow"))
    assert not done.shadow.running
    assert done.shadow.pairs >= found["pairs"]
    assert done.candidate_count.requests > 0


def test_requests_shown_in_shadow_count_for_no_arm(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    until(lambda: platform.registry.champions.get(members.model) == version(1))
    members.shown = 5
    create(platform, "r-apart", shadow_plan(2))
    for _ in range(5):
        members.tick()
    until(lambda: platform.get("r-apart").shadow.pairs >= 50)
    seen = platform.get("r-apart")
    assert seen.candidate_count.requests == 0
    assert seen.stable_count.requests > 0
    assert seen.shadow.dropped == seen.shadow.pairs
    assert rows_of_shadows(platform) > 0
    platform.stub.RollbackRollout(pb.RollbackRolloutRequest(rollout_id="r-apart", reason="enough"))
    ended = members.drive("r-apart", "rolled_back")
    assert ended.shadow.pairs >= seen.shadow.pairs
    until(lambda: rows_of_shadows(platform) == 0)


def test_a_candidate_that_fails_in_shadow_is_taken_back_before_anybody_met_it(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    until(lambda: platform.registry.champions.get(members.model) == version(1))
    members.rates = {version(3): 0.5}
    create(platform, "r-broken", shadow_plan(3))
    done = members.drive("r-broken", "rolled_back")
    assert done.reason == "errors"
    assert done.candidate_count.requests == 0
    assert done.shadow.failed > 0
    (convicted,) = [one for one in decisions(platform, "r-broken") if one.kind == "rollback"]
    assert convicted.rule == "shadow.worse"
    assert convicted.replay_agrees
    assert "fails on" in convicted.sentence


def test_no_traffic_holds_it_and_says_so_and_traffic_resumes_it(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan
) -> None:
    release_first()
    members.mute = True
    create(platform, "r-none", shadow_plan(2, preset={"no_data_after_seconds": 2}))
    held = members.drive("r-none", "paused")
    assert held.reason == "no_data"
    assert "No traffic came in shadow: v2 was shown no request." in held.sentence
    members.mute = False
    members.drive("r-none", "succeeded")


def test_where_most_answers_differ_a_person_opens_the_gate(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan
) -> None:
    release_first()
    members.differing = 0.9
    create(platform, "r-other", shadow_plan(2))
    held = members.drive("r-other", "paused")
    assert held.reason == "gate"
    assert "largest difference is 0.25" in held.sentence
    platform.stub.ResumeRollout(pb.ResumeRolloutRequest(rollout_id="r-other", reason="they should differ"))
    members.drive("r-other", "succeeded")
    assert [one.rule for one in decisions(platform, "r-other")].count("operator.gate") == 1


def test_a_shadow_proves_nothing_that_a_promotion_needs(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan
) -> None:
    release_first()
    members.shown = 100_000
    members.requests = 100_000
    plan = shadow_plan(2)
    plan.shadow_seconds = 600
    create(platform, "r-proof", plan)
    for _ in range(3):
        members.tick()
    with pytest.raises(Exception, match="nothing is proven yet"):
        platform.stub.PromoteRollout(pb.PromoteRolloutRequest(rollout_id="r-proof", reason="looks good"))
    platform.stub.RollbackRollout(pb.RollbackRolloutRequest(rollout_id="r-proof", reason="done"))
    members.drive("r-proof", "rolled_back")


def test_a_person_may_go_on_without_what_the_shadow_lacks(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan
) -> None:
    release_first()
    members.shown = 0
    create(platform, "r-lacks", shadow_plan(2, preset={"no_data_after_seconds": 2}))
    members.drive("r-lacks", "paused")
    resume = pb.ResumeRolloutRequest(rollout_id="r-lacks", reason="the machine is always busy", override=True)
    platform.stub.ResumeRollout(resume)
    members.drive("r-lacks", "succeeded")
    assert "operator.gate" in [one.rule for one in decisions(platform, "r-lacks")]


def test_failures_that_a_person_has_accepted_do_not_hold_it_again_and_count_in_no_step(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan, version: Any
) -> None:
    release_first()
    members.rates = {version(3): 0.5}
    plan = shadow_plan(3, metrics=[pb.MetricBudget(metric="errors", on_bad="hold")])
    create(platform, "r-accept", plan)
    held = members.drive("r-accept", "paused")
    assert (held.reason, held.candidate_count.requests) == ("bad", 0)
    members.rates = {}
    again = pb.ResumeRolloutRequest(rollout_id="r-accept", reason="the inputs were broken", override=True)
    platform.stub.ResumeRollout(again)
    members.drive("r-accept", "succeeded")


def test_a_first_release_begins_without_a_shadow(platform: Any, members: Any, shadow_plan: Plan) -> None:
    create(platform, "r-one", shadow_plan(1))
    done = members.drive("r-one", "succeeded")
    assert not done.HasField("shadow")
    assert "begin" not in [one.kind for one in decisions(platform, "r-one")]


def test_what_was_installed_in_shadow_is_no_part_of_the_first_steps_split_or_of_its_outcomes(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan
) -> None:
    release_first()
    plan = shadow_plan(2)
    plan.shadow_seconds = 12
    create(platform, "r-split", plan)
    done = members.drive("r-split", "succeeded", "paused", seconds=60)
    assert (done.state, done.reason) == ("succeeded", "")


def test_gateways_that_reject_it_in_shadow_stop_it(
    platform: Any, members: Any, release_first: Callable[[], None], shadow_plan: Plan, version: Any
) -> None:
    release_first()
    members.broken = {version(4)}
    create(platform, "r-golden", shadow_plan(4))
    done = members.drive("r-golden", "rolled_back")
    assert (done.reason, done.candidate_count.requests) == ("install", 0)
