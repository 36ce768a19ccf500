"""Cloud and gateway choose alike: the claims an operator relies on."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecode_common.assignment import BUCKETS, bucket, shard
from onecode_common.errors import InvalidError
from onecode_serving.domain.routing import Arm, Route, choose, only

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason to fail."""


def route(share: int, unit: str = "key", salt: str = "r_1") -> Route:
    arms = (Arm(0, share, NEW, 2, "candidate"), Arm(share, BUCKETS, OLD, 1, "stable"))
    return Route("m", "r_1", 3, unit, salt, arms)


@pytest.mark.parametrize(
    ("salt", "unit", "expected"),
    [
        ("rollout-7", "gateway-1", 2522),
        ("rollout-7", "网关-1", 1877),
        ("r_01J9ZK3Q", "gw-0001", 8150),
        ("r_01J9ZK3Q", "user@example.org", 2029),
        ("r_01J9ZK3R", "gw-0001", 1102),
        ("ab", "c", 5165),
        ("a", "bc", 7297),
    ],
)
def test_the_bucket_of_a_known_unit_never_changes(salt: str, unit: str, expected: int) -> None:
    assert bucket(salt, unit) == expected


def test_the_shard_of_a_known_gateway_never_changes() -> None:
    assert (shard("gw-0001"), shard("gw-0002")) == (1, 4)


@CALM
@given(st.text(), st.integers(0, BUCKETS), st.integers(0, BUCKETS))
def test_widening_a_ramp_only_adds_units(unit: str, a: int, b: int) -> None:
    narrow, wide = sorted((a, b))
    if choose(route(narrow), unit, 0).arm.digest == NEW:
        assert choose(route(wide), unit, 0).arm.digest == NEW


def test_a_route_by_request_follows_the_draw_and_not_the_unit() -> None:
    by_request = route(1000, "request")
    assert choose(by_request, "anybody", 999) == (by_request.arms[0], True)
    assert choose(by_request, None, 1000) == (by_request.arms[1], True)


@pytest.mark.parametrize("unit", [None, ""])
def test_a_key_that_did_not_come_is_answered_by_stable_and_belongs_to_no_arm(unit: str | None) -> None:
    choice = choose(route(BUCKETS - 1), unit, 0)
    assert (choice.arm.digest, choice.assigned) == (OLD, False)


@pytest.mark.parametrize(
    "arms",
    [
        (),
        (Arm(0, 9999, OLD, 1, "stable"),),
        (Arm(1, BUCKETS, OLD, 1, "stable"),),
        (Arm(0, 6000, NEW, 2, "candidate"), Arm(5000, BUCKETS, OLD, 1, "stable")),
        (Arm(0, BUCKETS + 1, OLD, 1, "stable"),),
    ],
)
def test_ranges_that_overlap_or_leave_a_gap_are_refused(arms: tuple[Arm, ...]) -> None:
    with pytest.raises(InvalidError, match="arm"):
        Route("m", "", 1, "request", "", arms)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(InvalidError, match="moon"):
        route(10, "moon")


def test_one_version_can_take_over_everything() -> None:
    taken = only(route(1000), OLD, 1)
    assert taken.digests == {OLD}
    assert taken.stable.digest == OLD
    assert taken.candidate is None
