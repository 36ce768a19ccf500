"""What the controller decides in a situation; time is a number, members are values."""

from dataclasses import replace

import pytest

from onecode_rollout.domain.controller import ASK_S, QUORUM_S, SETTLE_S, Move, decide
from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.members import Action, Member
from onecode_rollout.domain.plan import Budget, Plan, Preset, Step
from onecode_rollout.domain.rollout import Mark, Overrides, Rollout, StepStart, desired_entry
from onecode_rollout.domain.sentences import now_sentence
from onecode_rollout.domain.situation import Situation, Suspect, weigh

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
START = 1_000_000.0
PRESET = Preset(min_observe_s=60, interval_s=60, no_data_after_s=300, limit_s=3600, report_s=30)
PLAN = Plan("shuttle", NEW, ("line-1",), steps=(Step(1000), Step(5000), Step(10_000)), preset=PRESET)
NAMES = ("gw-1", "gw-2", "gw-3")


def rollout(state: str = "running", **changes: object) -> Rollout:
    known = Rollout(
        "r_1", PLAN, "body", "u_anna", START, state=state, stable=OLD, stable_release=1, candidate_release=2,
        started=START, changed=START, steps=(StepStart(0, 1000, START),), marks={"line-1": Mark(5, 5, 5)},
    )  # fmt: skip
    return replace(known, **changes)  # type: ignore[arg-type]


def member(name: str, state: str = "committed", **changes: object) -> Member:
    action = Action(5, NEW, state, "", NEW if state == "committed" else "", START)
    known = Member(name, "line-1", START, 5, {"shuttle": OLD}, action)
    return replace(known, **changes)  # type: ignore[arg-type]


def minutes(count: int, *cell: int, sources: tuple[str, ...] = NAMES) -> tuple[Interval, ...]:
    return tuple(
        Interval(int(START) + 60 * index, tuple((name, *cell) for name in sources))  # type: ignore[misc]
        for index in range(count)
    )


def situation(known: Rollout, *, after: float = 120, **changes: object) -> Situation:
    members = [replace(member(name), last_heard=START + after) for name in NAMES]
    fresh = Situation(known, members, (), (), {}, slots_free=True, now=START + after)
    return replace(fresh, **changes)  # type: ignore[arg-type]


def decided(known: Situation) -> Move | None:
    return decide(known, weigh(known)[1])


def rule(known: Situation) -> str:
    move = decided(known)
    return f"{move.event}:{move.rule}" if move else ""


def test_clean_requests_open_the_gate_but_not_before_the_step_was_observed() -> None:
    clean = minutes(2, 300, 0, 2700, 0)
    assert rule(situation(rollout(), intervals=clean)) == "widen:errors.gate_rate"
    assert rule(situation(rollout(), intervals=clean, after=59)) == ""
    assert rule(situation(rollout(), intervals=minutes(2, 50, 0, 450, 0))) == ""


def test_intervals_of_an_earlier_step_do_not_shorten_the_next() -> None:
    known = rollout(step=1, steps=(StepStart(0, 1000, START), StepStart(1, 5000, START + 600)))
    many = minutes(10, 3000, 0, 3000, 0)
    assert rule(situation(known, intervals=many, after=601)) == ""
    assert rule(situation(known, intervals=minutes(12, 3000, 0, 3000, 0), after=720)) == "prove:errors.floor"


def test_only_the_last_step_promotes() -> None:
    plenty = minutes(4, 9000, 1, 9000, 1)
    assert rule(situation(rollout(), intervals=plenty, after=240)).startswith("widen:")
    last = rollout(step=1)
    assert rule(situation(last, intervals=plenty, after=240)).startswith("prove:")


def test_errors_convict_before_anything_else() -> None:
    bad = minutes(3, 100, 20, 900, 5)
    held = Suspect("gw-9", "clock is 4000 s ahead")
    assert rule(situation(rollout(), intervals=bad, suspects=(held,))) == "bad:errors.worse"
    for state in ("paused", "promoting"):
        assert rule(situation(rollout(state, reason="operator", paused_from="running"), intervals=bad)) == (
            "bad:errors.worse"
        )


