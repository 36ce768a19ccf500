"""A release may begin in shadow: the candidate answers nobody until enough was compared, and errors convict it."""

import json
from dataclasses import replace

import pytest

from onecode_common.errors import InvalidError
from onecode_delivery.policy import parse_policy
from onecode_registry.domain.policy import read_policy
from onecode_rollout.adapters.documents import rollout_from, rollout_text
from onecode_rollout.domain.controller import ASK_S, Move, decide
from onecode_rollout.domain.decision import record, replay_agrees
from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.members import Action, Member, of_steps
from onecode_rollout.domain.plan import Budget, Plan, Preset, Step, completed
from onecode_rollout.domain.policy import Entry, SegmentPolicy, Times, changed, document, whole
from onecode_rollout.domain.reports import CounterReport, counter_fault
from onecode_rollout.domain.rollout import SHADOW_GATE, Mark, Overrides, Rollout, StepStart, desired_entry
from onecode_rollout.domain.sentences import now_sentence
from onecode_rollout.domain.shadow import ENOUGH_PAIRS, Shadow
from onecode_rollout.domain.situation import Situation, weigh
from onecode_rollout.usecases.rollouts import _body

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
START = 1_000_000.0
PRESET = Preset(min_observe_s=60, interval_s=60, no_data_after_s=300, limit_s=3600, report_s=30)
PLAN = Plan("press", NEW, ("cloud",), steps=(Step(1000), Step(10_000)), preset=PRESET, shadow_s=600)
BEFORE = Entry("press", "r_0", "request", whole((OLD, 1), "stable"), 1800, revision=3)


def rollout(state: str = "running", **changes: object) -> Rollout:
    known = Rollout(
        "r_1", PLAN, "body", "u_anna", START, state=state, stable=OLD, stable_release=1, candidate_release=2,
        started=START, changed=START, steps=(StepStart(0, 0, START),), marks={"cloud": Mark(5, 5, 5)},
        before={"cloud": BEFORE}, paused_from="running" if state == "paused" else "",
    )  # fmt: skip
    return replace(known, **changes)  # type: ignore[arg-type]


def shadow(minutes: int, pairs: int, failed: int = 0, stable: tuple[int, int] = (1000, 0), **changes: object) -> Shadow:
    """What was found in minutes from the start, each with these pairs."""
    intervals = [Interval(int(START) + 60 * n, (("cloud", pairs, failed, *stable),)) for n in range(minutes)]
    known = Shadow(tuple(intervals), minutes * pairs, 0, minutes * failed)
    return replace(known, **changes)  # type: ignore[arg-type]


def situation(known: Rollout, found: Shadow, after: float = 600) -> Situation:
    staged = Member("cloud", "cloud", START + after, 5, {"press": OLD}, Action(5, NEW, "staged", at=START))
    return Situation(known, [staged], (), (), {}, slots_free=True, now=START + after, shadow=found)


def decided(known: Situation) -> Move | None:
    return decide(known, weigh(known)[1])


def rule(known: Situation) -> str:
    move = decided(known)
    return f"{move.event}:{move.rule}:{move.reason}" if move else ""


def test_the_first_step_begins_after_its_time_and_with_enough_pairs() -> None:
    assert rule(situation(rollout(), shadow(10, 20))) == "begin:shadow.pairs:"
    assert rule(situation(rollout(), shadow(10, 20), after=599)) == ""
    assert rule(situation(rollout(), shadow(10, 19))) == ""


def test_what_was_found_is_in_the_sentence_of_the_decision() -> None:
    move = decided(situation(rollout(), shadow(10, 100, different=12, largest=0.31)))
    assert move is not None
    assert move.sentence == (
        "In shadow v2 was shown 1,000 requests: it answers 12 of them differently from v1,"
        " the largest difference is 0.31, and fails on 0."
    )


def test_where_most_answers_differ_a_person_looks_and_nobody_is_rolled_back() -> None:
    found = shadow(10, 100, different=501)
    assert rule(situation(rollout(), found)) == "hold:shadow.different:gate"
    held = rollout("paused", reason="gate")
    assert rule(situation(held, found, after=600 + ASK_S)) == ""
    seen = rollout(overrides=Overrides(gate=SHADOW_GATE))
    assert rule(situation(seen, found)) == "begin:operator.gate:"


