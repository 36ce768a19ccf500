"""Two versions' answers are compared request by request, in numbers that add up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onecode_serving.domain.comparison import FARTHEST, TOLERANCE, Findings, Pair, compare, incomparable
from onecode_serving.domain.contract import Contract, TensorSpec

_FEATURES = TensorSpec("features", "FP32", (-1, 4))
_LABEL = TensorSpec("label", "INT64", (-1,))
_SCORES = TensorSpec("scores", "FP32", (-1, 3), labels=("a", "b", "c"))
_NUMBER = TensorSpec("prediction", "FP32", (-1,))
_TEXT = TensorSpec("word", "BYTES", (-1,))


def contract(*outputs: TensorSpec) -> Contract:
    return Contract((_FEATURES,), outputs)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def regressed(first: np.ndarray, second: np.ndarray, rows: list[int]) -> list[Pair]:
    return compare(contract(_NUMBER), [first], contract(_NUMBER), [second], rows)


def test_a_class_decides_and_scores_are_only_measured() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]], np.float32)
    moved = np.array([[0.5, 0.4, 0.1], [0.2, 0.3, 0.5]], np.float32)
    label = np.array([0, 1], np.int64), np.array([0, 2], np.int64)
    both = contract(_LABEL, TensorSpec("scores", "FP32", (-1, 3)))
    found = compare(both, [label[0], scores], both, [label[1], moved], [1, 1])
    assert [one.same for one in found] == [True, False]
    assert [one.difference for one in found] == pytest.approx([0.2, 1.0])


def test_the_largest_of_labelled_scores_is_the_class() -> None:
    first = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]], np.float32)
    second = np.array([[0.5, 0.4, 0.1], [0.2, 0.3, 0.5]], np.float32)
    found = compare(contract(_SCORES), [first], contract(_SCORES), [second], [1, 1])
    assert [one.same for one in found] == [True, False]
    assert [one.difference for one in found] == pytest.approx([0.2, 0.2])


def test_numbers_are_the_same_within_a_relative_tolerance_whatever_their_unit() -> None:
    for unit in (1e-3, 1.0, 1e6):
        inside, outside = 1 - TOLERANCE * 0.9, 1 - TOLERANCE * 1.1
        found = regressed(numbers(unit, unit, 0), numbers(unit * inside, unit * outside, 0), [1, 1, 1])
        assert [one.same for one in found] == [True, False, True]
        assert found[2].difference == 0


def test_a_request_of_many_rows_is_one_pair_and_its_worst_row_decides() -> None:
    found = regressed(numbers(1, 1, 1, 2), numbers(1, 2, 1, 2), [3, 1])
    assert found == [Pair(same=False, difference=0.5), Pair(same=True, difference=0.0)]


def test_other_shapes_and_types_are_different_and_as_far_as_can_be() -> None:
    assert regressed(numbers(1), numbers(1).astype(np.float64), [1]) == [Pair(same=False, difference=FARTHEST)]
    assert regressed(numbers(1), numbers(1, 2), [1]) == [Pair(same=False, difference=FARTHEST)]


def test_texts_are_equal_or_not() -> None:
    words = np.array(["a", "b"], object), np.array(["a", "c"], object)
    found = compare(contract(_TEXT), [words[0]], contract(_TEXT), [words[1]], [1, 1])
    assert found == [Pair(same=True, difference=0.0), Pair(same=False, difference=1.0)]


def test_outputs_that_only_one_version_has_are_left_out() -> None:
    found = compare(contract(_NUMBER, _LABEL), [numbers(1), np.array([3])], contract(_NUMBER), [numbers(1)], [1])
    assert found == [Pair(same=True, difference=0.0)]


def test_a_model_without_rows_is_one_pair() -> None:
    whole = contract(TensorSpec("prediction", "FP32", (2, 2)))
    found = compare(whole, [np.eye(2, dtype=np.float32)], whole, [np.ones((2, 2), np.float32)], [1])
    assert found == [Pair(same=False, difference=1.0)]


_ANY = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6).flatmap(
        lambda rows: st.tuples(
            st.just(rows),
            arrays.arrays(np.float32, (sum(rows), 3), elements=_ANY),
            arrays.arrays(np.float32, (sum(rows), 3), elements=_ANY),
        )
    ),
    st.sampled_from([_SCORES, TensorSpec("scores", "FP32", (-1, 3))]),
)
def test_any_numbers_give_one_finite_pair_for_each_request_alone_as_together(
    drawn: tuple[list[int], np.ndarray, np.ndarray], spec: TensorSpec
) -> None:
    rows, first, second = drawn
    found = compare(contract(spec), [first], contract(spec), [second], rows)
    assert len(found) == len(rows)
    assert all(0 <= one.difference <= FARTHEST and math.isfinite(one.difference) for one in found)
    start = 0
    for one, count in zip(found, rows, strict=True):
        part = slice(start, start + count)
        assert compare(contract(spec), [first[part]], contract(spec), [second[part]], [count]) == [one]
        start += count


@given(arrays.arrays(np.float32, (4, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_version_compared_with_itself_is_always_the_same(values: np.ndarray) -> None:
    for spec in (_SCORES, TensorSpec("scores", "FP32", (-1, 3))):
        found = compare(contract(spec), [values], contract(spec), [values.copy()], [1, 1, 1, 1])
        assert found == [Pair(same=True, difference=0.0)] * 4


_PAIRS = st.lists(st.tuples(st.booleans(), st.floats(0, FARTHEST)).map(lambda one: Pair(*one)))


@given(_PAIRS, _PAIRS)
def test_findings_of_two_places_add_up_to_those_of_one(here: list[Pair], there: list[Pair]) -> None:
    whole, one, other = Findings(), Findings(), Findings()
    whole.compared(here + there)
    one.compared(here)
    other.compared(there)
    one.add(other)
    assert (one.same, one.different, one.largest) == (whole.same, whole.different, whole.largest)
    assert one.places == whole.places
    assert one.total == pytest.approx(whole.total)
    assert sum(one.places) == one.pairs == len(here) + len(there)


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (Contract((_FEATURES,), (_NUMBER,)), ""),
        (Contract((_FEATURES, TensorSpec("more", "FP32", (-1,), optional=True)), (_NUMBER,)), ""),
        (Contract((TensorSpec("features", "FP32", (-1, -1)),), (_NUMBER,)), ""),
        (Contract((_FEATURES, TensorSpec("more", "FP32", (-1,))), (_NUMBER,)), "needs the input 'more'"),
        (Contract((TensorSpec("features", "FP64", (-1, 4)),), (_NUMBER,)), "does not take the input 'features'"),
        (Contract((TensorSpec("features", "FP32", (-1, 5)),), (_NUMBER,)), "does not take the input 'features'"),
        (Contract((), (_NUMBER,)), "does not take the input 'features'"),
        (Contract((_FEATURES,), (_LABEL,)), "no output in common"),
    ],
)
def test_a_candidate_that_cannot_take_the_requests_is_not_shown_any(candidate: Contract, why: str) -> None:
    found = incomparable(contract(_NUMBER), candidate)
    assert bool(found) == bool(why)
    assert why in found
