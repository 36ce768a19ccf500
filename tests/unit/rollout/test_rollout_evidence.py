"""The kernel gives the pinned numbers, and nothing about order, repetition or schedule can change its mind."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_rollout.domain.evidence import (
    ALLOCATION_LEVEL,
    BETTER_RATIOS,
    FLEET_GATES,
    FLEET_LEVEL,
    Cell,
    allocation_evidence,
    below_evidence,
    log_mean_exp,
    ratio_evidence,
    stop_evidence,
    wave_evidence,
    worse_ratios,
)
from onecode_rollout.domain.verdict import NEVER, Params, judge, peak_worse, verdict

AT_ONCE = Params(min_observe=0)
PAIR_EFFECTS = (1.1, 1.2, 1.35, 1.6, 2.0, 3.0)

cells = st.builds(
    lambda n_c, k_c, n_b, k_b: Cell(n_c, min(k_c, n_c), n_b, min(k_b, n_b)),
    st.integers(0, 500),
    st.integers(0, 30),
    st.integers(0, 5000),
    st.integers(0, 60),
)


@pytest.mark.parametrize(
    ("k_c", "k_b", "worse", "better"),
    [
        (0, 5, -0.641803, 0.216837),
        (1, 5, 0.135838, -0.622932),
        (3, 5, 2.670926, -1.912684),
        (5, 5, 6.391474, -2.956470),
        (50, 5, 115.835144, -20.524575),
        (0, 0, 0.0, 0.0),
    ],
)
def test_one_interval_weighs_what_it_should(k_c: int, k_b: int, worse: float, better: float) -> None:
    one = [Cell(50, k_c, 950, k_b)]
    assert ratio_evidence(one, 1.1, worse_ratios(1.1)) == pytest.approx(worse, abs=1e-6)
    assert ratio_evidence(one, 1.5, BETTER_RATIOS) == pytest.approx(better, abs=1e-6)


@pytest.mark.parametrize("cell", [Cell(0, 0, 950, 4), Cell(50, 4, 0, 0)])
def test_an_empty_arm_is_exactly_no_evidence(cell: Cell) -> None:
    assert ratio_evidence([cell], 1.1, worse_ratios(1.1)) == 0.0
    assert ratio_evidence([cell], 1.5, BETTER_RATIOS) == 0.0


V = {
    "V1": ([(950, 5), (900, 4), (750, 7)], [(50, 1), (100, 2), (250, 6)]),
    "V2": ([(950, 10)] * 60, [(50, 1)] * 60),
    "V3": ([(500, 5)] * 60, [(500, 5)] * 60),
    "V4": ([(500, 5)] * 60, [(500, 10)] * 60),
    "V7": ([(1000, 5)] * 30, [(0, 0)] * 30),
    "V8": ([(950, 0)] * 60, [(50, 0)] * 60),
    "V10": ([(950, 10)] * 20, [(50, 0)] * 20),
    "V12": (
        [(950, 10)] * 5 + [(950, 190)] * 10 + [(950, 10)] * 5,
        [(50, 1)] * 5 + [(50, 10)] * 10 + [(50, 1)] * 5,
    ),
    "V13": ([(800, 8)] * 100, [(200, 3)] * 100),
}


@pytest.mark.parametrize(
    ("name", "kind", "at", "worse", "better"),
    [
        ("V1", "continue", None, 1.573950, -2.932429),
        ("V2", "rollback", 39, 3.076466, -6.817037),
        ("V3", "promote", 30, -5.388409, 4.658956),
        ("V4", "rollback", 7, 3.034736, -6.551439),
        ("V7", "no_data", None, 0.0, 0.0),
        ("V10", "promote", 10, -3.057404, 5.077173),
        ("V12", "promote", 13, -5.467004, 4.885364),
        ("V13", "rollback", 47, 3.015229, -9.504623),
    ],
)
def test_a_worked_example_ends_as_written(name: str, kind: str, at: int | None, worse: float, better: float) -> None:
    found = verdict(*V[name], AT_ONCE)
    assert (found.kind, found.at) == (kind, at)
    assert found.log_e_worse == pytest.approx(worse, abs=1e-6)
    assert found.log_e_better == pytest.approx(better, abs=1e-6)


def test_without_errors_the_limit_ends_inconclusive() -> None:
    found = verdict(*V["V8"], Params(min_observe=0, limit=60))
    assert (found.kind, found.at, found.log_e_worse, found.log_e_better) == ("inconclusive", None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("stable", "canary", "at"),
    [
        ([(950, 5)], [(50, 51)], 1),
        ([(950, -1)], [(50, 1)], 1),
        ([(950, 5)] * 2, [(50, 1), (50, math.nan)], 2),
        ([(950, 5)] * 2, [(50, 1), (math.inf, 1)], 2),
        ([(950, 5)] * 2, [(50, 1)], 2),
    ],
)
def test_impossible_counters_are_invalid_and_decide_nothing(
    stable: list[tuple[int, int]], canary: list[tuple[int, int]], at: int
) -> None:
    found = verdict(stable, canary, AT_ONCE)
    assert (found.kind, found.at) == ("invalid", at)


def test_a_proof_before_an_impossible_counter_stands() -> None:
    stable, canary = V["V4"]
    assert verdict([*stable[:10], (1, 0)], [*canary[:10], (1, 2)], AT_ONCE).kind == "rollback"


def test_pooling_a_ramp_would_give_another_answer() -> None:
    """Intervals are summed, never pooled: pooled, the first example weighs 2.48 instead of 1.57."""
    stable, canary = V["V1"]
    pooled = verdict([(2600, 16)], [(400, 9)], AT_ONCE)
    assert pooled.log_e_worse == pytest.approx(2.481631, abs=1e-6)
    assert verdict(stable, canary, AT_ONCE).log_e_worse == pytest.approx(1.573950, abs=1e-6)


def test_the_average_of_three_thresholds_is_the_average_of_their_bets() -> None:
    logs = [
        ratio_evidence([Cell(50, k_c, 950, k_b)], 1.1, worse_ratios(1.1)) for k_c, k_b in ((40, 475), (12, 95), (3, 9))
    ]
    assert logs == pytest.approx([0.963043, 1.531856, 1.642863], abs=1e-6)
    assert log_mean_exp(logs) == pytest.approx(1.420403, abs=1e-6)


@pytest.mark.parametrize(("wrong", "log_e"), [((20, 5), 3.374574), ((30, 10), 4.042252), ((10, 10), -0.499837)])
def test_shadow_pairs_are_the_same_test_at_equal_shares(wrong: tuple[int, int], log_e: float) -> None:
    pairs = Cell(sum(wrong), wrong[0], sum(wrong), wrong[1])
    assert ratio_evidence([pairs], 1.0, PAIR_EFFECTS) == pytest.approx(log_e, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "limit", "level", "log_e"), [(121, 0.05, 100, 4.621799), (14_075, 0.0005, 200, 5.298533)]
)
def test_a_rate_below_the_floor_is_proven_by_that_many_clean_requests(
    n: int, limit: float, level: int, log_e: float
) -> None:
    assert below_evidence(n, 0, limit) == pytest.approx(log_e, abs=1e-6)
    assert below_evidence(n, 0, limit) >= math.log(level) > below_evidence(n - 1, 0, limit)


@pytest.mark.parametrize(
    ("cell", "ratio", "log_e"),
    [
        (Cell(500, 3, 9500, 50), 5.0, 4.378684),
        (Cell(1000, 5, 9000, 45), 3.0, 3.126441),
        (Cell(2500, 12, 7500, 36), 2.0, 1.666096),
    ],
)
def test_a_gate_weighs_what_it_should(cell: Cell, ratio: float, log_e: float) -> None:
    assert ratio_evidence([cell], ratio, BETTER_RATIOS) == pytest.approx(log_e, abs=1e-6)


@pytest.mark.parametrize(("n", "limit"), [(507, 0.01), (1016, 0.005), (2545, 0.002)])
def test_a_gate_opens_without_a_single_error(n: int, limit: float) -> None:
    assert below_evidence(n, 0, limit) >= math.log(40) > below_evidence(n - 1, 0, limit)


@pytest.mark.parametrize(
    ("units", "log_e", "invalid"), [(500, -12.268276, False), (600, 8.274636, True), (400, 9.859644, True)]
)
def test_a_split_that_is_not_the_planned_one_is_noticed(units: int, log_e: float, *, invalid: bool) -> None:
    found = allocation_evidence([(units, 10_000, 0.05)])
    assert found == pytest.approx(log_e, abs=1e-6)
    assert (found >= ALLOCATION_LEVEL) is invalid


@pytest.mark.parametrize(
    ("outcomes", "failures", "log_e"),
    [(2, 2, 5.021905), (9, 3, 4.886823), (10, 3, 4.536389), (20, 4, 4.762480), (35, 5, 4.632438), (36, 5, 4.502188),
     (1, 1, 2.174752), (120, 1, -2.293359)],
)  # fmt: skip
def test_failing_installations_stop_a_rollout_when_they_should(outcomes: int, failures: int, log_e: float) -> None:
    assert stop_evidence(outcomes, failures) == pytest.approx(log_e, abs=1e-6)


def test_one_failure_alone_never_stops_and_ten_of_133_do() -> None:
    assert all(stop_evidence(n, 1) < FLEET_LEVEL for n in range(1, 2000))
    assert stop_evidence(133, 10) >= FLEET_LEVEL > stop_evidence(134, 10)


@pytest.mark.parametrize(
    ("limit", "needed"),
    [(0.10, (52, 78, 101, 123, 160)), (0.05, (107, 159, 207, 250, 326)), (0.03, (180, 267, 347, 419, 547))],
)
def test_a_wave_needs_that_many_reports(limit: float, needed: tuple[int, ...]) -> None:
    assert limit in FLEET_GATES
    for failures, reports in zip((0, 1, 2, 3, 5), needed, strict=True):
        assert wave_evidence(reports, failures, limit) >= FLEET_LEVEL > wave_evidence(reports - 1, failures, limit)
    assert wave_evidence(120, 1, 0.10) == pytest.approx(8.509102, abs=1e-6)


@given(st.lists(st.lists(cells, max_size=4), max_size=12))
def test_the_same_counters_give_the_same_bits(intervals: list[list[Cell]]) -> None:
    assert judge(intervals, AT_ONCE) == judge([list(one) for one in intervals], AT_ONCE)


@given(st.lists(st.lists(cells, min_size=1, max_size=3), max_size=12), st.integers(0, 12))
def test_looking_more_often_finds_no_other_first_proof(intervals: list[list[Cell]], look: int) -> None:
    """Whoever looked earlier and saw a proof sees it still: a proof is never taken back by waiting."""
    early = judge(intervals[:look], AT_ONCE)
    if early.kind in {"rollback", "promote"}:
        assert judge(intervals, AT_ONCE) == early


@given(st.lists(st.lists(cells, min_size=1, max_size=3), max_size=12))
def test_a_walk_that_may_not_promote_never_does(intervals: list[list[Cell]]) -> None:
    assert judge(intervals, Params(min_observe=NEVER, floor=0.01)).kind != "promote"


@given(st.lists(st.lists(cells, min_size=1, max_size=3), min_size=1, max_size=10))
def test_what_a_person_has_overridden_does_not_convict_again(intervals: list[list[Cell]]) -> None:
    peak = peak_worse(intervals, AT_ONCE)
    assert judge(intervals, Params(min_observe=NEVER, worse_offset=peak)).kind != "rollback"


def test_a_floor_halves_the_level_of_promotion() -> None:
    assert Params(floor=None).promote_at == pytest.approx(math.log(100))
    assert Params(floor=0.0005).promote_at == pytest.approx(math.log(200))