@pytest.mark.parametrize(("on_bad", "due"), [("hold", 0.0), ("ask", START + 120 + ASK_S)])
def test_a_person_may_want_to_decide(on_bad: str, due: float) -> None:
    known = rollout(plan=replace(PLAN, metrics=(Budget(on_bad=on_bad),)))
    bad = minutes(3, 100, 20, 900, 5)
    move = decided(situation(known, intervals=bad))
    assert move is not None
    assert (move.event, move.reason, move.due) == ("hold", "bad", due)
    waiting = replace(known, state="paused", reason="bad", due=due, paused_from="running")
    assert rule(situation(waiting, intervals=bad)) == ""
    late = situation(waiting, intervals=bad, after=121 + ASK_S)
    assert rule(late) == ("ask_expired:errors.unanswered" if on_bad == "ask" else "")


def test_overridden_evidence_has_to_grow_as_much_again() -> None:
    bad = minutes(3, 100, 20, 900, 5)
    overridden = rollout(overrides=Overrides(worse=1000.0))
    assert not rule(situation(overridden, intervals=bad)).startswith("bad")


def test_two_failed_installations_stop_it_and_one_does_not() -> None:
    failed = [member("gw-1", "rejected"), member("gw-2", "rolled_back"), member("gw-3", "probation")]
    assert rule(situation(rollout(), members=failed)) == "guard:install.stop"
    one = [failed[0], member("gw-2", "probation"), member("gw-3", "probation")]
    assert rule(situation(rollout(), members=one, after=60)) == ""


def test_a_fleet_of_one_that_fails_has_nobody_left() -> None:
    assert rule(situation(rollout(), members=[member("gw-1", "rejected")])) == "guard:install.nobody"


def test_silence_on_trial_is_failure_and_an_outage_is_not() -> None:
    late = PRESET.lost_after_s + 1.0
    lost = [member(name, "probation", last_heard=START) for name in ("gw-1", "gw-2", "gw-3")]
    here = member("gw-4", last_heard=START + late)
    assert rule(situation(rollout(), members=[*lost, here], after=late)) == "guard:install.stop"
    away = member("gw-4", last_heard=START)
    assert rule(situation(rollout(), members=[*lost, away], after=late)) == "hold:install.outage"


def test_refusals_that_last_hold_the_release() -> None:
    fresh = Action(5, NEW, "refused", "space", "", START + 100)
    some = [replace(member(name), last_heard=START + 120) for name in NAMES[:2]]
    assert rule(situation(rollout(), members=[*some, member("gw-3", trial=fresh)])) == ""
    old = replace(fresh, at=START)
    assert rule(situation(rollout(), members=[*some, member("gw-3", trial=old)])) == "hold:install.refused"
    accepted = rollout(overrides=Overrides(refused=1))
    assert rule(situation(accepted, members=[*some, member("gw-3", trial=old)])) == ""


def test_no_data_holds_and_data_resumes() -> None:
    assert rule(situation(rollout(), after=299)) == ""
    assert rule(situation(rollout(), after=300)) == "hold:no_data"
    one_arm = minutes(5, 100, 0, 0, 0)
    assert rule(situation(rollout(), intervals=one_arm, after=300)) == "hold:no_data"
    paused = rollout("paused", reason="no_data", paused_from="running", changed=START + 300)
    assert rule(situation(paused, intervals=minutes(2, 10, 0, 90, 0), after=400)) == ""
    assert rule(situation(paused, intervals=minutes(6, 10, 0, 90, 0), after=400)) == "data:data"


def test_the_limit_is_inconclusive_and_a_person_may_extend_it() -> None:
    hour = minutes(60, 2, 0, 18, 0)
    assert rule(situation(rollout(), intervals=hour, after=3600)) == "hold:limit"
    extended = rollout(overrides=Overrides(observed_s=3600))
    assert rule(situation(extended, intervals=hour, after=3600)) == ""


