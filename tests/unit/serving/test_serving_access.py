"""Nobody predicts without a credential, unless that is set and only this machine can ask."""

import hashlib
from pathlib import Path

import pytest

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError, UnauthenticatedError
from onecode_serving.faces.access import Access, is_loopback

LOCAL = ("127.0.0.1:8000", "[::1]:8001", "localhost:8002")


def access(tokens: Path | None = None, **more: object) -> Access:
    settings: dict[str, object] = {"anonymous": False, "addresses": LOCAL, "clock": SystemClock(), **more}
    return Access(tokens_file=tokens, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "example.org:1", "127.0.0.1.example.org:1"])
def test_anonymous_prediction_is_refused_where_others_can_reach_it(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(InvalidError, match="others can reach"):
        access(anonymous=True, addresses=(*LOCAL, address))


def test_anonymous_prediction_needs_no_token_on_loopback() -> None:
    access(anonymous=True).check(None)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic right", "right", "Bearer wrong", "Bearer right "]
)
def test_a_caller_without_a_known_token_is_refused(tmp_path: Path, header: str | None) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(hashlib.sha256(b"right").hexdigest())
    closed = access(tokens)
    with pytest.raises(UnauthenticatedError):
        closed.check(header)
    closed.check("Bearer right")
    closed.check("bearer right")


def test_without_a_token_file_nobody_gets_in() -> None:
    with pytest.raises(UnauthenticatedError):
        access().check("Bearer " + hashlib.sha256(b"").hexdigest())


def test_a_token_file_with_something_else_stops_the_start(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a token in the clear")
    with pytest.raises(InvalidError, match="something else"):
        access(tokens)
    with pytest.raises(InvalidError, match="cannot read"):
        access(tmp_path / "missing")


def test_a_signed_token_is_verified_once_and_then_remembered() -> None:
    asked: list[str] = []

    def verify(token: str) -> bool:
        asked.append(token)
        return token == "a.b.c"

    closed = access(verify=verify)
    for _ in range(3):
        closed.check("Bearer a.b.c")
    assert asked == ["a.b.c"]
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            closed.check("Bearer x.y.z")
    assert asked == ["a.b.c", "x.y.z", "x.y.z"]
