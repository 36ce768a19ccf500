"""A tenant may do what its entry says, and nothing of it is lost or gained by a reload."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import (
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from onecode_serving.access.access import Access, is_loopback
from onecode_serving.access.grant import MODELS, Grant
from onecode_serving.domain.names import unknown_model
from onecode_serving.domain.rate import Bucket, Rate, full, take
from onecode_serving.domain.tenants import parse_tenants

LOCAL = ("127.0.0.1:8000", "[::1]:8001", "localhost:8002")


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


CLOCK = HandClock()


def write(path: Path, *tenants: dict[str, Any], **more: Any) -> Path:
    """Replace the file as a careful program does: another file under the same name."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"schema": 1, "tenants": list(tenants), **more}))
    fresh.replace(path)
    return path


def access(tokens: Path | None = None, **more: Any) -> Access:
    settings: dict[str, Any] = {"anonymous": False, "addresses": LOCAL, "clock": CLOCK, **more}
    return Access(tokens_file=tokens, **settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tenants.json"


@pytest.mark.parametrize("address", ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "example.org:1", "127.0.0.1.example.org:1"])
def test_anonymous_prediction_is_refused_where_others_can_reach_it(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(InvalidError, match="others can reach"):
        access(anonymous=True, addresses=(*LOCAL, address))


def test_anonymous_prediction_needs_no_token_on_loopback_and_gives_no_right_to_change_anything() -> None:
    grant = access(anonymous=True).admit(None, None, 0.0)
    assert (grant.free, grant.until) == (True, float("inf"))
    grant.check("infer", "anything")
    with pytest.raises(DeniedError):
        grant.check("admin", "anything")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic right", "right", "Bearer wrong", "Bearer right ", "Bearer a.b.c"]
)
def test_a_caller_without_a_known_token_is_refused(tmp_path: Path, header: str | None) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(sha("right") + "\n" + sha("other"))
    closed = access(tokens)
    with pytest.raises(UnauthenticatedError):
        closed.admit(header)
    assert closed.admit("Bearer right").free
    assert closed.admit("bearer right").principal != closed.admit("Bearer other").principal


def test_without_a_token_file_nobody_gets_in() -> None:
    with pytest.raises(UnauthenticatedError):
        access().admit("Bearer " + sha(""))


@pytest.mark.parametrize(
    "content",
    [
        "a token in the clear",
        "{",
        "{}",
        '{"schema": 2, "tenants": []}',
        '{"schema": 1, "tenants": [], "secret_name": true}',
        '{"schema": 1, "tenants": [], "secret_names": 1}',
        '{"schema": 1, "tenants": [{}]}',
        '{"schema": 1, "tenants": [{"principal": "a b"}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "key": []}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "keys": ["short"]}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "keys": "' + sha("a") + '"}]}',
        '{"schema": 1, "tenants": [{"principal": "a"}, {"principal": "a"}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "verbs": ["write"]}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "models": "*"}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "rate": 5}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "rate": {"per_s": 0}}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "rate": {"per_s": 1, "burst": 0}}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "rate": {"per_s": NaN}}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "concurrency": true}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "expires": "tomorrow"}]}',
        '{"schema": 1, "tenants": [{"principal": "a", "expires": "2027-01-01T00:00:00"}]}',
    ],
)
def test_a_file_that_does_not_say_who_may_what_stops_the_start(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InvalidError, match=r"tenants\.json"):
        access(path)


def test_a_missing_file_stops_the_start(path: Path) -> None:
    with pytest.raises(InvalidError, match="cannot read"):
        access(path)


def test_two_tenants_cannot_share_a_key() -> None:
    entries = [{"principal": name, "keys": [sha("same")]} for name in ("a", "b")]
    with pytest.raises(InvalidError, match="two tenants"):
        parse_tenants(json.dumps({"schema": 1, "tenants": entries}))


def test_a_tenant_asks_its_models_only(path: Path) -> None:
    entry = {"principal": "line-3", "keys": [sha("k")], "models": ["press-*", "oven"], "verbs": ["infer"]}
    grant = access(write(path, entry)).admit("Bearer k")
    assert (grant.principal, grant.free) == ("line-3", False)
    for model in ("press-", "press-7", "oven"):
        grant.check("infer", model)
    for model in ("oven2", "pres", "Oven", "oven\n", "*"):
        with pytest.raises(DeniedError, match="may not use"):
            grant.check("infer", model)
    for verb in ("read", "admin"):
        with pytest.raises(DeniedError, match="may not"):
            grant.check(verb, "oven")
    grant.check("health", "")