def test_a_source_that_cannot_be_believed_freezes_exposure() -> None:
    suspect = Suspect("gw-9", "11 errors in 10 requests")
    move = decided(situation(rollout(), suspects=(suspect,), intervals=minutes(2, 300, 0, 2700, 0)))
    assert move is not None
    assert (move.event, move.reason) == ("hold", "invalid")
    assert "gw-9" in move.sentence


def test_a_wrong_split_is_invalid_unless_accepted() -> None:
    skewed = minutes(10, 300, 0, 700, 0)
    known = rollout()
    exposed = {(name, 0): START - 1000 for name in NAMES}
    found = situation(known, intervals=skewed, exposed=exposed, after=600)
    assert rule(found) == "hold:allocation"
    assert rule(replace(found, exposed={})) == "widen:errors.gate_rate"
    accepted = replace(known, overrides=Overrides(allocation=True))
    assert rule(replace(found, rollout=accepted)) == "widen:errors.gate_rate"


def test_a_first_release_is_decided_by_its_members() -> None:
    first = rollout(stable="", stable_release=0)
    assert rule(situation(first)) == "prove:first_release"
    waiting = replace(first, state="promoting", due=START + QUORUM_S)
    assert rule(situation(waiting, members=[member("gw-1", "probation")])) == ""


def taken(name: str) -> Member:
    return member(name, generation=9, serving={"shuttle": NEW}, last_heard=START + 120)


def promoting(changed: float = START) -> Rollout:
    return rollout("promoting", marks={"line-1": Mark(5, 9, 9)}, due=START + QUORUM_S, changed=changed)


def test_success_is_the_digest_that_answers_after_probation() -> None:
    assert rule(situation(promoting(), members=[taken(name) for name in NAMES])) == "quorum:quorum"
    told_only = [member(name, generation=9, serving={"shuttle": OLD}, last_heard=START + 120) for name in NAMES]
    assert rule(situation(promoting(), members=told_only)) == ""
    other = Action(9, NEW, "committed", "", OLD, START)
    assert rule(situation(promoting(), members=[replace(one, trial=other) for one in told_only])) == ""


def test_members_that_are_offline_do_not_block_but_get_their_chance() -> None:
    two = [taken("gw-1"), taken("gw-2"), member("gw-3", "probation", last_heard=START)]
    early = promoting(changed=START + 60)
    assert rule(situation(early, members=two, after=120)) == ""
    assert rule(situation(early, members=two, after=200)) == "quorum:quorum"
    failed = [taken("gw-1"), taken("gw-2"), member("gw-3", "rejected", last_heard=START + 120)]
    assert rule(situation(early, members=failed, after=200)) == ""


def test_a_promotion_without_quorum_asks_after_two_weeks() -> None:
    late = situation(promoting(), members=[member("gw-1", "probation", last_heard=START + QUORUM_S)], after=QUORUM_S)
    assert rule(late) == "quorum_late:quorum.late"


def back(name: str, **changes: object) -> Member:
    return member(name, "committed", generation=9, serving={"shuttle": OLD}, last_heard=START + 120, **changes)


def rolling() -> Rollout:
    return rollout("rolling_back", reason="errors", marks={"line-1": Mark(5, 9, 9)}, due=START + SETTLE_S)


def test_a_rollback_ends_when_every_reachable_member_serves_stable() -> None:
    assert rule(situation(rolling(), members=[back(name) for name in NAMES])) == "settled:settled"
    still = taken("gw-3")
    assert rule(situation(rolling(), members=[back("gw-1"), back("gw-2"), still])) == ""
    unaware = back("gw-3")
    unaware = replace(unaware, generation=6)
    assert rule(situation(rolling(), members=[back("gw-1"), unaware])) == ""


def test_a_rejected_candidate_leaves_nothing_to_wait_for() -> None:
    rejected = [member(name, "rejected", last_heard=START + 120) for name in NAMES]
    assert rule(situation(rolling(), members=rejected)) == "settled:settled"


