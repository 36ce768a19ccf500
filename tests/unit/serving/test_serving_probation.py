"""Probation reverts what is worse here, commits what is not, and is not fooled by few requests."""

import math

import pytest

from onecode_serving.domain.probation import Baseline, Observation, error_evidence, judge

LIMIT = math.log(1000)
CLEAN = Baseline(requests=1000)


@pytest.mark.parametrize(("bad", "total", "expected"), [(3, 4, 7.486787), (10, 100, 6.966798), (2, 2, 5.021905)])
def test_the_evidence_is_that_of_the_specification(bad: int, total: int, expected: float) -> None:
    assert error_evidence(bad, total, 0.02) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("bad", "most"), [(3, 4), (4, 11), (5, 20), (10, 100)])
def test_errors_revert_up_to_exactly_the_pinned_number_of_requests(bad: int, most: int) -> None:
    assert error_evidence(bad, most, 0.02) >= LIMIT > error_evidence(bad, most + 1, 0.02)


def test_two_errors_alone_never_revert() -> None:
    assert judge(Observation(1, requests=2, errors=2), CLEAN, 100).kind == "continue"


def test_errors_revert_before_probation_is_over_and_even_when_it_is() -> None:
    for served in (1, 1000):
        judgement = judge(Observation(served, requests=20, errors=10), CLEAN, 100)
        assert (judgement.kind, judgement.cause) == ("revert", "errors")


def test_an_old_version_that_failed_often_allows_as_much() -> None:
    assert judge(Observation(1, requests=100, errors=10), Baseline(1000, errors=100), 100).kind == "continue"


def test_three_non_finite_outputs_revert_only_if_the_old_version_had_none() -> None:
    seen = Observation(1, requests=1000, errors=3, non_finite=3)
    assert judge(seen, CLEAN, 100).cause == "non_finite"
    assert judge(seen, Baseline(1000, errors=1, non_finite=1), 100).kind == "continue"
    assert judge(seen, Baseline(exists=False), 100).kind == "continue"


def test_three_crashes_within_five_minutes_revert_and_spread_over_an_hour_do_not() -> None:
    assert judge(Observation(1, crashes=(0, 100, 299)), CLEAN, 100).cause == "crash"
    assert judge(Observation(1, crashes=(0, 1000, 2000)), CLEAN, 100).kind == "continue"


def test_a_third_start_in_probation_reverts() -> None:
    assert judge(Observation(1, starts=2), CLEAN, 100).kind == "continue"
    assert judge(Observation(1, starts=3), CLEAN, 100).cause == "crash"


def test_two_hung_requests_revert() -> None:
    assert judge(Observation(1, hung=2), CLEAN, 100).cause == "hang"


def test_a_version_commits_after_its_time_by_traffic_or_by_golden_set_alone() -> None:
    assert judge(Observation(100, requests=5), CLEAN, 100).evidence == "traffic"
    assert judge(Observation(100), CLEAN, 100).evidence == "golden"
    assert judge(Observation(99.9, requests=5), CLEAN, 100).kind == "continue"


@pytest.mark.parametrize("errors", [0, 1000])
def test_every_error_rate_of_the_old_version_can_be_judged(errors: int) -> None:
    assert judge(Observation(1, requests=10, errors=10), Baseline(1000, errors=errors), 100).kind in (
        "continue",
        "revert",
    )
