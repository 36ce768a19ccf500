"""Releases from end to end: a real process decides, members and registry answer as theirs do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from onecode.rollout.v1 import rollout_pb2 as pb

Plan = Callable[..., pb.Plan]


def create(platform: Any, rollout_id: str, plan: pb.Plan) -> pb.Rollout:
    rollout: pb.Rollout = platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id=rollout_id, plan=plan)).rollout
    return rollout


def decisions(platform: Any, rollout_id: str) -> list[pb.Decision]:
    return list(platform.stub.ExplainRollout(pb.ExplainRolloutRequest(rollout_id=rollout_id)).decisions)


def test_a_good_candidate_is_widened_by_evidence_and_ends_as_the_champion(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    until(lambda: platform.registry.champions.get(members.model) == version(1))
    create(platform, "r-good", fast_plan(2, 1000, 5000, 10_000))
    done = members.drive("r-good", "succeeded")
    until(lambda: platform.registry.champions.get(members.model) == version(2))
    (policy,) = platform.registry.policies[members.segment]["models"]
    assert [(arm["digest"], arm["role"], arm["to"]) for arm in policy["arms"]] == [(version(2), "stable", 10_000)]
    assert policy["rollback_to"] == [version(1)]
    kinds = [(one.kind, one.rule) for one in decisions(platform, "r-good")]
    assert kinds == [
        ("create", "operator"),
        ("start", "start"),
        ("widen", "errors.gate_rate"),
        ("promote", "errors.floor"),
        ("succeed", "quorum"),
    ]
    assert all(one.replay_agrees for one in decisions(platform, "r-good"))
    assert {member.action for member in done.members} == {"committed"}
    assert done.candidate_count.requests >= 507
    assert done.evidence[-1].log_e_floor >= done.threshold_floor


def test_a_candidate_with_errors_is_rolled_back_by_the_counters(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    until(lambda: platform.registry.champions.get(members.model) == version(1))
    members.rates = {version(3): 0.03, version(1): 0.001}
    create(platform, "r-bad", fast_plan(3, 1000, 5000, 10_000))
    done = members.drive("r-bad", "rolled_back", "succeeded")
    assert (done.state, done.reason) == ("rolled_back", "errors")
    assert platform.registry.champions[members.model] == version(1)
    arms = platform.registry.policies[members.segment]["models"][0]["arms"]
    assert [(arm["digest"], arm["to"]) for arm in arms] == [(version(1), 10_000)]
    convicted = [one for one in decisions(platform, "r-bad") if one.rule == "errors.worse"]
    assert len(convicted) == 1
    assert convicted[0].replay_agrees
    assert "candidate v3 failed" in convicted[0].sentence
    assert done.candidate_count.non_finite > 0


def test_a_candidate_that_members_reject_is_rolled_back_before_it_serves(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan, version: Any
) -> None:
    release_first()
    members.broken = {version(4)}
    create(platform, "r-reject", fast_plan(4, 1000, 5000, 10_000))
    done = members.drive("r-reject", "rolled_back")
    assert done.reason == "install"
    assert done.candidate_count.requests == 0
    stopped = next(one for one in decisions(platform, "r-reject") if one.kind == "rollback")
    assert "golden" in stopped.sentence


def test_a_first_release_that_is_rejected_leaves_no_model_behind(
    platform: Any, members: Any, fast_plan: Plan, version: Any
) -> None:
    members.broken = {version(1)}
    create(platform, "r-none", fast_plan(1, 10_000))
    assert members.drive("r-none", "rolled_back").reason == "install"
    assert platform.registry.policies[members.segment]["models"] == []


def test_silence_holds_a_release_and_traffic_resumes_it(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan
) -> None:
    release_first()
    members.mute = True
    create(platform, "r-quiet", fast_plan(2, 1000, 5000, 10_000, preset={"no_data_after_seconds": 2}))
    held = members.drive("r-quiet", "paused")
    assert held.reason == "no_data"
    assert "nothing to do" in held.sentence
    members.mute = False
    members.drive("r-quiet", "succeeded")
    rules = [one.rule for one in decisions(platform, "r-quiet")]
    assert rules.index("no_data") < rules.index("data")


def test_a_killed_controller_goes_on_where_it_was(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan, version: Any, until: Any
) -> None:
    release_first()
    create(platform, "r-kill", fast_plan(2, 1000, 5000, 10_000))
    generations = []
    for state in ("running", "promoting"):
        members.drive("r-kill", state, "succeeded")
        platform.kill()
        platform.start()
        generations.append(platform.get("r-kill").generation)
    members.drive("r-kill", "succeeded")
    until(lambda: platform.registry.champions.get(members.model) == version(2))
    assert generations == sorted(generations)
    assert platform.registry.history == sorted(platform.registry.history)
    numbers = [one.number for one in decisions(platform, "r-kill")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [one.kind for one in decisions(platform, "r-kill")].count("promote") == 1


def test_policies_reach_a_registry_that_was_down(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan
) -> None:
    release_first()
    platform.registry.down = True
    create(platform, "r-later", fast_plan(2, 1000, 5000, 10_000))
    before = platform.registry.version
    platform.kill()
    platform.start()
    assert platform.registry.version == before
    platform.registry.down = False
    members.drive("r-later", "succeeded")


def test_each_record_is_signed_and_names_the_one_before_it(
    platform: Any, members: Any, release_first: Callable[[], None]
) -> None:
    import base64
    import hashlib

    release_first()
    previous = "0" * 64
    for one in decisions(platform, f"r-{members.model}-first"):
        platform.keys["rollout"].public_key().verify(base64.b64decode(one.signature), one.record.encode())
        assert one.previous == previous == json.loads(one.record)["previous"]
        previous = hashlib.sha256(one.record.encode()).hexdigest()


def test_a_watcher_sees_every_state_and_then_the_end(
    platform: Any, members: Any, release_first: Callable[[], None]
) -> None:
    release_first()
    request = pb.WatchRolloutRequest(rollout_id=f"r-{members.model}-first")
    seen = [one.rollout.state for one in platform.stub.WatchRollout(request)]
    assert seen == ["succeeded"]


@pytest.mark.parametrize("method", ["PauseRollout", "CreateSegment"])
def test_a_change_needs_a_person(platform: Any, method: str) -> None:
    import grpc

    from onecode.rollout.v1 import rollout_pb2_grpc as rpc
    from onecode_common.errors import DeniedError
    from onecode_common.rpc import Peer, connect

    channel: grpc.Channel = connect(Peer("rollout", f"127.0.0.1:{platform.grpc_port}"), platform._issuer)
    with pytest.raises(DeniedError, match="person"):
        getattr(rpc.RolloutServiceStub(channel), method)(getattr(pb, f"{method}Request")())
    channel.close()
