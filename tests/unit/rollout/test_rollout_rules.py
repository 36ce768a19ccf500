"""Plans, states, policies, sentences: the rules that an operator relies on."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.assignment import BUCKETS, bucket, shard
from onecode_common.errors import InvalidError, PreconditionError, UnauthenticatedError
from onecode_rollout.domain.assignment import exact_width
from onecode_rollout.domain.compatibility import Tensor, Version, differences
from onecode_rollout.domain.controller import RULES_BY_STATE
from onecode_rollout.domain.decision import record, replay_agrees
from onecode_rollout.domain.enrolment import check_source_name, format_token, make_token, token_id
from onecode_rollout.domain.evaluation import Interval, Question, answer
from onecode_rollout.domain.plan import Budget, Plan, Preset, Step, completed
from onecode_rollout.domain.planner import clean_requests_needed, estimate, requests_needed
from onecode_rollout.domain.policy import Entry, SegmentPolicy, Times, changed, document, split_arms, whole
from onecode_rollout.domain.states import COMMANDS, STATES, TABLE, TERMINAL, allowed_commands, already, following

V1, V2 = ("sha256:" + "1" * 64, 1), ("sha256:" + "2" * 64, 2)
ASKED = Plan(model="shuttle", candidate=V2[0], segments=("cloud",), metrics=())
UNSET = Preset("", 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)


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
def test_a_unit_has_the_bucket_that_gateways_compute(salt: str, unit: str, expected: int) -> None:
    assert bucket(salt, unit) == expected


def test_a_gateway_reports_under_its_shard() -> None:
    assert (shard("gw-0001"), shard("gw-0002")) == (1, 4)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40, unique=True), st.integers(1, BUCKETS - 1))
def test_a_wave_holds_the_wanted_number_of_members(members: list[str], share: int) -> None:
    width = exact_width("r", members, share)
    chosen = sum(bucket("r", member) < width for member in members)
    wanted = max(1, -(-len(members) * share // BUCKETS))
    assert chosen >= wanted
    assert sum(bucket("r", member) < width - 1 for member in members) < wanted


@given(st.integers(1, BUCKETS), st.integers(1, BUCKETS), st.integers(0, BUCKETS - 1))
def test_widening_takes_nobody_back(a: int, b: int, unit: int) -> None:
    narrow, wide = sorted((a, b))

    def serves(width: int) -> str:
        return next(arm.role for arm in split_arms(V1, V2, width) if arm.start <= unit < arm.end)

    if serves(narrow) == "candidate":
        assert serves(wide) == "candidate"


def policy_with(entry: Entry | None) -> SegmentPolicy:
    return changed(SegmentPolicy("line-1", 1, Times(), {}), "shuttle", entry)


def entry(width: int) -> Entry:
    return Entry("shuttle", "r_1", "request", split_arms(V1, V2, width), 1800, (V1[0],))


def test_a_wider_ramp_is_a_new_generation_and_the_same_revision() -> None:
    first = policy_with(entry(1000))
    second = changed(first, "shuttle", entry(5000))
    third = changed(second, "shuttle", replace(entry(5000), arms=whole(V2, "candidate")))
    fourth = changed(third, "shuttle", replace(entry(5000), arms=whole(V2, "stable")))
    pairs = [(one.generation, one.entries["shuttle"].revision) for one in (first, second, third, fourth)]
    assert pairs == [(2, 2), (3, 2), (4, 4), (5, 4)]


def test_the_same_wish_changes_nothing() -> None:
    first = policy_with(entry(1000))
    assert changed(first, "shuttle", entry(1000)) is first
    assert changed(first, "other", None) is first
    assert changed(first, "shuttle", None).entries == {}


def test_a_policy_is_canonical_and_complete() -> None:
    content = document(policy_with(entry(1000)), "default", 1_700_000_000.9)
    read = json.loads(content)
    (model,) = read["models"]
    assert [(arm["from"], arm["to"], arm["role"]) for arm in model["arms"]] == [
        (0, 1000, "candidate"),
        (1000, 10_000, "stable"),
    ]
    assert (read["issued"], read["critical"], model["salt"], model["hold"]) == (
        "2023-11-14T22:13:20Z",
        [],
        "r_1",
        False,
    )
    assert content == json.dumps(read, sort_keys=True, separators=(",", ":")).encode()


def test_a_plan_is_completed_with_defaults() -> None:
    plan = completed(ASKED, UNSET)
    assert [step.share for step in plan.steps] == [500, 1000, 2500, 5000, 10_000]
    assert (plan.preset.min_observe_s, plan.preset.floor, plan.on_bad) == (600, 0.0005, "rollback")
    assert completed(ASKED, replace(UNSET, name="fast", probation_s=7)).preset.probation_s == 7


def test_presets_change_times_and_never_statistics() -> None:
    found = {completed(ASKED, replace(UNSET, name=name)).preset.params for name in ("cautious", "standard", "fast")}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "Shuttle!"}, "name.invalid"),
        ({"candidate": "sha256:12"}, "digest.invalid"),
        ({"segments": ()}, "plan.segments"),
        ({"segments": ("../x",)}, "name.invalid"),
        ({"unit": "9"}, "plan.unit"),
        ({"steps": (Step(0),)}, "plan.steps"),
        ({"steps": (Step(10_001),)}, "plan.steps"),
        ({"steps": (Step(5000), Step(1000))}, "plan.steps"),
        ({"steps": (Step(100), Step(100))}, "plan.steps"),
        ({"steps": (Step(100, min_observe_s=-1),)}, "plan.steps"),
        ({"steps": tuple(Step(share) for share in range(1, 30))}, "plan.steps"),
        ({"metrics": (Budget("latency"),)}, "plan.metric"),
        ({"metrics": (Budget("errors"), Budget("errors"))}, "plan.metric"),
        ({"metrics": (Budget("errors", on_bad="ignore"),)}, "plan.on_bad"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(change: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        completed(replace(ASKED, **change), UNSET)  # type: ignore[arg-type]
    assert refused.value.code == code


@pytest.mark.parametrize(
    "change",
    [{"name": "turbo"}, {"alpha": float("nan")}, {"alpha": 0.9}, {"beta": -1.0}, {"r1": 0.5}, {"interval_s": -1},
     {"limit_s": 1 << 40}, {"floor": 0.7}],
)  # fmt: skip
def test_a_preset_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidError) as refused:
        completed(ASKED, replace(UNSET, **change))  # type: ignore[arg-type]
    assert refused.value.code == "plan.preset"


def test_the_table_knows_every_state_and_leaves_no_dead_end() -> None:
    sources = {state for state, _ in TABLE}
    assert sources | TERMINAL == set(STATES)
    assert not sources & TERMINAL
    reached = {"draft"}
    while True:
        more = {TABLE[key] for key in TABLE if key[0] in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(STATES)
    assert set(RULES_BY_STATE) <= sources


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, sorted({event for _, event in TABLE}))))
def test_an_event_leads_on_or_is_refused_with_the_state_named(state: str, event: str) -> None:
    if (state, event) in TABLE:
        assert following(state, event) in STATES
        return
    with pytest.raises(PreconditionError, match=state) as refused:
        following(state, event)
    assert refused.value.code == "rollout.state"


def test_each_command_is_answered_again_where_it_led() -> None:
    for command, events in COMMANDS.items():
        for (state, event), target in TABLE.items():
            if event in events and target != state:
                assert already(command, target, "operator"), (command, target)
    assert not already("pause", "paused", "no_data")


def test_nobody_can_ask_anything_of_what_has_ended() -> None:
    assert all(allowed_commands(state) == () for state in TERMINAL)
    assert set(allowed_commands("running")) == {"pause", "promote", "rollback", "abort"}


def test_the_planner_gives_the_pinned_numbers() -> None:
    assert requests_needed(0.05, 0.005, 0.05, 2.0, 1.1) == pytest.approx(43_445, abs=1)
    assert requests_needed(0.01, 0.005, 0.5, 1.0, 1.5) == pytest.approx(45_124, abs=1)
    assert [clean_requests_needed(limit, 1 / 40) for limit in (0.01, 0.005, 0.002)] == [507, 1016, 2545]


@pytest.mark.parametrize(("per_second", "pays"), [(0.0, True), (0.5, False), (100.0, True)])
def test_a_plan_says_before_the_start_whether_traffic_can_pay(per_second: float, *, pays: bool) -> None:
    found = estimate((0.05, 0.5), Preset().params, 14_400, per_second, 0.005)
    assert found.traffic_can_pay is pays
    assert found.sentence.endswith(".")
    assert ("longer than the limit" in found.sentence) is (not pays)


def test_an_enrolment_token_has_the_documented_form() -> None:
    expected = "ock_p7f3k2m9xq4d_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf_3EsRjs"
    assert format_token("ock", "p7f3k2m9xq4d", bytes(range(32))) == expected


@given(st.binary(min_size=44, max_size=44), st.integers(0, 66))
def test_a_mistyped_token_never_reaches_the_database(random: bytes, place: int) -> None:
    chunks = iter((random[:12], random[12:]))
    token, identifier = make_token(lambda _: next(chunks))
    assert token_id(token) == identifier
    wrong = token[:place] + ("x" if token[place] != "x" else "y") + token[place + 1 :]
    with pytest.raises(UnauthenticatedError):
        token_id(wrong)


@pytest.mark.parametrize("name", ["cloud", "a.b", "A", "", "a" * 64, "gw>1", "gw *"])
def test_a_name_that_would_not_fit_a_subject_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        check_source_name(name, "gateway")


def test_inputs_are_compared_by_name_type_and_shape() -> None:
    stable = Version("shuttle", 1, V1[0], (Tensor("features", "FP32", (-1, 9)), Tensor("categories", "BYTES", (-1, 2))))
    assert differences(stable, replace(stable, release=2)) == []
    changed_inputs = (
        Tensor("features", "FP64", (-1, 9)),
        Tensor("categories", "BYTES", (-1, 3)),
        Tensor("x", "FP32", (1,)),
    )
    assert differences(stable, replace(stable, inputs=changed_inputs)) == [
        "input categories has shape [-1, 3], was [-1, 2]",
        "input features is FP64, was FP32",
        "input x is new",
    ]


counts = st.integers(0, 300)


@given(
    st.lists(st.tuples(counts, counts, counts, counts), max_size=6),
    st.integers(0, 30),
    st.integers(0, 3),
)
def test_a_record_replays_to_the_same_bits(rows: list[tuple[int, int, int, int]], outcomes: int, step: int) -> None:
    cells = [("gw-1", n_c, min(k_c, n_c), n_b, min(k_b, n_b)) for n_c, k_c, n_b, k_b in rows]
    question = Question(
        intervals=tuple(Interval(60 * index, (cell,)) for index, cell in enumerate(cells)),
        params=Preset().params,
        promotable=True,
        step=step,
        outcomes=outcomes,
        failures=outcomes // 2,
        windows=((10, 100, 0.1),),
    )
    text = record({"rollout": "r"}, question, answer(question)).decode()
    assert replay_agrees(text)
    forged = json.loads(text)
    forged["answer"]["worse"] += 0.5
    assert not replay_agrees(json.dumps(forged))
