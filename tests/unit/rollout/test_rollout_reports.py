"""Reports that cannot be are recognised before anything of them is kept."""

from dataclasses import replace
from typing import Any

import pytest

from onecode_rollout.domain.reports import (
    ActionReport,
    CounterReport,
    Report,
    clock_fault,
    counter_fault,
    is_evidence,
    readable_action,
    short,
    short_pairs,
)

NOW = 1_800_000_000.0
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
ROLES = {OLD: "stable", NEW: "candidate"}
COUNTER = CounterReport("shuttle", "r", 1, NEW, "candidate", int(NOW), 60, 10, 2, 1, 0, (1, 2, 3))


def test_a_possible_counter_has_no_fault() -> None:
    assert counter_fault(COUNTER, ROLES, NOW) == ""
    assert counter_fault(replace(COUNTER, role=""), ROLES, NOW) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"errors": 11}, "11 errors in 10 requests"),
        ({"non_finite": 3}, "errors in"),
        ({"requests": -1}, "negative"),
        ({"requests": 1 << 60}, "huge"),
        ({"unassigned": -1}, "negative"),
        ({"latency": (1, -1)}, "negative"),
        ({"interval_s": 0}, "multiple"),
        ({"interval_s": 7}, "multiple"),
        ({"interval_s": 86_400}, "multiple"),
        ({"interval_start": int(NOW) + 6000}, "ahead"),
        ({"digest": "sha256:" + "9" * 64}, "no arm owns"),
    ],
)
def test_an_impossible_counter_is_named(change: dict[str, Any], words: str) -> None:
    assert words in counter_fault(replace(COUNTER, **change), ROLES, NOW)


def test_a_clock_far_ahead_is_a_fault_and_a_late_report_is_none() -> None:
    assert clock_fault(Report("b", 1, int(NOW) + 4000), NOW)
    assert not clock_fault(Report("b", 1, int(NOW) - 86_400), NOW)
    assert is_evidence(COUNTER, ROLES, NOW + 6 * 86_400)
    assert not is_evidence(COUNTER, ROLES, NOW + 8 * 86_400)


def test_a_version_that_answers_in_the_other_arm_compares_nothing() -> None:
    assert is_evidence(replace(COUNTER, role=""), ROLES, NOW)
    assert not is_evidence(replace(COUNTER, role="stable"), ROLES, NOW)


@pytest.mark.parametrize(("state", "model"), [("lost", "m"), ("", "m"), ("<script>", "m"), ("committed", "")])
def test_an_action_of_no_known_state_is_not_read(state: str, model: str) -> None:
    assert not readable_action(ActionReport(model, "r", 1, NEW, state, "", "", "", ""))
    assert readable_action(ActionReport("m", "r", 1, NEW, "committed", "", "", "", ""))


def test_texts_are_short_and_without_nul() -> None:
    assert short("\x00a" * 9000) == "a" * 250
    assert len(short_pairs({str(number): "x" for number in range(999)})) == 100
