"""Every state has its sentence, and the last clause always says what there is to do."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from onecode_console.domain.attention import Counts, Seen, needs, next_step
from onecode_console.domain.rollout_story import Arm, RolloutFacts, story
from onecode_console.domain.shadow_story import Shadowed
from onecode_console.domain.texts import Text
from onecode_console.domain.words import ACTIONS, GATEWAYS, ROLLOUTS, RUNS, TRIALS, word
from onecode_console.pages.numbers import Numbers
from onecode_console.pages.render import _speaker, translations_of

REASONS = ["", "operator", "no_data", "invalid", "inconclusive", "outage", "bad", "gate", "refused", "quorum", "errors",
           "golden", "install", "load", "latency", "memory", "crash", "something_new%"]  # fmt: skip


def facts(state: str, reason: str = "", *, stable: Any = "v1", requests: Any = 1000) -> RolloutFacts:
    by_gateways = False
    return RolloutFacts(
        state, reason, 1, (1000, 5000, 10_000), by_gateways, "v2", stable, Arm(requests, 5), Arm(requests * 9, 40), 1900
    )


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("state", "reason"), list(itertools.product([*ROLLOUTS, "of_a_newer_service"], REASONS)))
def test_every_state_is_told_in_whole_sentences(language: str, state: str, reason: str) -> None:
    say = _speaker(translations_of(language), Numbers("zh_Hans_CN" if language == "zh" else "en"))
    for stable, requests in (("v1", 1000), ("", 0), ("", 12)):
        told = [say(each) for each in story(facts(state, reason, stable=stable, requests=requests))]
        assert len(told) >= 2
        assert all(sentence and sentence[-1] in ".。" and "%(" not in sentence for sentence in told)


def test_a_running_release_reads_as_promised() -> None:
    say = _speaker(translations_of("zh"), Numbers("zh_Hans_CN"))
    told = "".join(say(each) for each in story(facts("running")))
    assert told == (
        "运行中，第 2 步，共 3 步（50% 的请求）。候选 v2 出错 5/1,000（0.50%），在用 v1 出错 40/9,000（0.44%）。"
        "还需约 1,900 个候选请求。现在不需要你做任何事。"
    )


def test_no_data_is_told_as_no_evidence() -> None:
    say = _speaker(translations_of("en"), Numbers("en"))
    told = say(story(facts("paused", "no_data"))[0])
    assert told == "Held at 50%: no candidate requests arrive. No data is no evidence."


@pytest.mark.parametrize(
    ("state", "share"),
    [
        ("running", 0.5),
        ("paused", 0.5),
        ("aborted", 0.5),
        ("promoting", 1),
        ("succeeded", 1),
        ("rolled_back", 0),
        ("rolling_back", 0),
        ("draft", 0),
    ],
)
def test_the_present_share_follows_the_state(state: str, share: Any) -> None:
    assert facts(state).share_now.part == share


def test_states_never_differ_by_colour_alone() -> None:
    for table in (ROLLOUTS, RUNS, TRIALS, GATEWAYS, ACTIONS):
        seen = {}
        for one in table.values():
            assert one.shape
            assert seen.setdefault(one.label, one.shape) == one.shape


def test_an_unknown_state_is_shown_by_its_name() -> None:
    assert word(ROLLOUTS, "of_a_newer_service").label == "of_a_newer_service"
    assert word(ROLLOUTS, "").label == "Unknown"


@pytest.mark.parametrize(
    ("counts", "stage"),
    [
        ((0, 0, 0, 0, 0), 0),
        ((1, 0, 0, 0, 0), 1),
        ((1, 1, 0, 0, 3), 2),
        ((1, 1, 1, 0, 3), 3),
        ((1, 1, 1, 1, 0), 3),
        ((1, 1, 1, 1, 1), 4),
        ((None, None, None, None, None), 4),
        ((None, 0, 1, 1, 1), 1),
    ],
)
def test_the_next_step_is_the_first_that_is_missing(counts: Any, stage: Any) -> None:
    assert next_step(Counts(*counts)).stage == stage


def test_what_is_broken_comes_before_what_waits() -> None:
    found = needs(
        [Seen("a", "rollouts/a", "paused", "no_data"), Seen("b", "rollouts/b", "running")],
        [Seen("c", "runs/c", "RUN_STATE_INTERRUPTED"), Seen("d", "runs/d", "RUN_STATE_RUNNING")],
        [Seen(f"g{n}", "gateways", "stale") for n in range(5)],
        [Text("Training")],
    )
    assert [one.page for one in found] == ["#services", "rollouts/a", "runs/c", "gateways"]
    assert found[-1].what.values["names"] == "g0, g1, g2 …"


def shadowed(state: str, reason: str, pairs: int, dropped: int = 0) -> RolloutFacts:
    found = Shadowed(pairs, pairs // 100, 2, dropped, 0.3125, running=True, needed=200)
    return replace(facts(state, reason), shadow=found)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("state", "reason"), [("running", ""), *(("paused", reason) for reason in REASONS)])
def test_a_shadow_is_told_in_whole_sentences_in_every_state(language: str, state: str, reason: str) -> None:
    say = _speaker(translations_of(language), Numbers("zh_Hans_CN" if language == "zh" else "en"))
    for pairs, dropped in ((0, 0), (0, 70), (120, 0), (1200, 3)):
        told = [say(each) for each in story(shadowed(state, reason, pairs, dropped))]
        assert len(told) >= 2
        assert all(sentence and sentence[-1] in ".。" and "%(" not in sentence for sentence in told)


def test_a_shadow_reads_as_what_was_found_and_what_is_missing() -> None:
    english, chinese = (_speaker(translations_of(name), Numbers(name)) for name in ("en", "zh"))
    assert [english(each) for each in story(shadowed("running", "", 120))] == [
        "Running in shadow: v2 is shown requests and answers nobody.",
        "v2 was shown 120 requests: it answers 1 differently from v1 (largest difference 0.312) and fails on 2.",
        "80 more requests are needed before its first step.",
        "There is nothing for you to do now.",
    ]
    assert chinese(story(shadowed("running", "", 120))[0]) == "影子运行中：v2 只收到请求副本，不回答任何人。"
    assert english(story(shadowed("paused", "no_data", 0))[1]) == "No traffic came: v2 was shown no request."


def test_in_shadow_nobody_gets_the_candidate() -> None:
    assert shadowed("running", "", 10).share_now.part == 0
