"""The price of a run follows what was measured, and the batch ends where more rows no longer pay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.domain.cost import TURN_S, Cost, batch_limit, fitted, inline_limit, moved, pooled, sizes


def test_a_line_through_exact_samples_is_that_line() -> None:
    cost = fitted([(rows, 5e-6 + rows * 1e-6) for rows in (1, 2, 4, 8)])
    assert cost.fixed_s == pytest.approx(5e-6)
    assert cost.row_s == pytest.approx(1e-6)


@given(st.lists(st.tuples(st.integers(1, 128), st.floats(1e-7, 1.0)), min_size=1, max_size=8))
def test_no_part_of_a_price_is_negative(samples: list[tuple[int, float]]) -> None:
    cost = fitted(samples)
    assert cost.fixed_s >= 0
    assert cost.row_s >= 0


@pytest.mark.parametrize(
    ("per_row", "limit"),
    [
        ({1: 10.0, 2: 9.8}, 1),
        ({1: 10.0, 2: 6.0, 4: 4.0, 8: 3.9, 16: 3.9, 32: 1.0}, 4),
        ({1: 10.0, 2: 6.0, 4: 4.0}, 4),
        ({1: 10.0, 2: 11.0, 4: 4.0}, 4),
    ],
)
def test_the_batch_ends_where_a_row_saves_less_than_five_percent(per_row: dict[int, float], limit: int) -> None:
    assert batch_limit([(rows, rows * each) for rows, each in per_row.items()]) == limit


def test_a_run_on_the_loop_is_never_longer_than_a_turn_unless_it_is_one_row() -> None:
    assert inline_limit(Cost(0.0, 100e-6), 64) == int(TURN_S / 100e-6)
    assert inline_limit(Cost(0.0, 1.0), 64) == 1
    assert inline_limit(Cost(1e-6, 0.0), 64) == 64


def test_one_pause_of_the_machine_moves_a_price_by_two_percent() -> None:
    cost = moved(Cost(10e-6, 1e-6), 4, 10.0)
    assert cost.fixed_s == pytest.approx(10.2e-6)


def test_two_thresholds_keep_a_price_between_them_where_it_is() -> None:
    between = Cost(170e-6, 0.0)
    assert pooled(between, now_pooled=True)
    assert not pooled(between, now_pooled=False)


def test_sizes_stop_at_the_most() -> None:
    assert sizes(8) == (1, 2, 4, 8)
    assert sizes(1) == (1,)


def test_a_price_without_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no run was measured"):
        fitted([])
