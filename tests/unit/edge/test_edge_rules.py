"""The gateway's rules: what a policy means here, which step is next, and what a restart makes of half a change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.assignment import BUCKETS, bucket, shard
from onecode_delivery.policy import ArmRange, ModelPolicy, Policy
from onecode_edge.domain import crashes, plan
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import EMPTY, Entry, ModelSet, from_document, to_document
from onecode_edge.domain.transition import Transition
from onecode_edge.reporting import Subjects

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
RELEASE = {A: 1, B: 2, C: 3}


def arms(*shares: tuple[str, int]) -> tuple[ArmRange, ...]:
    """Return arms of these widths, the last one stable."""
    found, start = [], 0
    for number, (digest, width) in enumerate(shares):
        role = "stable" if number == len(shares) - 1 else "candidate"
        found.append(ArmRange(start, start + width, RELEASE[digest], digest, role))
        start += width
    return tuple(found)


def asked(name: str, *shares: tuple[str, int], unit: str = "request", hold: bool = False) -> ModelPolicy:
    return ModelPolicy(name, "r_1", 4, unit, "r_1", arms(*shares), "active", 60.0, (), 1, hold)


def policy(*models: ModelPolicy) -> Policy:
    from datetime import UTC, datetime

    return Policy("default", "line-1", 9, datetime(2026, 11, 21, tzinfo=UTC), 30.0, 30.0, 60, models)


def entry(name: str, *shares: tuple[str, int], revision: int = 4) -> Entry:
    return Entry(name, "r_1", revision, "request", "r_1", 60.0, arms(*shares))


def served(*entries: Entry) -> ModelSet:
    return ModelSet.of(entries)


ALL_A, SPLIT = (A, BUCKETS), ((B, 1000), (A, 9000))


def test_a_set_is_named_by_its_versions_and_by_nothing_else() -> None:
    assert served(entry("m", *SPLIT)).id == served(entry("m", (B, 5000), (A, 5000), revision=8)).id
    assert served(entry("m", *SPLIT)).id != served(entry("m", ALL_A)).id
    assert served(entry("m", ALL_A)).id != served(entry("n", ALL_A)).id
    assert from_document(to_document(served(entry("m", *SPLIT)))) == served(entry("m", *SPLIT))


def test_a_first_policy_installs_one_model_after_the_other() -> None:
    wished = plan.wishes(policy(asked("m", ALL_A), asked("n", (B, BUCKETS))), "gw", frozenset(), EMPTY)
    first = plan.next_step(EMPTY, wished)
    assert first is not None
    assert first.target == served(entry("m", ALL_A))
    second = plan.next_step(first.target, wished)
    assert second is not None
    assert [one.name for one in second.target.entries] == ["m", "n"]
    assert plan.next_step(second.target, wished) is None


def test_new_shares_are_no_step() -> None:
    present = served(entry("m", *SPLIT))
    wished = plan.wishes(policy(asked("m", (B, 5000), (A, 5000))), "gw", frozenset(), present)
    assert plan.next_step(present, wished) is None
    assert plan.retuned(present, wished) == served(entry("m", (B, 5000), (A, 5000)))


def test_a_hold_begins_nothing_and_what_is_no_longer_named_goes_away() -> None:
    present = served(entry("m", ALL_A), entry("n", ALL_A))
    held = plan.wishes(policy(asked("m", *SPLIT, hold=True), asked("n", ALL_A)), "gw", frozenset(), present)
    assert plan.next_step(present, held) is None
    less = plan.next_step(present, plan.wishes(policy(asked("n", ALL_A)), "gw", frozenset(), present))
    assert less == plan.Step(served(entry("n", ALL_A)), None)


@pytest.mark.parametrize(
    ("shares", "bad", "expected"),
    [
        (SPLIT, {B}, (ALL_A,)),
        (SPLIT, {A}, ((B, BUCKETS),)),
        (((B, BUCKETS),), {B}, (ALL_A,)),
        (SPLIT, {A, B}, None),
        (((C, BUCKETS),), {A, C}, None),
    ],
)
def test_a_bad_version_is_replaced_by_the_best_that_is_left(
    shares: tuple[tuple[str, int], ...], bad: set[str], expected: tuple[tuple[str, int], ...] | None
) -> None:
    present = served(entry("m", ALL_A))
    wish = plan.wishes(policy(asked("m", *shares)), "gw", bad, present)["m"]
    assert wish.refused in bad
    found = None if wish.entry is None else {(one.digest, one.end - one.start) for one in wish.entry.arms}
    assert found == (None if expected is None else set(expected))


@given(st.text(min_size=1, max_size=20), st.integers(0, BUCKETS))
def test_by_gateway_the_arm_is_that_of_the_hash(gateway: str, width: int) -> None:
    model = asked("m", (B, width), (A, BUCKETS - width), unit="gateway")
    (only,) = plan.asked_entry(model, gateway).arms
    assert (only.start, only.end) == (0, BUCKETS)
    assert only.digest == (B if bucket("r_1", gateway) < width else A)


def test_the_way_back_is_the_last_good_set_without_what_is_bad() -> None:
    good, older = served(entry("m", *SPLIT)), served(entry("m", (C, BUCKETS)))
    assert plan.revert_target(good, older, frozenset()) == good
    assert plan.revert_target(good, older, {B}).digests == {A}
    assert plan.revert_target(good, older, {A, B}) == older
    assert plan.revert_target(None, None, frozenset()) == EMPTY
    assert plan.revert_target(good, None, {A, B}) == EMPTY


def transition(state: str, **changes: object) -> Transition:
    target = served(entry("m", (B, BUCKETS)))
    made = Transition(1, "m", "r_1", 4, B, target, "old", state, 0.0, 9, 60.0)
    return replace(made, **changes)  # type: ignore[arg-type]


NEW = transition("staged").target.id


@pytest.mark.parametrize(
    ("state", "current", "sealed", "goes_on"),
    [
        ("downloading", "old", False, "downloading"),
        ("verified", "old", False, "verified"),
        ("staged", "old", True, "staged"),
        ("staged", "old", False, "verified"),
        ("switching", "old", True, "staged"),
        ("switching", "old", False, "verified"),
        ("switching", NEW, True, "probation"),
        ("probation", NEW, True, "probation"),
        ("probation", "old", True, "downloading"),
        ("reverting", NEW, True, "reverting"),
        ("reverting", "old", True, "reverting"),
    ],
)
def test_a_restart_goes_on_where_the_disk_says(state: str, current: str, sealed: bool, goes_on: str) -> None:
    assert states.after_restart(transition(state), current, sealed=sealed) == goes_on
    assert goes_on == state or states.allowed(state, goes_on)


@pytest.mark.parametrize("state", states.ENDS)
def test_an_end_is_an_end(state: str) -> None:
    assert not any(states.allowed(state, other) for other in (*states.PREPARING, *states.SERVING, *states.ENDS))


def test_before_the_switch_any_other_target_takes_over_after_it_only_one_without_the_version() -> None:
    assert states.superseded_by(transition("verified"), frozenset({B}), "other")
    assert not states.superseded_by(transition("verified"), frozenset({B}), NEW)
    assert not states.superseded_by(transition("probation"), frozenset({A, B}), "other")
    assert states.superseded_by(transition("probation"), frozenset({A}), "other")
    assert not states.superseded_by(transition("reverting"), frozenset({A}), "other")


def test_deaths_cost_moments_at_first_and_then_a_growing_pause() -> None:
    assert crashes.next_start([], 10.0) <= 10.0
    starts = [crashes.next_start([100.0 + n for n in range(deaths)], 110.0) - 110.0 for deaths in range(1, 7)]
    assert starts[0] < 0
    assert starts[1] < 0
    assert starts[2:] == sorted(starts[2:])
    assert starts[2] > 45
    assert crashes.safe_mode([100.0, 101.0, 102.0], 110.0)
    assert not crashes.safe_mode([100.0, 101.0, 102.0], 170.0)
    assert not crashes.safe_mode([100.0, 101.0, 102.0], 900.0)


def test_shards_and_subjects_are_those_that_the_cloud_computes() -> None:
    """Pinned, because a gateway in the field may run an older release of this rule."""
    assert (shard("gw-0001"), shard("gw-0002")) == (1, 4)
    assert Subjects("default", "gw-0001", "line-1").up("action") == "oc.default.up.1.gw-0001.action"