def test_secret_names_look_like_models_that_are_not_there(path: Path) -> None:
    entry = {"principal": "a", "keys": [sha("k")], "models": ["mine"]}
    grant = access(write(path, entry, secret_names=True)).admit("Bearer k")
    with pytest.raises(NotFoundError) as refusal:
        grant.check("infer", "theirs")
    assert refusal.value.message == unknown_model("theirs").message
    assert (grant.knows("mine"), grant.knows("theirs")) == (True, False)


def test_no_models_means_none_and_a_star_means_all(path: Path) -> None:
    none = {"principal": "none", "keys": [sha("n")], "models": []}
    every = {"principal": "every", "keys": [sha("e")], "models": ["a", "*"]}
    closed = access(write(path, none, every))
    with pytest.raises(DeniedError):
        closed.admit("Bearer n").check("infer", "a")
    assert closed.admit("Bearer e").free


def test_a_rate_is_kept_for_each_model_and_says_when_to_come_again(path: Path) -> None:
    closed = access(write(path, {"principal": "a", "keys": [sha("k")], "rate": {"per_s": 2, "burst": 3}}))
    grant = closed.admit("Bearer k", None, 0.0)
    for _ in range(3):
        grant.take("m", 0.0)
    with pytest.raises(ExhaustedError) as refusal:
        grant.take("m", 0.0)
    assert (refusal.value.code, refusal.value.params["retry_after_ms"]) == ("limit.rate", "501")
    grant.take("other", 0.0)
    grant.take("m", 0.5)
    with pytest.raises(ExhaustedError):
        closed.admit("Bearer k", None, 0.5).take("m", 0.5)
    assert closed.refused() == {"a": 2}


def test_requests_in_hand_are_bounded_and_given_back(path: Path) -> None:
    grant = access(write(path, {"principal": "a", "keys": [sha("k")], "concurrency": 2})).admit("Bearer k")
    grant.take("m", 0.0)
    grant.take("m", 0.0)
    with pytest.raises(ExhaustedError, match="in hand"):
        grant.take("m", 0.0)
    grant.give("m")
    grant.take("m", 0.0)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_together_never_allow_more_than_one_would(path: Path, processes: int) -> None:
    write(path, {"principal": "a", "keys": [sha("k")], "rate": {"per_s": 3, "burst": 7}, "concurrency": 5})
    closed = [access(path, processes=processes) for _ in range(processes)]
    grants = [one.admit("Bearer k", None, 0.0) for one in closed]
    in_hand = [sum(let_pass(grant, 0.0) for _ in range(9)) for grant in grants]
    assert 5 - processes < sum(in_hand) <= 5
    for grant, number in zip(grants, in_hand, strict=True):
        for _ in range(number):
            grant.give("m")
    passed = sum(in_hand)
    for step in range(101):
        for grant in grants:
            while let_pass(grant, step / 10):
                passed += 1
                grant.give("m")
    assert 7 + 3 * 10 - processes <= passed <= 7 + 3 * 10


@pytest.mark.parametrize("limit", [{"rate": {"per_s": 100, "burst": 3}}, {"concurrency": 3}])
def test_a_limit_that_cannot_be_divided_stops_the_start(path: Path, limit: dict[str, Any]) -> None:
    write(path, {"principal": "few", "keys": [sha("k")], **limit})
    access(path, processes=3)
    with pytest.raises(InvalidError, match="few: 4 processes need"):
        access(path, processes=4)


def let_pass(grant: Grant, now: float) -> bool:
    try:
        grant.take("m", now)
    except ExhaustedError:
        return False
    return True


def test_a_reload_changes_rules_and_forgets_no_usage(path: Path) -> None:
    entry = {"principal": "a", "keys": [sha("k")], "concurrency": 1}
    closed = access(write(path, entry))
    first = closed.admit("Bearer k")
    first.take("m", 0.0)
    write(path, {**entry, "models": ["m"]})
    second = closed.admit("Bearer k")
    assert first.until < 0.0 < second.until
    with pytest.raises(ExhaustedError):
        second.take("m", 0.0)
    first.give("m")
    second.take("m", 0.0)
    write(path)
    with pytest.raises(UnauthenticatedError):
        closed.admit("Bearer k")