def test_a_candidate_that_fails_more_than_the_stable_version_is_convicted_by_the_rule_of_all_stages() -> None:
    bad = shadow(2, 200, failed=20, stable=(1000, 5))
    assert rule(situation(rollout(), bad, after=120)) == "bad:shadow.worse:errors"
    assert rule(situation(rollout("paused", reason="operator"), bad, after=120)) == "bad:shadow.worse:errors"
    move = decided(situation(rollout(), bad, after=120))
    assert move is not None
    assert "fails on 40" in move.sentence
    alike = shadow(10, 200, failed=20, stable=(1000, 100))
    assert rule(situation(rollout(), alike)) == "begin:shadow.pairs:"


@pytest.mark.parametrize(("on_bad", "due"), [("hold", 0.0), ("ask", START + 120 + ASK_S)])
def test_a_person_may_want_to_decide_about_failures(on_bad: str, due: float) -> None:
    known = rollout(plan=replace(PLAN, metrics=(Budget(on_bad=on_bad),)))
    move = decided(situation(known, shadow(2, 200, failed=20), after=120))
    assert move is not None
    assert (move.event, move.rule, move.reason, move.due) == ("hold", "shadow.worse", "bad", due)
    accepted = replace(known, overrides=Overrides(shadow=1000.0))
    assert rule(situation(accepted, shadow(10, 200, failed=20))) == "begin:shadow.pairs:"


def test_without_traffic_it_is_held_and_says_that_none_came() -> None:
    move = decided(situation(rollout(), Shadow(), after=300))
    assert move is not None
    assert (move.event, move.rule, move.reason) == ("hold", "shadow.no_data", "no_data")
    assert move.sentence.startswith("No traffic came in shadow: v2 was shown no request.")
    busy = decided(situation(rollout(), Shadow(dropped=7000), after=300))
    assert busy is not None
    assert "7,000 requests came in shadow, and there was no spare time" in busy.sentence


def test_the_first_pairs_after_a_silence_resume_it() -> None:
    held = rollout("paused", reason="no_data", changed=START + 300)
    assert rule(situation(held, Shadow(), after=310)) == ""
    again = Shadow((Interval(int(START) + 300, (("cloud", 5, 0, 0, 0),)),), 5)
    assert rule(situation(held, again, after=360)) == "data:data:"


def test_too_few_pairs_for_too_long_are_held() -> None:
    slow = Shadow(tuple(Interval(int(START) + 60 * n, (("cloud", 1, 0, 9, 0),)) for n in range(60)), 60)
    assert rule(situation(rollout(), slow, after=3599)) == ""
    assert rule(situation(rollout(), slow, after=3600)) == "hold:shadow.limit:inconclusive"


def test_shadow_evidence_never_promotes_or_widens_a_real_step() -> None:
    clean = shadow(60, 9000, stable=(9000, 0))
    asked, weighed = weigh(situation(rollout(), clean))
    assert not asked.promotable
    assert weighed.verdict != "promote"
    stepped = rollout(steps=(StepStart(0, 0, START), StepStart(0, 1000, START + 600)), changed=START + 600)
    asked, _ = weigh(situation(stepped, clean, after=700))
    assert asked.intervals == ()
    assert rule(situation(stepped, clean, after=700)) == ""


def test_a_decision_in_shadow_replays_to_the_same_bits() -> None:
    text = record({"rollout": "r_1"}, *weigh(situation(rollout(), shadow(10, 200, failed=1)))).decode()
    assert replay_agrees(text)
    assert json.loads(text)["question"]["intervals"][0][1] == [["cloud", 200, 1, 1000, 0]]


def test_the_policy_names_the_shadow_and_gives_it_no_bucket() -> None:
    entry = desired_entry(rollout(), "cloud", BEFORE)
    assert entry is not None
    assert [(arm.digest, arm.start, arm.end, arm.role) for arm in entry.arms] == [(OLD, 0, 10_000, "stable")]
    assert entry.shadow is not None
    before = SegmentPolicy("cloud", 5, Times(), {"press": BEFORE})
    after = changed(before, "press", entry)
    assert (after.generation, after.entries["press"].revision) == (6, 3)
    (model,) = json.loads(document(after, "default", START))["models"]
    assert model["shadow"] == {"release": 2, "digest": NEW}
    read = parse_policy(document(after, "default", START), "default", "cloud").models[0]
    assert (read.digests, read.held) == ({OLD}, {OLD, NEW})
    assert read_policy("fleet/cloud/policy.json", document(after, "default", START), "default").digests == {OLD, NEW}
    paused = desired_entry(rollout("paused", reason="operator"), "cloud", entry)
    assert paused is not None
    assert paused.shadow == entry.shadow


