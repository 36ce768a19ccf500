"""What is served follows from the policy, from what is loaded and from what failed here."""

from dataclasses import replace

from onecode_delivery.policy import ArmRange, ModelPolicy
from onecode_inference.domain.plan import Loaded, arms_of, route_of, target_of
from onecode_serving.domain.routing import Route

A, B, C = ("sha256:" + sign * 64 for sign in "abc")


def entry(*arms: ArmRange, revision: int = 2) -> ModelPolicy:
    return ModelPolicy("m", "r_1", revision, "request", "r_1", arms, "active", 10.0, (), 1, hold=False)


CANARY = entry(ArmRange(0, 1000, 2, B, "candidate"), ArmRange(1000, 10_000, 1, A, "stable"))
DONE = entry(ArmRange(0, 10_000, 2, B, "stable"), revision=3)
FIRST = entry(ArmRange(0, 10_000, 1, A, "candidate"), revision=1)


def served(route: Route | None) -> list[tuple[int, int, str, str]]:
    assert route is not None
    return [(arm.start, arm.end, arm.digest, arm.role) for arm in route.arms]


def current() -> Route:
    route = route_of(FIRST, {A}, (), None, None)
    assert route is not None
    return route


def test_an_entry_is_about_its_candidate_and_else_about_its_stable_version() -> None:
    assert [target_of(one).digest for one in (CANARY, DONE, FIRST)] == [B, B, A]


def test_the_stable_version_is_fetched_before_the_candidate() -> None:
    assert [arm.digest for arm in arms_of(CANARY)] == [A, B]


def test_with_all_loaded_the_policy_is_served_as_it_stands() -> None:
    expected = [(0, 1000, B, "candidate"), (1000, 10_000, A, "stable")]
    assert served(route_of(CANARY, {A, B}, (), None, current())) == expected


def test_while_a_version_is_on_its_way_what_is_served_stays() -> None:
    assert route_of(CANARY, {A}, (), None, current()) == current()
    assert route_of(DONE, {A}, (), None, current()) == current()


def test_a_fresh_server_serves_what_it_has_while_the_candidate_is_on_its_way() -> None:
    assert served(route_of(CANARY, {A}, (), None, None)) == [(0, 1000, A, "stable"), (1000, 10_000, A, "stable")]


def test_a_version_that_failed_here_gives_its_share_to_the_stable_one() -> None:
    route = route_of(CANARY, {A}, {B}, None, current())
    assert {arm.digest for arm in route.arms} == {A} if route else False
    assert route is not None
    assert (route.rollout, route.revision) == ("r_1", 2)


def test_a_candidate_that_fails_while_it_is_served_is_left_at_once() -> None:
    serving = route_of(CANARY, {A, B}, (), None, None)
    assert served(route_of(CANARY, {A, B}, {B}, None, serving))[0][2] == A


def test_a_stable_version_that_failed_here_leaves_the_last_good_one_serving() -> None:
    route = route_of(DONE, {A, B}, {B}, Loaded(A, 1), None)
    assert served(route) == [(0, 10_000, A, "stable")]
    # The rollout does not know this version: its counters must not claim to belong there.
    assert route is not None
    assert route.rollout == ""


def test_the_last_good_one_must_be_loaded() -> None:
    assert route_of(DONE, set(), {B}, Loaded(A, 1), None) is None


def test_nothing_is_served_when_everything_failed() -> None:
    assert route_of(FIRST, {A}, {A}, None, None) is None


def test_a_held_switch_waits_and_a_held_ramp_does_not() -> None:
    held = replace(CANARY, hold=True)
    assert route_of(held, {A, B}, (), None, current()) == current()
    serving = route_of(CANARY, {A, B}, (), None, None)
    wider = replace(held, arms=(ArmRange(0, 5000, 2, B, "candidate"), ArmRange(5000, 10_000, 1, A, "stable")))
    assert served(route_of(wider, {A, B}, (), None, serving))[0][1] == 5000


def test_an_arm_without_buckets_is_loaded_and_not_served() -> None:
    paused = entry(ArmRange(0, 0, 2, B, "candidate"), ArmRange(0, 10_000, 1, A, "stable"))
    assert {arm.digest for arm in arms_of(paused)} == {A, B}
    assert served(route_of(paused, {A, B}, (), None, None)) == [(0, 10_000, A, "stable")]


def test_a_third_version_is_a_candidate_like_the_second() -> None:
    three = entry(
        ArmRange(0, 1000, 2, B, "candidate"),
        ArmRange(1000, 2000, 3, C, "candidate"),
        ArmRange(2000, 10_000, 1, A, "stable"),
    )
    assert [one[2] for one in served(route_of(three, {A, B, C}, {C}, None, None))] == [B, A, A]


SHADOWED = replace(entry(ArmRange(0, 10_000, 1, A, "stable"), revision=1), shadow=ArmRange(0, 0, 2, B, "shadow"))


def test_a_shadow_is_fetched_last_and_nobody_waits_for_it() -> None:
    assert [arm.digest for arm in arms_of(SHADOWED)] == [A, B]
    assert target_of(SHADOWED).digest == A
    early = route_of(SHADOWED, {A}, (), None, current())
    assert served(early) == [(0, 10_000, A, "stable")]
    assert early is not None
    assert early.shadow is None


def test_a_shadow_that_is_loaded_is_in_the_route_and_in_no_arm() -> None:
    route = route_of(SHADOWED, {A, B}, (), None, current())
    assert route is not None
    assert (route.digests, route.held) == ({A}, {A, B})
    assert (route.shadow is not None, route.rollout) == (True, "r_1")


def test_a_shadow_that_is_bad_or_without_its_stable_version_is_left_out() -> None:
    for ready, banned in (({A, B}, {B}), ({B, C}, {A})):
        route = route_of(SHADOWED, ready, banned, Loaded(C, 1), None)
        assert route is not None
        assert route.shadow is None
        assert B not in route.held