def test_a_broken_change_leaves_the_last_good_rules_in_force_and_is_told(path: Path) -> None:
    closed = access(write(path, {"principal": "a", "keys": [sha("k")]}))
    path.write_text("{ half")
    assert closed.admit("Bearer k").principal == "a"
    assert closed.trouble is not None
    assert "half" not in closed.trouble
    path.unlink()
    assert closed.admit("Bearer k").principal == "a"
    write(path, {"principal": "b", "keys": [sha("k")]})
    assert (closed.admit("Bearer k").principal, closed.trouble) == ("b", None)


def test_the_same_stamp_of_another_file_is_noticed(path: Path) -> None:
    closed = access(write(path, {"principal": "a", "keys": [sha("k")]}))
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    write(path, {"principal": "b", "keys": [sha("k")]})
    os.utime(path, ns=times)
    assert closed.admit("Bearer k").principal == "b"


def test_an_expired_key_is_refused_and_a_grant_ends_with_it(path: Path) -> None:
    clock = HandClock()
    soon = (clock.now() + timedelta(seconds=60)).isoformat()
    closed = access(write(path, {"principal": "a", "keys": [sha("k")], "expires": soon}), clock=clock)
    assert closed.admit("Bearer k", None, 1000.0).until == pytest.approx(1060.0)
    clock.seconds += 61
    with pytest.raises(UnauthenticatedError, match="expired"):
        closed.admit("Bearer k")


def test_a_certificate_is_a_credential_and_a_bad_token_beside_it_is_none(path: Path) -> None:
    closed = access(write(path, {"principal": "press", "certificates": ["dns:press-3"]}))
    assert closed.admit(None, "dns:press-3").principal == "press"
    for authorization, certificate in ((None, "dns:press-4"), ("Bearer x", "dns:press-3"), (None, None)):
        with pytest.raises(UnauthenticatedError):
            closed.admit(authorization, certificate)


def test_a_signed_token_is_verified_once_and_then_remembered_for_a_while(path: Path) -> None:
    asked: list[str] = []

    def verify(token: str) -> str | None:
        asked.append(token)
        return "console" if token == "a.b.c" else None

    closed = access(write(path, {"principal": "console", "concurrency": 5}), verify=verify)
    grants = [closed.admit("Bearer a.b.c", None, now) for now in (0.0, 1.0, 29.9)]
    assert (asked, {grant.until for grant in grants}) == (["a.b.c"], {30.0})
    assert (grants[0].principal, grants[0].free) == ("console", False), "its limits are those of its entry"
    closed.admit("Bearer a.b.c", None, 31.0)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            closed.admit("Bearer x.y.z", None, 31.0)
    assert asked == ["a.b.c", "a.b.c", "x.y.z", "x.y.z"]


def test_a_verdict_of_plain_yes_is_some_service() -> None:
    assert access(verify=lambda _: True).admit("Bearer a.b.c").principal == "service"


def test_names_from_the_wire_do_not_grow_the_meters(path: Path) -> None:
    grant = access(write(path, {"principal": "a", "keys": [sha("k")], "concurrency": MODELS * 4})).admit("Bearer k")
    for number in range(MODELS * 2):
        grant.take(f"m{number}", 0.0)
    assert len(grant._meters._by_model) <= MODELS + 1


@given(
    st.floats(0.1, 1e4),
    st.floats(1, 1e4),
    st.lists(st.floats(0, 10), max_size=60),
)
def test_no_pattern_of_asking_gets_more_than_burst_and_rate(per_s: float, burst: float, pauses: list[float]) -> None:
    rate = Rate(per_s, burst)
    now, got = 0.0, 0
    bucket: Bucket = full(rate, now)
    for pause in pauses:
        now += pause
        for _ in range(3):
            bucket, wait_s = take(rate, bucket, now)
            got += wait_s == 0.0
            assert 0 <= bucket.tokens <= burst
            assert wait_s == 0.0 or take(rate, bucket, now + wait_s * (1 + 1e-6))[1] < 1e-6
    assert got <= burst + per_s * now + 1e-6