@pytest.mark.parametrize("state", ["rolling_back", "rolled_back", "aborted", "promoting", "succeeded"])
def test_when_the_shadow_is_over_no_policy_names_it(state: str) -> None:
    shown = desired_entry(rollout(), "cloud", BEFORE)
    entry = desired_entry(rollout(state), "cloud", shown)
    assert entry is not None
    assert entry.shadow is None
    (model,) = json.loads(document(SegmentPolicy("cloud", 7, Times(), {"press": entry}), "default", START))["models"]
    assert "shadow" not in model


def test_a_first_step_is_a_new_revision_because_another_version_answers() -> None:
    shown = changed(
        SegmentPolicy("cloud", 5, Times(), {"press": BEFORE}), "press", desired_entry(rollout(), "cloud", BEFORE)
    )
    stepped = rollout(steps=(StepStart(0, 0, START), StepStart(0, 1000, START + 600)))
    after = changed(shown, "press", desired_entry(stepped, "cloud", None))
    assert after.entries["press"].revision == after.generation == 7


def test_the_sentence_of_now_says_what_is_missing() -> None:
    early = situation(rollout(), shadow(2, 40), after=120)
    sentence = now_sentence(early, weigh(early)[1])
    assert sentence.startswith("Running in shadow, nobody is answered by it. In shadow v2 was shown 80 requests")
    assert "The first step waits for 8 min more and 120 more requests. Nothing to do." in sentence
    held = situation(rollout("paused", reason="no_data"), Shadow())
    assert "No traffic came in shadow" in now_sentence(held, weigh(held)[1])


def test_plans_and_records_from_before_shadows_read_as_they_were() -> None:
    old = replace(PLAN, shadow_s=0)
    body = _body(old)
    assert body != _body(PLAN)
    text = json.loads(rollout_text(rollout(plan=old)))
    del text["plan"]["shadow_s"]
    del text["overrides"]["shadow"]
    del text["before"]["cloud"]["shadow"]
    again = rollout_from(json.dumps(text), 0, 0)
    assert again == rollout(plan=old)
    assert _body(again.plan) == body
    assert rollout_from(rollout_text(rollout()), 0, 0) == rollout()


@pytest.mark.parametrize("seconds", [-1, 91 * 86_400])
def test_a_shadow_has_a_possible_length(seconds: int) -> None:
    with pytest.raises(InvalidError, match="shadow_seconds"):
        completed(replace(PLAN, shadow_s=seconds), Preset("standard"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"different": 9}, "9 differences"),
        ({"different": -1}, "negative"),
        ({"dropped": -1}, "negative"),
        ({"largest": float("nan")}, "differences up to nan"),
        ({"largest": float("inf")}, "differences up to inf"),
        ({"errors": 11}, "11 errors"),
    ],
)
def test_impossible_findings_are_not_believed(changes: dict[str, float], fault: str) -> None:
    known = CounterReport("press", "r_1", 5, NEW, "shadow", 60, 60, 10, 2, 0, 0, (), 8, 100, 0.5)
    found = counter_fault(replace(known, **changes), {NEW: "candidate", OLD: "stable"}, START)  # type: ignore[arg-type]
    assert bool(found) == bool(fault)
    assert fault in found


def test_enough_pairs_are_as_many_as_the_largest_golden_set_has_rows() -> None:
    assert ENOUGH_PAIRS == 200


def test_gateways_that_have_installed_a_shadow_open_no_gate_of_waves() -> None:
    known = rollout(plan=replace(PLAN, unit="gateway"))
    early = situation(known, shadow(2, 50), after=120)
    committed = replace(early.members[0], trial=Action(5, NEW, "committed", served_digest=NEW, at=START))
    assert rule(replace(early, members=[committed])) == ""


@pytest.mark.parametrize(
    ("state", "revision", "in_shadow", "counts"),
    [
        ("committed", 3, True, True),
        ("committed", 3, False, False),
        ("staged", 3, False, False),
        ("committed", 7, False, True),
        ("rejected", 3, False, True),
        ("rolled_back", 3, False, True),
    ],
)
def test_what_members_did_in_shadow_counts_in_no_step_but_failures_do(
    state: str, revision: int, *, in_shadow: bool, counts: bool
) -> None:
    steps = (StepStart(0, 0, START),) if in_shadow else (StepStart(0, 0, START), StepStart(0, 1000, START + 600))
    action = Action(revision, NEW, state)
    assert of_steps(action, rollout(steps=steps), "cloud") == (action if counts else None)
    assert of_steps(action, rollout(steps=steps, plan=replace(PLAN, shadow_s=0)), "cloud") == action
    assert of_steps(None, rollout(steps=steps), "cloud") is None
