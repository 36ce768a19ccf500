"""Charts put numbers where they belong, and never outside their frame."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_console.domain.charts import Frame, histogram, labels, thin, ticks, widened
from onecode_console.domain.evidence_chart import Limits, Sample, evidence_charts, odds, remaining
from onecode_console.domain.score_chart import Scored, cost_charts, score_charts

LIMITS = Limits(math.log(20), math.log(200), math.log(200))
finite = st.floats(-1e9, 1e9)


@given(finite, finite, st.integers(1, 12))
def test_ticks_are_round_inside_and_few(first: Any, second: Any, about: Any) -> None:
    low, high = min(first, second), max(first, second)
    found = ticks(low, high, about)
    assert len(found) <= about + 2
    air = (high - low) * 1e-8 + max(abs(low), abs(high)) * 1e-11
    assert all(low - air <= tick <= high + air for tick in found)


def test_ticks_are_the_values_people_expect() -> None:
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.05, 0.97, 5) == [0.2, 0.4, 0.6, 0.8]
    assert ticks(3, 3) == [3]
    assert ticks(math.nan, 1) == []
    assert ticks(0.0, 5e-324, 1) == [0.0]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 25, 50], ["0", "25", "50"]),
        ([0.97840, 0.97842, 0.97844], ["0.97840", "0.97842", "0.97844"]),
        ([0, 2.5, 5], ["0.0", "2.5", "5.0"]),
        ([0.025, 0.05, 0.075], ["0.025", "0.050", "0.075"]),
        ([0, 2500, 5000], ["0", "2,500", "5,000"]),
        ([0.5], ["0.5"]),
        ([], []),
    ],
)
def test_labels_of_a_scale_tell_neighbours_apart(values: list[float], shown: list[str]) -> None:
    assert labels(values) == shown


@given(st.lists(finite, max_size=30))
def test_a_widened_range_holds_every_value(values: Any) -> None:
    low, high = widened(values)
    assert low < high
    assert all(low <= value <= high for value in values)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=300), st.integers(3, 50))
def test_thinning_keeps_ends_order_and_points(points: Any, most: Any) -> None:
    points = sorted(points)
    kept = thin(points, most)
    assert len(kept) <= max(most, 1) or len(points) <= most
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert kept == sorted(kept)
    assert set(kept) <= set(points)


def test_a_point_outside_the_range_is_drawn_at_the_edge() -> None:
    frame = Frame(10, 110, 0, 50, 0, 1, 0, 1)
    assert (frame.x(0.5), frame.y(0.5)) == (60, 25)
    assert (frame.x(9), frame.y(9), frame.y(-math.inf)) == (110, 0, 50)
    assert frame.path([(0, 0), (1, math.nan), (1, 1)]) == "10,50 110,0"


def test_a_histogram_shows_even_the_smallest_bin() -> None:
    bars = histogram([(0, 1, 1000), (1, 2, 1), (2, 3, 0)], 300, 60)
    assert [bar.height for bar in bars] == [60, 1, 0]
    assert [bar.x for bar in bars] == [0, 100, 200]
    assert histogram([], 300, 60) == []
    assert [bar.height for bar in histogram([(0, 1, 0)], 300, 60)] == [0]


@pytest.mark.parametrize(
    ("log_odds", "shown"),
    [
        (math.log(20), "20 : 1"),
        (0, "1 : 1"),
        (-math.log(4), "1 : 4"),
        (math.log(2.55), "2.5 : 1"),
        (math.log(1234), "1,234 : 1"),
        (math.inf, "> 1,000,000 : 1"),
        (-math.inf, "1 : > 1,000,000"),
        (math.nan, "-"),
    ],
)
def test_odds_read_as_people_say_them(log_odds: Any, shown: str) -> None:
    assert odds(log_odds) == shown


def samples(count: Any) -> list[Sample]:
    return [Sample(100 * (n + 1), 0.1 * n, -0.1 * n, -1.0, min(2, n // 10)) for n in range(count)]


def test_the_evidence_chart_has_lines_limits_and_steps_for_both_screens() -> None:
    charts = evidence_charts(samples(25), LIMITS)
    assert [size for size, _ in charts] == [(920, 340), (360, 280)]
    for (width, height), chart in charts:
        assert [line.css for line in chart.lines] == ["worse", "better", "floor"]
        assert [limit.css for limit in chart.thresholds] == ["better", "worse"]
        assert [band.step for band in chart.bands] == [0, 1, 2]
        assert all(0 <= x <= width for x, _ in chart.x_ticks)
        assert all(0 <= y <= height for y, _ in chart.y_ticks)


def test_a_limit_of_the_floor_is_named_where_it_differs() -> None:
    ((_, chart), _) = evidence_charts(samples(3), Limits(3.0, 5.0, 4.0))
    assert [limit.css for limit in chart.thresholds] == ["better", "floor", "worse"]
    ((_, chart), _) = evidence_charts(samples(3), Limits(3.0, 0, 0))
    assert [line.css for line in chart.lines] == ["worse", "better"]


def test_names_of_close_limits_do_not_cover_each_other() -> None:
    ((_, chart), _) = evidence_charts(samples(3), Limits(4.6, 4.7, 0))
    heights = [limit.text_y for limit in chart.thresholds]
    assert abs(heights[0] - heights[1]) >= 12


def test_a_runaway_process_does_not_flatten_the_rest() -> None:
    wild = [Sample(100, 5000.0, -5000.0, 0, 0), Sample(200, math.inf, -math.inf, 0, 0)]
    ((_, chart), _) = evidence_charts(wild, LIMITS)
    assert chart.frame.high_y < 10
    assert all(chart.frame.top <= one.y <= chart.frame.bottom for one in chart.thresholds)


@pytest.mark.parametrize(
    ("better", "floor", "more"),
    [(0.0, math.log(104), 1800), (math.log(100), 0.5, 1900), (0.1, 0.1, 0), (-3.0, -1.0, 0), (6.0, 6.0, 0)],
)
def test_what_is_still_needed_follows_from_the_pace(better: float, floor: float, more: int) -> None:
    assert remaining([Sample(12_517, 0.0, better, floor, 1)], LIMITS) == more


def test_nothing_is_said_of_the_pace_without_evidence() -> None:
    assert remaining([], LIMITS) == 0
    assert remaining([Sample(0, 0.0, 2.0, 2.0, 0)], LIMITS) == 0
    assert remaining([Sample(100, 0.0, 2.0, 2.0, 0)], Limits(3.0, 0, 0)) == 0


def test_no_evidence_is_no_chart() -> None:
    assert evidence_charts([], LIMITS) == []
    assert score_charts([], 0.1, 0) == []
    assert cost_charts([Scored(1, "linear", 0.9)], 100, 0) == []


def test_the_best_line_only_rises() -> None:
    ((_, chart), _) = score_charts([Scored(1, "a", 0.5), Scored(2, "b", 0.4), Scored(3, "c", 0.9)], 0.45, 3)
    heights = [float(pair.split(",")[1]) for pair in chart.best.split()]
    assert heights == sorted(heights, reverse=True)
    assert [mark.winner for mark in chart.marks] == [False, False, True]
    assert chart.baseline_y is not None


def test_a_trivial_answer_far_below_does_not_flatten_the_scores() -> None:
    ((_, chart), _) = score_charts([Scored(1, "a", 0.95), Scored(2, "b", 0.99)], 0.07, 0)
    assert chart.baseline_y is None
    assert chart.frame.low_y > 0.9


def test_the_budget_edge_lies_where_the_budget_ends() -> None:
    ((_, chart), _) = cost_charts([Scored(1, "a", 0.9, 50.0), Scored(2, "b", 0.8, 150.0)], 100.0, 1)
    assert chart.limit_x == chart.frame.x(100)
    ((_, free), _) = cost_charts([Scored(1, "a", 0.9, 50.0)], 0.0, 1)
    assert free.limit_x is None