def test_members_that_stay_silent_leave_a_rollback_incomplete() -> None:
    gone = taken("gw-3")
    near = [back("gw-1"), gone]
    at = SETTLE_S + 1
    heard = [replace(near[0], last_heard=START + at), replace(gone, last_heard=START + at)]
    assert rule(situation(rolling(), members=heard, after=at)) == "settle_late:settle.late"
    incomplete = replace(rolling(), state="rollback_incomplete")
    assert rule(situation(incomplete, members=near, after=at)) == ""
    assert rule(situation(incomplete, members=[near[0], back("gw-3")], after=at)) == "settled:settled"


def waves(gate: int = -1) -> Rollout:
    return rollout(plan=replace(PLAN, unit="gateway"), overrides=Overrides(gate=gate))


def test_a_small_fleet_opens_its_gates_by_hand() -> None:
    assert rule(situation(waves())) == "hold:install.few"
    assert rule(situation(waves(gate=0))) == "widen:operator.gate"
    waiting = [member("gw-1", "probation", last_heard=START + 120)]
    assert rule(situation(waves(), members=waiting)) == ""


@pytest.mark.parametrize(("failures", "opened"), [(0, True), (1, True), (2, False)])
def test_a_wave_of_a_large_fleet_is_gated_by_its_outcomes(failures: int, *, opened: bool) -> None:
    members = [member(f"g{i}", "rejected" if i < failures else "committed", last_heard=START + 120) for i in range(80)]
    assert rule(situation(waves(), members=members)) == ("widen:install.gate" if opened else "")


def test_a_manual_gate_waits_for_a_person() -> None:
    plan = replace(PLAN, steps=(Step(1000, manual_gate=True), Step(10_000)))
    clean = minutes(2, 300, 0, 2700, 0)
    before = rollout(plan=replace(plan, steps=(Step(1000, manual_gate=True), Step(5000), Step(10_000))))
    assert rule(situation(before, intervals=clean)) == "hold:errors.gate_rate"
    opened = replace(before, overrides=Overrides(gate=0))
    assert rule(situation(opened, intervals=clean)) == "widen:errors.gate_rate"


@pytest.mark.parametrize(
    ("state", "shares"),
    [
        ("running", [("candidate", 1000), ("stable", 10_000)]),
        ("promoting", [("candidate", 10_000)]),
        ("succeeded", [("stable", 10_000)]),
        ("rolling_back", [("stable", 10_000)]),
        ("rolled_back", [("stable", 10_000)]),
    ],
)
def test_a_policy_follows_from_the_state_alone(state: str, shares: list[tuple[str, int]]) -> None:
    known = rollout(before={"line-1": desired_entry(rollout("succeeded"), "line-1", None)})
    entry = desired_entry(replace(known, state=state), "line-1", None)
    assert entry is not None
    assert [(arm.role, arm.end) for arm in entry.arms] == shares
    assert not entry.hold


def test_a_pause_of_a_person_holds_switches_and_a_first_release_leaves_nothing() -> None:
    held = desired_entry(rollout("paused", reason="operator", paused_from="running"), "line-1", None)
    assert held is not None
    assert held.hold
    assert desired_entry(rollout("rolling_back", stable=""), "line-1", held) is None


@pytest.mark.parametrize(
    "known",
    [
        rollout("awaiting_approval", needed_approvals=2),
        rollout("scheduled"),
        rollout(),
        rollout("paused", reason="no_data", paused_from="running"),
        rollout("paused", reason="bad", paused_from="running"),
        promoting(),
        rolling(),
        replace(rolling(), state="rollback_incomplete"),
        rollout("succeeded"),
        rollout("rolled_back", reason="errors"),
        rollout("aborted"),
        waves(),
    ],
)
def test_the_sentence_says_what_is_going_on_and_what_to_do(known: Rollout) -> None:
    found = situation(known, intervals=minutes(1, 20, 0, 180, 2))
    sentence = now_sentence(found, weigh(found)[1])
    assert sentence.endswith(".")
    todo = ("Nothing to do", "nothing to do", "Decide", "Waits for", "look at", "Look at", "start a new rollout")
    assert any(words in sentence for words in todo), sentence
