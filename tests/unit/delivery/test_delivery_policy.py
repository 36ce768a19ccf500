"""Policies and manifests: what is understood is exact, and what is not is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import InvalidError
from onecode_delivery.manifest import parse_manifest
from onecode_delivery.policy import BUCKETS, parse_policy

A, B = ("sha256:" + letter * 64 for letter in "ab")


def arm(start: int, end: int, digest: str = A, role: str = "stable") -> dict[str, Any]:
    return {"from": start, "to": end, "release": 1, "digest": digest, "role": role}


def document(**changes: Any) -> dict[str, Any]:
    model = {
        "name": "shuttle", "rollout": "r_1", "revision": 3, "unit": "request", "salt": "r_1",
        "arms": [arm(1000, BUCKETS), arm(0, 1000, B, "candidate")], "mode": "active", "probation_s": 2.5,
        "rollback_to": [A], "floor": 1, "hold": False,
    }  # fmt: skip
    whole = {
        "schema": 1, "tenant": "default", "segment": "line-1", "generation": 7, "issued": "2026-11-21T10:00:00Z",
        "poll_s": 30, "report_s": 0.5, "interval_s": 60, "critical": [], "models": [model],
    }  # fmt: skip
    return {**whole, **changes}


def parse(whole: Any) -> Any:
    content = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    return parse_policy(content, "default", "line-1")


def code_of(whole: Any) -> str:
    with pytest.raises(InvalidError) as refusal:
        parse(whole)
    return refusal.value.code


def test_a_policy_says_what_is_served() -> None:
    policy = parse(document())
    model = policy.models[0]
    assert (policy.generation, policy.poll_s, policy.report_s, policy.interval_s) == (7, 30.0, 0.5, 60)
    assert [(one.start, one.end, one.role) for one in model.arms] == [(0, 1000, "candidate"), (1000, BUCKETS, "stable")]
    assert (model.digests, model.probation_s, model.rollback_to) == ({A, B}, 2.5, (A,))


def test_unknown_fields_are_ignored_unless_they_bind() -> None:
    assert parse(document(colour="red")).generation == 7
    assert code_of(document(colour="red", critical=["colour"])) == "sync.critical"
    assert parse(document(critical=["generation", "arms"])).generation == 7
    assert code_of(document(critical="generation")) == "sync.critical"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "sync.policy"),
        (b"[]", "sync.policy"),
        (b"{", "sync.policy"),
        (b'{"schema":1,"schema":1}', "sync.policy"),
        (b'{"schema":NaN}', "sync.policy"),
        (b"[" * 100_000, "sync.policy"),
        (b"\xff\xfe", "sync.policy"),
        (b" " * (2 << 20), "sync.too_large"),
        (b"{}", "sync.schema"),
    ],
)
def test_bytes_that_are_no_policy_are_refused(content: bytes, code: str) -> None:
    assert code_of(content) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": "7"}, {"generation": 7.0}, {"generation": True}, {"generation": 1 << 70}, {"generation": 0},
        {"issued": "yesterday"}, {"issued": "2026-11-21T10:00:00"}, {"poll_s": -1}, {"poll_s": 1e12}, {"models": {}},
        {"models": [None]}, {"models": [{}] * 300}, {"tenant": None}, {"interval_s": 0},
    ],
)  # fmt: skip
def test_values_of_a_wrong_kind_are_refused(changes: dict[str, Any]) -> None:
    assert code_of(document(**changes)) == "sync.policy"


def test_a_model_that_occurs_twice_is_refused() -> None:
    whole = document()
    assert code_of({**whole, "models": whole["models"] * 2}) == "sync.policy"


@given(st.lists(st.tuples(st.integers(-5, BUCKETS + 5), st.integers(-5, BUCKETS + 5)), min_size=1, max_size=4))
def test_arms_are_accepted_only_if_every_bucket_has_exactly_one(ranges: list[tuple[int, int]]) -> None:
    whole = document()
    whole["models"][0]["arms"] = [arm(start, end) for start, end in ranges]
    exact = (
        all(sum(start <= number < end for start, end in ranges) == 1 for number in (0, 1, 4_999, 9_998, 9_999))
        and sum(max(end - start, 0) for start, end in ranges) == BUCKETS
    )
    try:
        model = parse(whole).models[0]
    except InvalidError:
        return
    assert exact
    assert sum(one.end - one.start for one in model.arms) == BUCKETS


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers(content: bytes) -> None:
    for read in (parse, parse_manifest):
        with pytest.raises(InvalidError) as refusal:
            read(content)
        assert refusal.value.code.startswith("sync.")


def with_shadow(shadow: Any) -> dict[str, Any]:
    whole = document()
    whole["models"][0] |= {"arms": [arm(0, BUCKETS)], "shadow": shadow}
    return whole


def test_a_shadow_is_held_and_answers_nobody() -> None:
    model = parse(with_shadow({"release": 2, "digest": B, "of a later release": 1})).models[0]
    assert (model.shadow.start, model.shadow.end, model.shadow.role) == (0, 0, "shadow")
    assert (model.digests, model.held) == ({A}, {A, B})
    assert parse(with_shadow(None)).models[0].shadow is None
    assert parse(document()).models[0].held == {A, B}


@pytest.mark.parametrize(
    ("shadow", "code"),
    [
        ({"release": 2}, "sync.policy"),
        ({"release": 0, "digest": B}, "sync.policy"),
        ({"release": 2, "digest": "b"}, "sync.policy"),
        ([], "sync.policy"),
        (B, "sync.policy"),
    ],
)
def test_a_shadow_that_cannot_be_read_refuses_the_policy(shadow: Any, code: str) -> None:
    assert code_of(with_shadow(shadow)) == code


def test_a_shadow_below_the_floor_is_refused() -> None:
    whole = with_shadow({"release": 2, "digest": B})
    whole["models"][0]["floor"] = 3
    whole["models"][0]["arms"][0]["release"] = 3
    assert code_of(whole) == "sync.floor"
