"""The rules that decide which model is shipped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_training.domain.budget import Measured, fits, nearest_miss, overruns
from onecode_training.domain.golden import Feeds, golden_file
from onecode_training.domain.metric import choose_metric, positive_class
from onecode_training.domain.parity import compare_classes, compare_numbers
from onecode_training.domain.portfolio import candidates
from onecode_training.domain.recipe import Budget, Recipe, Search
from onecode_training.domain.rows import edge_rows, golden_rows
from onecode_training.domain.winner import ranked

CLASSIFICATION = Recipe("tabular-classification")
REGRESSION = Recipe("tabular-regression")


def measured(number: int, score: float, size: int, error: float = 0.01, cost: float = 5.0) -> Measured:
    return Measured(number, "linear", score, error, size, cost)


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        ((931, 69), "average_precision"),
        ((69, 931), "average_precision"),
        ((800, 200), "balanced_accuracy"),
        ((500, 500), "balanced_accuracy"),
        ((900, 50, 50), "balanced_accuracy"),
    ],
)
def test_a_rare_class_is_ranked_by_average_precision(counts: tuple[int, ...], metric: str) -> None:
    assert choose_metric(CLASSIFICATION, counts) == metric


def test_a_regression_is_ranked_by_r2_and_a_recipe_has_the_last_word() -> None:
    assert choose_metric(REGRESSION, ()) == "r2"
    assert choose_metric(Recipe("tabular-classification", metric="roc_auc"), (500, 500)) == "roc_auc"


def test_the_rarer_class_is_the_positive_one_unless_the_recipe_names_it() -> None:
    assert positive_class(CLASSIFICATION, ("no", "yes"), (10, 90)) == 0
    assert positive_class(CLASSIFICATION, ("0", "1"), (50, 50)) == 1
    assert positive_class(Recipe("tabular-classification", positive="yes"), ("no", "yes"), (10, 90)) == 1
    assert positive_class(Recipe("tabular-classification", positive=True), ("0", "1"), (10, 90)) == 1
    assert positive_class(CLASSIFICATION, ("a", "b", "c"), (1, 2, 3)) is None
    with pytest.raises(KeyError):
        positive_class(Recipe("tabular-classification", positive="maybe"), ("no", "yes"), (10, 90))


def test_the_smallest_within_one_standard_error_of_the_best_wins() -> None:
    best, equal, worse = measured(2, 0.98, 90_000), measured(3, 0.971, 1_000), measured(4, 0.969, 500)
    assert [each.number for each in ranked([best, equal, worse])] == [3, 2, 4]


def test_with_a_sure_score_the_best_wins() -> None:
    best, next_best = measured(2, 0.98, 90_000, error=0.001), measured(3, 0.971, 1_000)
    assert ranked([next_best, best])[0].number == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10**6), st.floats(0, 0.1)), min_size=1, max_size=8))
def test_nobody_is_lost_and_the_winner_is_never_worse_than_one_error(rows: list[tuple[float, int, float]]) -> None:
    listed = [measured(number, score, size, error) for number, (score, size, error) in enumerate(rows)]
    order = ranked(listed)
    best = max(listed, key=lambda each: (each.score, -each.bytes))
    assert sorted(each.number for each in order) == [each.number for each in listed]
    assert order[0].score >= best.score - best.error
    assert order[0].bytes <= best.bytes


def test_the_budget_is_held_against_what_was_measured() -> None:
    budget = Budget(max_bytes=1000, max_p95_us=10.0)
    assert fits(budget, measured(2, 0.9, 1000, cost=10.0))
    assert not fits(budget, measured(2, 0.9, 1001))
    assert overruns(budget, 1300, 12.5) == ["1300 bytes, 300 over 1000", "12.5 µs, 2.5 over 10"]
    assert fits(Budget(), measured(2, 0.9, 10**9, cost=1e9))


def test_the_nearest_miss_is_named_with_what_it_lacks() -> None:
    budget = Budget(max_bytes=1000)
    text = nearest_miss(budget, [measured(2, 0.90, 1500), measured(3, 0.99, 9000), measured(4, 0.8, 1100)], "r2")
    assert text == (
        "nearest is trial 4 (linear, r2 0.8000) with 1100 bytes, 100 over 1000; "
        "best is trial 3 (linear, r2 0.9900) with 9000 bytes, 8000 over 1000"
    )


def test_a_portfolio_is_broad_and_numbered_after_the_baseline() -> None:
    quick = candidates(CLASSIFICATION, inputs=9, outputs=1)
    standard = candidates(Recipe("tabular-classification", search=Search(preset="standard")), inputs=9, outputs=1)
    assert 4 <= len(quick) <= 6
    assert 8 <= len(standard) <= 12
    for listed in (quick, standard):
        assert {each.family for each in listed} == {"linear", "lightgbm", "mlp"}
        assert [each.number for each in listed] == list(range(2, len(listed) + 2))


def test_a_small_budget_makes_smaller_trees_and_leaves_out_what_cannot_fit() -> None:
    small = Recipe("tabular-classification", budget=Budget(max_bytes=20_000))
    trees = [each for each in candidates(small, inputs=9, outputs=1) if each.family == "lightgbm"]
    assert [each.parameters["trees"] for each in trees] == [31, 16]
    tiny = Recipe("tabular-classification", budget=Budget(max_bytes=1000))
    found = {each.family: each.ruled_out for each in candidates(tiny, inputs=500, outputs=1)}
    assert "are allowed" in found["lightgbm"]
    assert "are allowed" in found["mlp"]
    assert found["linear"] == ""


def test_parity_holds_for_the_same_numbers_and_names_the_row_that_differs() -> None:
    trained = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    labels = np.array([0, 1, 1])
    assert compare_classes(trained, trained.astype(np.float32), labels).passed
    other = trained.copy()
    other[1] = [0.21, 0.79]
    found = compare_classes(trained, other.astype(np.float32), labels)
    assert not found.passed
    assert found.worst_row == 1
    assert "row 1" in found.detail


def test_a_label_may_differ_only_where_both_are_as_likely() -> None:
    rows = 2000
    trained = np.tile([0.9, 0.1], (rows, 1))
    trained[0] = [0.50002, 0.49998]
    labels = np.zeros(rows, np.int64)
    labels[0] = 1
    assert compare_classes(trained, trained.astype(np.float32), labels).passed
    labels[0], labels[1] = 0, 1
    assert not compare_classes(trained, trained.astype(np.float32), labels).passed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_file_that_answers_with_no_number_has_no_parity(bad: float) -> None:
    answers = np.array([[bad, 0.1]], np.float32)
    assert not compare_classes(np.array([[0.9, 0.1]]), answers, np.array([0])).passed
    assert not compare_numbers(np.array([1.0]), np.array([bad], np.float32), 1.0).passed


def test_a_prediction_may_differ_by_a_share_of_the_targets_spread() -> None:
    trained = np.array([1000.0, 2000.0])
    assert compare_numbers(trained, np.array([1000.01, 2000.0], np.float32), 500.0).passed
    assert not compare_numbers(trained, np.array([1000.1, 2000.0], np.float32), 500.0).passed


def test_a_golden_set_has_rows_of_every_class_and_prefers_sure_ones() -> None:
    rng = np.random.default_rng(1)
    classes = np.array([0] * 900 + [1] * 5 + [2] * 95)
    sure = rng.random(1000) < 0.7
    chosen = golden_rows(classes, sure, np.random.default_rng(2))
    assert len(set(chosen.tolist())) == 64
    counts = np.bincount(classes[chosen])
    assert counts[1] == 5
    assert min(counts[0], counts[2]) >= 25
    assert sure[chosen[classes[chosen] != 1]].all()
    assert np.array_equal(chosen, golden_rows(classes, sure, np.random.default_rng(2)))


def test_a_golden_line_says_missing_with_null_and_keeps_every_float32() -> None:
    question: Feeds = {"features": np.array([[np.nan, 0.1]], np.float32), "categories": np.array([["阀"]], object)}
    answer: Feeds = {"label": np.array([3], np.int64), "probabilities": np.array([[0.25, 0.75]], np.float32)}
    lines = golden_file([question], [answer]).decode().splitlines()
    assert '"rows":1' in lines[0]
    assert '"data":[null,0.100000001]' in lines[1]
    assert '"datatype":"BYTES","shape":[1,1],"data":["阀"]' in lines[1]


def test_edge_rows_ask_what_nobody_measured() -> None:
    numbers = np.array([[1.0, -2.0], [3.0, np.nan], [2.0, 4.0]], np.float32)
    texts = np.array([["a"], ["b"], ["a"]], object)
    edges, words = edge_rows(numbers, texts)
    assert np.isnan(edges[0]).all()
    assert {10.0, 30.0} <= set(edges[:, 0].tolist())
    assert {-20.0, 40.0} <= set(edges[:, 1].tolist())
    assert {"", "从未见过的类别"} <= set(words[:, 0].tolist())
    biggest, _ = edge_rows(np.full((2, 1), np.float32(3e38)), np.empty((2, 0), object))
    assert np.isfinite(biggest[2:4]).all()
