"""Both databases keep the same promises, and each command has one effect."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from onecode_common.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
)
from onecode_common.restored import JUMP, mark_restored
from onecode_rollout.adapters.signatures import TufFleetSigner
from onecode_rollout.domain.plan import Budget, Step
from onecode_rollout.domain.reports import ActionReport, CounterReport, Report, StatusReport

Version = Callable[[int], str]


def running(world: Any, *shares: int, **changes: Any) -> None:
    world.release()
    world.create("r", 2, *(shares or (1000, 5000, 10_000)), **changes)
    world.turn()


def outcome(call: Callable[[], Any]) -> str:
    try:
        found = call()
    except OnecodeError as error:
        return error.code
    return str(found.rollout.state)


def decided(world: Any, rollout_id: str = "r") -> list[str]:
    return [one.kind for one, _ in world.service.rollouts.explain(rollout_id)[0]]


def test_the_same_creation_is_answered_as_the_first_time(world: Any) -> None:
    world.release()
    first = world.create("r", 2, 1000, 10_000)
    assert world.create("r", 2, 1000, 10_000).rollout == first.rollout
    with pytest.raises(ConflictError) as refused:
        world.create("r", 3, 1000, 10_000)
    assert refused.value.code == "rollout.id_taken"


def test_twenty_creations_at_once_make_one_rollout(world: Any) -> None:
    world.release()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: outcome(lambda: world.create("r", 2, 1000, 10_000)), range(20)))
    assert set(found) == {"running"}
    assert decided(world) == ["create", "start"]


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (lambda use: use.pause("r", "u_li", "why"), "paused"),
        (lambda use: use.promote("r", "u_li", "sure", force=True), "promoting"),
        (lambda use: use.rollback("r", "u_li", ""), "rolling_back"),
        (lambda use: use.abort("r", "u_li", ""), "aborted"),
    ],
)
def test_twenty_presses_of_a_button_have_one_effect(world: Any, command: Callable[[Any], Any], state: str) -> None:
    running(world)
    before = world.policy().generation
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: outcome(lambda: command(world.service.commands)), range(20)))
    assert set(found) == {state}
    assert len(decided(world)) == 3
    assert world.policy().generation <= before + 1


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"number": 99}, NotFoundError, "version.unknown"),
        ({"number": 1}, InvalidError, "plan.same_version"),
        ({"shares": (10_000,)}, InvalidError, "plan.no_canary"),
        ({"shares": (5000, 1000)}, InvalidError, "plan.steps"),
        ({"segments": ("nowhere",)}, NotFoundError, "segment.unknown"),
        ({"metrics": (Budget("drift"),)}, InvalidError, "plan.metric"),
        ({"number": 9}, InvalidError, "plan.incompatible"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_and_leaves_nothing(
    world: Any, change: dict[str, Any], error: type[OnecodeError], code: str
) -> None:
    world.release()
    world.registry.datatypes[9] = "INT64"
    asked = {"shares": (1000, 10_000), "number": 2, **change}
    shares, number = asked.pop("shares"), asked.pop("number")
    with pytest.raises(error) as refused:
        world.create("r", number, *shares, **asked)
    assert refused.value.code == code
    with pytest.raises(NotFoundError):
        world.service.rollouts.get("r")


def test_a_second_rollout_of_the_model_is_refused_or_takes_over(world: Any, version: Version) -> None:
    running(world)
    with pytest.raises(PreconditionError) as refused:
        world.create("r-2", 3, 1000, 10_000)
    assert refused.value.params["rollout"] == "r"
    world.create("r-3", 3, 1000, 10_000, supersede=True)
    assert world.state("r") == ("superseded", "r-3")
    assert world.state("r-3") == ("running", "")
    entry = world.policy().entries["shuttle"]
    assert entry.digests == {version(1), version(3)}


def test_segments_that_serve_different_versions_are_released_apart(world: Any) -> None:
    world.release()
    world.service.fleet.create_segment("line-1", 0, "u_anna")
    with pytest.raises(PreconditionError) as refused:
        world.create("r", 2, 1000, 10_000, segments=("cloud", "line-1"))
    assert refused.value.code == "plan.mixed"


def test_the_author_cannot_approve_and_others_count_once(world: Any) -> None:
    world.service.fleet.create_segment("line-1", 2, "u_anna")
    created = world.create("r", 1, 10_000, segments=("line-1",))
    assert created.rollout.state == "awaiting_approval"
    commands = world.service.commands
    with pytest.raises(DeniedError):
        commands.approve("r", "u_anna", "")
    assert commands.approve("r", "u_li", "").rollout.state == "awaiting_approval"
    assert commands.approve("r", "u_li", "").rollout.approvals == ("u_li",)
    assert commands.approve("r", "u_bo", "fine").rollout.state == "running"
    with pytest.raises(PreconditionError, match="running"):
        commands.reject("r", "u_bo", "")


def test_an_approval_that_nobody_gives_expires(world: Any) -> None:
    world.service.fleet.create_segment("line-1", 1, "u_anna")
    world.create("r", 1, 10_000, segments=("line-1",))
    world.turn(6 * 86_400)
    assert world.state("r")[0] == "awaiting_approval"
    world.turn(86_400)
    assert world.state("r") == ("rejected", "expired")


def test_a_pause_holds_switches_and_resuming_goes_on(world: Any) -> None:
    running(world)
    world.service.commands.pause("r", "u_li", "lunch")
    assert world.policy().entries["shuttle"].hold
    with pytest.raises(PreconditionError, match="paused"):
        world.service.commands.cancel("r", "u_li")
    world.turn(600)
    assert world.state("r") == ("paused", "operator")
    world.service.commands.resume("r", "u_li", "", override=False)
    assert world.state("r") == ("running", "")
    assert not world.policy().entries["shuttle"].hold


def test_evidence_counts_while_paused(world: Any) -> None:
    running(world)
    world.service.commands.pause("r", "u_li", "")
    for _ in range(3):
        world.counted(2, 100, 30)
        world.counted(1, 900, 5)
        world.turn(60)
    assert world.state("r") == ("rolled_back", "errors")


def test_promotion_without_proof_needs_force_and_force_a_reason(world: Any) -> None:
    running(world)
    commands = world.service.commands
    with pytest.raises(PreconditionError, match="nothing is proven"):
        commands.promote("r", "u_li", "", force=False)
    with pytest.raises(InvalidError):
        commands.promote("r", "u_li", " ", force=True)
    assert commands.promote("r", "u_li", "tested by hand", force=True).rollout.state == "promoting"
    last = world.service.rollouts.explain("r")[0][-1][0]
    assert (last.rule, json.loads(last.record)["note"]) == ("operator.forced", "tested by hand")


def test_a_promotion_with_a_straggler_is_held_and_then_closed_by_force(world: Any) -> None:
    running(world)
    commands = world.service.commands
    commands.promote("r", "u_li", "sure", force=True)
    world.installed(2, state="rejected")
    world.turn(60)
    assert world.state("r")[0] == "rolling_back", "the only member failed"


def test_an_abort_keeps_the_split_for_the_next_rollout(world: Any, version: Version) -> None:
    running(world)
    before = world.policy().entries["shuttle"].arms
    world.service.commands.abort("r", "u_li", "")
    assert world.policy().entries["shuttle"].arms == before
    world.create("r-2", 3, 1000, 10_000)
    assert world.policy().entries["shuttle"].digests == {version(1), version(3)}


def test_a_rollback_by_a_person_ends_when_the_cloud_serves_stable(world: Any, version: Version) -> None:
    running(world)
    world.installed(2)
    world.service.commands.rollback("r", "u_li", "felt wrong")
    world.turn(1)
    assert world.state("r")[0] == "rolling_back"
    world.installed(1)
    world.turn(1)
    assert world.state("r") == ("rolled_back", "operator")
    assert world.policy().entries["shuttle"].digests == {version(1)}


def test_a_restart_at_any_moment_changes_nothing_but_the_time(world: Any, version: Version) -> None:
    running(world)
    world.installed(2)
    for _ in range(30):
        world.restart()
        for arm in world.policy().entries["shuttle"].arms:
            world.counted(arm.release, (arm.end - arm.start) // 2)
        world.turn(60)
        if world.state("r")[0] == "promoting":
            world.installed(2)
    world.restart()
    world.turn()
    assert world.state("r")[0] == "succeeded"
    assert decided(world) == ["create", "start", "widen", "promote", "succeed"]
    assert all(agrees for _, agrees in world.service.rollouts.explain("r")[0])
    assert world.registry.champion == version(2)


def test_order_and_repetition_of_reports_change_no_bit_of_the_verdict(world: Any) -> None:
    running(world)
    start = int(world.clock.seconds) // 60 * 60
    reports = [
        Report(
            "boot",
            1000 + 10 * minute + number,
            start,
            counters=(
                CounterReport(
                    "shuttle", "r", 1, f"sha256:{number:064x}", "", start - 60 * minute, 60,
                    100 * number + growth, minute % 3, 0, 0,
                ),
            ),
        )
        for minute in range(20)
        for number in (1, 2)
        for growth in (0,)
    ]  # fmt: skip
    found = set()
    for seed in range(5):
        shuffled = reports * 2
        random.Random(seed).shuffle(shuffled)
        world.service.telemetry.take({"cloud": shuffled})
        with world.records.transaction() as rows:
            found.add(rows.reports.intervals(rows.rollouts.get("r")))
    assert len(found) == 1
    assert len(found.pop()) == 20


def test_a_later_report_replaces_and_an_earlier_one_does_not(world: Any) -> None:
    running(world)
    world.counted(2, 10)
    world.counted(2, 30)
    world.sequence -= 2
    world.counted(2, 10)
    assert world.service.rollouts.get("r").candidate.requests == 30


def test_each_event_counts_once_and_every_report_is_acknowledged(world: Any, version: Version) -> None:
    running(world)
    action = ActionReport("shuttle", "r", 2, version(2), "verified", "", "", "", "")
    for _ in range(3):
        world.tell(action=action, sequence=77)
    with world.records.transaction() as rows:
        (count,) = rows.reports._connection.execute(text("SELECT count(*) FROM events WHERE sequence = 77")).one()
    assert count == 1
    assert world.hints.acknowledged[-3:] == [("cloud", [77])] * 3


def test_a_failure_stays_a_failure_when_the_member_refuses_the_version_later(world: Any, version: Version) -> None:
    running(world)
    for state in ("verified", "rolled_back", "refused"):
        world.tell(action=ActionReport("shuttle", "r", 2, version(2), state, "quarantine", "", "", ""))
    with world.records.transaction() as rows:
        assert rows.reports.actions("r")["cloud", version(2)].state == "rolled_back"


def test_an_older_status_changes_nothing(world: Any, version: Version) -> None:
    world.tell(status=StatusReport(5, {"shuttle": version(2)}), sequence=20)
    world.tell(status=StatusReport(4, {"shuttle": version(1)}), sequence=19)
    with world.records.transaction() as rows:
        assert rows.fleet.source("cloud").generation == 5


def test_an_unknown_or_revoked_source_gets_no_answer(world: Any) -> None:
    world.tell("gw-unknown", status=StatusReport(1))
    assert world.hints.acknowledged == []


def test_hostile_text_is_kept_short_and_without_nul(world: Any) -> None:
    world.tell(
        status=StatusReport(1, {"m\x00": "x" * 9000}, health="\x00" * 9000, facts={str(i): "v" for i in range(999)})
    )
    with world.records.transaction() as rows:
        told = rows.fleet.source("cloud")
    assert (len(told.serving["m"]), told.health, len(told.facts)) == (500, "", 100)


def test_an_impossible_counter_holds_the_release_and_drops_its_source(world: Any, version: Version) -> None:
    running(world)
    world.counted(1, 100)
    start = int(world.clock.seconds) // 60 * 60
    world.tell(counters=(CounterReport("shuttle", "r", 1, version(2), "candidate", start, 60, 10, 11, 0, 0),))
    world.turn()
    assert world.state("r") == ("paused", "invalid")
    assert world.service.rollouts.get("r").points == []
    commands = world.service.commands
    with pytest.raises(PreconditionError) as refused:
        commands.resume("r", "u_li", "", override=False)
    assert refused.value.code == "rollout.needs_override"
    commands.resume("r", "u_li", "the sensor was replaced", override=True)
    world.turn()
    assert world.state("r") == ("running", "")


@pytest.mark.parametrize("change", [{"rollout": "r-none"}, {"rollout": ""}, {"model": "other"}])
def test_a_counter_of_nothing_is_taken_and_dropped(world: Any, version: Version, change: dict[str, Any]) -> None:
    running(world)
    start = int(world.clock.seconds) // 60 * 60
    counter = CounterReport("shuttle", "r", 1, version(2), "candidate", start, 60, 10, 0, 0, 0)
    world.tell(counters=(replace(counter, **change),))
    world.turn()
    assert world.state("r") == ("running", "")
    assert world.service.rollouts.get("r").candidate.requests == 0


@pytest.mark.parametrize("sequence", [0, -1, 1 << 62])
def test_a_sequence_that_is_none_is_not_acknowledged(world: Any, sequence: int) -> None:
    world.tell(status=StatusReport(1), sequence=sequence)
    assert world.hints.acknowledged == [("cloud", [])]


def test_a_late_counter_of_an_ended_rollout_changes_nothing(world: Any) -> None:
    running(world)
    world.service.commands.abort("r", "u_li", "")
    before = world.service.rollouts.get("r")
    world.counted(2, 500, 400)
    world.turn(60)
    after = world.service.rollouts.get("r")
    assert (after.rollout, after.candidate, after.points) == (before.rollout, before.candidate, before.points)


def test_a_question_to_a_person_is_answered_by_the_clock_in_the_end(world: Any) -> None:
    running(world, metrics=(Budget(on_bad="ask"),))
    for _ in range(3):
        world.counted(2, 100, 30)
        world.counted(1, 900, 5)
        world.turn(60)
    assert world.state("r") == ("paused", "bad")
    commands = world.service.commands
    commands.resume("r", "u_li", "known bug of the client", override=True)
    world.turn(60)
    assert world.state("r") == ("running", "")
    for _ in range(9):
        world.counted(2, 100, 60)
        world.counted(1, 900, 5)
        world.turn(60)
    assert world.state("r") == ("paused", "bad")
    world.turn(1800)
    assert world.state("r") == ("rolled_back", "errors")


def test_a_manual_gate_opens_by_resuming(world: Any) -> None:
    running(world, steps=(Step(1000, manual_gate=True), Step(5000), Step(10_000)))
    world.installed(2)
    for _ in range(12):
        world.counted(2, 300)
        world.counted(1, 2700)
        world.turn(60)
    assert world.state("r") == ("paused", "gate")
    world.service.commands.resume("r", "u_li", "", override=False)
    world.turn()
    assert world.service.rollouts.get("r").rollout.step == 1


def test_policies_are_signed_with_every_segment_and_again_each_day(world: Any) -> None:
    world.release()
    world.service.fleet.create_segment("line-1", 0, "u_anna")
    world.turn()
    version, generations = world.signer.read(world.registry.metadata)
    assert generations == {"cloud": world.policy().generation, "line-1": 1}
    world.turn(86_400)
    again, same = world.signer.read(world.registry.metadata)
    assert (again, same) == (version + 1, generations)


def test_a_policy_is_announced_after_the_registry_has_it(world: Any) -> None:
    world.release()
    world.registry.down = True
    world.create("r", 2, 1000, 10_000)
    woken = list(world.hints.woken)
    world.turn(1)
    assert world.hints.woken == woken
    world.registry.down = False
    world.turn(1)
    assert world.hints.woken == [*woken, ("cloud", world.policy().generation)]


def test_a_controller_that_lost_its_memory_continues_above_what_gateways_know(world: Any, tmp_path: Any) -> None:
    running(world)
    version, generations = world.signer.read(world.registry.metadata)
    world.url = f"sqlite:///{tmp_path / 'fresh.db'}"
    world.restart()
    world.service.fleet.ensure_cloud()
    world.turn(60)
    world.turn(60)
    newer, after = world.signer.read(world.registry.metadata)
    assert newer > version
    assert after["cloud"] > generations["cloud"]


def test_restored_records_continue_far_above_what_was_signed_after_the_backup(world: Any) -> None:
    running(world)
    before, version = world.policy().generation, world.registry.version_served
    world.service.policies.overtake_lost()
    assert world.policy().generation == before
    with world.database.transaction() as connection:
        mark_restored(connection)
    world.restart()
    world.service.policies.overtake_lost()
    world.service.policies.overtake_lost()
    world.turn()
    assert world.policy().generation == before + JUMP
    assert version + JUMP < world.registry.version_served < version + 2 * JUMP
    assert world.signer.read(world.registry.metadata)[1]["cloud"] == before + JUMP


def test_a_registry_that_lost_its_memory_gets_everything_again(world: Any) -> None:
    world.release()
    world.registry.metadata, world.registry.policies = b"", {}
    world.turn(60)
    world.turn(60)
    assert set(world.registry.policies) == {"fleet/cloud/policy.json"}


def test_an_enrolment_token_expires_and_is_kept_as_a_hash_only(world: Any) -> None:
    world.service.fleet.create_segment("line-1", 0, "u_anna")
    invited = world.service.fleet.create_gateway("gw-1", "line-1", "u_anna", accept=True)
    with world.records.transaction() as rows:
        dump = repr(rows.reports._connection.execute(text("SELECT * FROM gateways")).all())
    assert invited.token not in dump
    world.clock.seconds += 15 * 60 + 1
    with pytest.raises(UnauthenticatedError) as refused:
        world.service.enrolment.enrol(invited.token, b"k" * 32, b"", {})
    assert refused.value.code == "enrol.expired"
    again = world.service.fleet.create_gateway("gw-1", "line-1", "u_anna", accept=True)
    assert world.service.enrolment.enrol(again.token, b"k" * 32, b"", {}).gateway.state == "active"
    with pytest.raises(UnauthenticatedError):
        world.service.enrolment.enrol(invited.token, b"k" * 32, b"", {})
    with pytest.raises(ConflictError):
        world.service.fleet.create_gateway("gw-1", "line-1", "u_anna", accept=True)


def test_a_gateway_that_enrols_again_counts_from_one(world: Any) -> None:
    world.service.fleet.create_segment("line-1", 0, "u_anna")
    fleet, enrolment = world.service.fleet, world.service.enrolment
    enrolment.enrol(fleet.create_gateway("gw-1", "line-1", "u", accept=True).token, b"k" * 32, b"", {})
    world.tell("gw-1", status=StatusReport(7), sequence=900)
    fleet.revoke("gw-1", "lost", "u")
    enrolment.enrol(fleet.create_gateway("gw-1", "line-1", "u", accept=True).token, b"j" * 32, b"", {})
    world.tell("gw-1", status=StatusReport(8), sequence=1)
    assert fleet.gateway("gw-1").told.generation == 8
    assert not fleet.gateway("gw-1").stale
    world.clock.seconds += 600
    assert fleet.gateway("gw-1").stale


def test_pages_hold_every_rollout_once_newest_first(world: Any) -> None:
    for number in range(5):
        world.create(f"r-{number}", 1, 10_000)
        world.service.commands.abort(f"r-{number}", "u", "")
        with world.records.transaction() as rows:
            entry = rows.policies.policy("cloud")
            rows.policies.save(replace(entry, entries={}), b"{}", 1)
    seen, token = [], ""
    while True:
        views, token = world.service.rollouts.list("shuttle", 2, token)
        seen += [view.rollout.rollout_id for view in views]
        if not token:
            break
    assert seen == [f"r-{number}" for number in (4, 3, 2, 1, 0)]
    with pytest.raises(InvalidError):
        world.service.rollouts.list("", 2, "x")


def test_every_change_leaves_an_unbroken_trail(world: Any) -> None:
    running(world)
    world.service.commands.pause("r", "u_li", "lunch")
    with world.records.transaction() as rows:
        assert world.records._audit.first_broken(rows.reports._connection) is None
        actions = [
            row.action for row in rows.reports._connection.execute(text("SELECT action FROM audit ORDER BY sequence"))
        ]
    assert actions[-2:] == ["rollout.create", "rollout.pause"]


def test_policies_are_signed_again_once_when_the_key_has_changed(world: Any) -> None:
    running(world)
    with world.records.transaction() as rows:
        before = rows.policies.fleet()
    world.service.policies.resign_for_key()
    world.signer = TufFleetSigner(Ed25519PrivateKey.generate())
    world.restart()
    for _ in range(2):
        world.service.policies.resign_for_key()
        with world.records.transaction() as rows:
            fleet = rows.policies.fleet()
        assert fleet.version == before.version + 1
        assert world.signer.made(fleet.metadata)
    world.turn()
    assert world.registry.version_served == fleet.version
