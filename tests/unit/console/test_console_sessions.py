"""A session ends by itself, and its form value cannot be guessed."""

from datetime import UTC, datetime, timedelta

import pytest

from onecode_common.errors import ConflictError, UnauthenticatedError
from onecode_console.domain.sessions import Session, csrf_of, key_of, new_cookie, same_secret
from onecode_console.pages.entry import own_page
from onecode_console.usecases import PROGRAM, Identity

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TOKEN = "a-token-of-many-characters"
CODE = "a-login-code-of-many-characters"


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Memory:
    """Sessions in memory, with the promise of the port."""

    def __init__(self) -> None:
        self.codes: set[str] = set()
        self.sessions: dict[str, Session] = {}
        self.touched = 0

    def begin(self, code_key: str, session: Session) -> None:
        if code_key in self.codes:
            raise ConflictError("used")
        self.codes.add(code_key)
        self.sessions[session.key] = session

    def find(self, key: str) -> Session | None:
        return self.sessions.get(key)

    def touch(self, key: str, seen: datetime) -> None:
        self.touched += 1
        old = self.sessions[key]
        self.sessions[key] = Session(old.key, old.subject, old.created, seen)

    def end(self, session: Session) -> None:
        self.sessions.pop(session.key, None)


class Secrets:
    def __init__(self, token: str = TOKEN, code: str = CODE) -> None:
        self.token, self.code = token, code

    def api_token(self) -> str:
        return self.token

    def login_code(self) -> str:
        return self.code


def signed_in() -> tuple[Identity, Memory, Hand, str]:
    store, clock = Memory(), Hand()
    identity = Identity(store, Secrets(), clock)
    return identity, store, clock, identity.sign_in(CODE)


def test_the_cookie_is_stored_only_as_its_digest() -> None:
    _, store, _, cookie = signed_in()
    assert list(store.sessions) == [key_of(cookie)]
    assert cookie not in repr(store.sessions)


def test_a_code_signs_in_once() -> None:
    identity, *_ = signed_in()
    with pytest.raises(UnauthenticatedError) as refused:
        identity.sign_in(CODE)
    assert refused.value.code == "login.used"


@pytest.mark.parametrize("code", ["", "short", "another-code-of-many-characters", "\udc80"])
def test_another_code_signs_nobody_in(code: str) -> None:
    with pytest.raises(UnauthenticatedError):
        Identity(Memory(), Secrets(), Hand()).sign_in(code)


@pytest.mark.parametrize("code", ["", "short"])
def test_an_empty_or_short_secret_of_the_operator_signs_nobody_in(code: str) -> None:
    with pytest.raises(UnauthenticatedError):
        Identity(Memory(), Secrets(code=code), Hand()).sign_in(code)
    with pytest.raises(UnauthenticatedError):
        Identity(Memory(), Secrets(token=code), Hand()).by_token(code)


def test_a_session_ends_after_half_an_hour_of_silence() -> None:
    identity, _, clock, cookie = signed_in()
    clock.time = START + timedelta(minutes=29)
    assert identity.by_cookie(cookie) is not None
    clock.time += timedelta(minutes=31)
    assert identity.by_cookie(cookie) is None


def test_a_session_ends_after_twelve_hours_of_work() -> None:
    identity, _, clock, cookie = signed_in()
    for _ in range(35):
        clock.time += timedelta(minutes=20)
        assert identity.by_cookie(cookie) is not None
    clock.time = START + timedelta(hours=12)
    assert identity.by_cookie(cookie) is None


def test_a_page_that_refreshes_itself_does_not_keep_its_session() -> None:
    identity, store, clock, cookie = signed_in()
    for _ in range(29):
        clock.time += timedelta(minutes=1)
        assert identity.by_cookie(cookie, active=False) is not None
    assert store.touched == 0
    clock.time += timedelta(minutes=1)
    assert identity.by_cookie(cookie, active=False) is None


def test_the_time_of_last_use_is_written_once_a_minute() -> None:
    identity, store, clock, cookie = signed_in()
    for _ in range(30):
        clock.time += timedelta(seconds=10)
        identity.by_cookie(cookie)
    assert store.touched == 5


def test_sign_out_ends_the_session_for_long_answers_too() -> None:
    identity, _, _, cookie = signed_in()
    visitor = identity.by_cookie(cookie)
    assert visitor is not None
    assert identity.still_alive(visitor)
    identity.sign_out(visitor)
    assert not identity.still_alive(visitor)
    assert identity.by_cookie(cookie) is None


def test_a_program_is_known_by_its_token_and_needs_no_form_value() -> None:
    visitor = Identity(Memory(), Secrets(), Hand()).by_token(TOKEN)
    assert (visitor.subject, visitor.csrf, visitor.session) == (PROGRAM, "", None)


def test_form_values_differ_by_session() -> None:
    first, second = new_cookie(), new_cookie()
    assert csrf_of(first) != csrf_of(second)
    assert csrf_of(first) != key_of(first)
    assert same_secret(csrf_of(first), csrf_of(first))


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/p/default/rollouts/r_1?tab=x", "/p/default/rollouts/r_1?tab=x"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/p\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
    ],
)
def test_sign_in_leads_to_pages_of_this_console_only(asked: str, goes: str) -> None:
    assert own_page(asked) == goes
