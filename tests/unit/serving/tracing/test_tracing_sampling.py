"""What is slow, drawn, asked for or failed is chosen, and never more than a second may bring."""

import math
import random
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.domain.sampling import (
    ASKED,
    DRAWN,
    FAILED,
    SLOW,
    Allowance,
    Draws,
    Tail,
    gap,
    quantile_limit,
    reason,
    refusal_reason,
)

KINDS = ("internal", "unavailable", "exhausted", "invalid", "not_found", "unauthenticated", "denied", "precondition")


def counted(latencies_us: list[int]) -> list[int]:
    counts = [0] * (len(LATENCY_EDGES_US) + 1)
    for one in latencies_us:
        counts[bisect_left(LATENCY_EDGES_US, one)] += 1
    return counts


@given(
    st.lists(st.integers(1, 9_000_000), min_size=100, max_size=400),
    st.sampled_from([0.02, 0.05, 0.1, 0.5]),
)
def test_no_more_than_the_share_is_slow(latencies_us: list[int], share: float) -> None:
    limit_s = quantile_limit(counted(latencies_us), LATENCY_EDGES_US, share)
    slow = [one for one in latencies_us if one / 1e6 > limit_s]
    if limit_s < LATENCY_EDGES_US[-1] / 1e6:
        assert len(slow) <= share * len(latencies_us)


@given(st.lists(st.integers(1, 4_000_000), min_size=200, max_size=400))
def test_a_limit_is_the_lowest_edge_that_leaves_no_more_above(latencies_us: list[int]) -> None:
    counts = counted(latencies_us)
    limit_us = round(quantile_limit(counts, LATENCY_EDGES_US, 0.05) * 1e6)
    place = LATENCY_EDGES_US.index(limit_us)
    assert place == 0 or sum(counts[place:]) > 0.05 * len(latencies_us)


def test_answers_that_all_take_alike_have_no_slow_ones() -> None:
    assert quantile_limit(counted([120] * 1000), LATENCY_EDGES_US, 0.01) == pytest.approx(150e-6)


def test_nothing_is_slow_before_enough_was_seen_or_where_nobody_wants_to_know() -> None:
    assert quantile_limit(counted([100] * 199), LATENCY_EDGES_US, 0.01) == math.inf
    assert quantile_limit(counted([100] * 200), LATENCY_EDGES_US, 0.01) < math.inf
    assert quantile_limit(counted([100] * 99), LATENCY_EDGES_US, 0.5) == math.inf
    assert quantile_limit(counted([100] * 10_000), LATENCY_EDGES_US, 0.0) == math.inf


def test_what_is_slow_follows_the_last_minutes() -> None:
    tail = Tail(LATENCY_EDGES_US, 0.01)
    counts = counted([80] * 1000)
    tail.learn(counts, 0.0)
    assert (tail.limit_s, tail.due) == (pytest.approx(100e-6), 1.0)
    limits = []
    for minute in range(1, 5):
        counts = [one + more for one, more in zip(counts, counted([4000] * 1000), strict=True)]
        tail.learn(counts, 61.0 * minute)
        limits.append(tail.limit_s)
    assert limits[-1] == pytest.approx(5e-3), (
        "a server that became slow is slow for everybody, not for one in a hundred"
    )


def test_what_is_slow_is_not_forgotten_while_nobody_asks() -> None:
    tail = Tail(LATENCY_EDGES_US, 0.01)
    counts = counted([80] * 1000)
    for hour in range(5):
        tail.learn(counts, 3600.0 * hour)
    assert tail.limit_s == pytest.approx(100e-6)


@given(st.booleans(), st.floats(0, 10), st.floats(0, 10), st.booleans())
def test_an_answer_is_chosen_exactly_for_a_reason(asked: bool, seconds: float, limit_s: float, drawn: bool) -> None:
    why = reason(asked=asked, seconds=seconds, limit_s=limit_s, drawn=drawn)
    assert bool(why) == (asked or drawn or seconds > limit_s)
    assert (why == SLOW) == (seconds > limit_s)
    assert why != DRAWN or not asked


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_told_if_it_is_the_servers_or_its_caller_asks(kind: str) -> None:
    ours = kind in ("internal", "unavailable", "exhausted")
    assert refusal_reason(asked=False, kind=kind) == (FAILED if ours else "")
    assert refusal_reason(asked=True, kind=kind) == (FAILED if ours else ASKED)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_a_gap_is_whole_and_never_negative(uniform: float, share: float) -> None:
    passed = gap(uniform, share)
    assert passed >= 0
    assert passed == math.inf or passed == math.floor(passed)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9, 1.0])
def test_gaps_between_draws_make_the_share(share: float) -> None:
    # The mean of a geometric distribution, over equally spaced quantiles.
    steps = 20_000
    mean = sum(gap((step + 0.5) / steps, share) for step in range(steps)) / steps
    assert 1 / (1 + mean) == pytest.approx(share, rel=0.01)


@given(st.lists(st.integers(0, 40), max_size=40), st.floats(0, 1), st.integers(0, 1000))
def test_the_same_requests_are_drawn_however_they_come_together(counts: list[int], share: float, seed: int) -> None:
    together = Draws(share, random.Random(seed).random).among(sum(counts))
    draws, apart, before = Draws(share, random.Random(seed).random), [], 0
    for count in counts:
        apart += [before + place for place in draws.among(count)]
        before += count
    assert apart == together == sorted(set(together))


def test_a_share_of_all_draws_everybody() -> None:
    assert Draws(1.0, random.Random(1).random).among(5) == [0, 1, 2, 3, 4]


def test_a_share_of_nothing_draws_nobody() -> None:
    assert gap(0.999999, 0.0) == math.inf


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from([FAILED, ASKED, SLOW, DRAWN])), min_size=1, max_size=200),
)
def test_no_second_brings_more_than_its_allowance(per_s: int, asks: list[tuple[float, str]]) -> None:
    allowance = Allowance(per_s)
    now, taken = 0.0, []
    for pause, why in asks:
        now += pause
        if allowance.takes(why, now):
            taken.append(now)
    for start in taken:
        assert sum(start <= one <= start + 1.0 for one in taken) <= 2 * per_s
    assert len(taken) <= per_s * (now + 1.0)


@given(st.integers(1, 50))
def test_callers_who_ask_leave_half_to_what_goes_wrong(per_s: int) -> None:
    allowance = Allowance(per_s)
    asked = sum(allowance.takes(ASKED, 0.0) for _ in range(200))
    failed = sum(allowance.takes(FAILED, 0.0) for _ in range(200))
    assert asked >= 1
    assert asked + failed == per_s
    assert failed >= per_s // 2
