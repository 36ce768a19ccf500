"""Let people and programs in, and nobody else."""

from dataclasses import dataclass

from onecode_common.clock import Clock
from onecode_common.errors import ConflictError, UnauthenticatedError
from onecode_console.domain.sessions import Session, csrf_of, key_of, new_cookie, same_secret
from onecode_console.ports import Credentials, SessionStore

PERSON = "admin"
PROGRAM = "token:admin"
_SHORTEST_SECRET = 20


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sends a request.

    Attributes:
        subject: Name for rules and audit trails.
        csrf: What this visitor's forms must carry; empty for programs, which need none.
        session: The browser's session, if it is one.
    """

    subject: str
    csrf: str = ""
    session: Session | None = None


class Identity:
    """Signs people in by a one-time code, and recognises them and programs again."""

    def __init__(self, store: SessionStore, credentials: Credentials, clock: Clock) -> None:
        self._store = store
        self._credentials = credentials
        self._clock = clock

    def sign_in(self, code: str) -> str:
        """Return the cookie of a new session.

        Raises:
            UnauthenticatedError: The code is not the present one, or was used before.
        """
        expected = self._credentials.login_code()
        if len(expected) < _SHORTEST_SECRET or not same_secret(code, expected):
            message = "this login code is not valid"
            raise UnauthenticatedError(message, code="login.invalid", hint="ask the operator for a fresh login link")
        cookie, now = new_cookie(), self._clock.now()
        try:
            self._store.begin(key_of(code), Session(key_of(cookie), PERSON, now, now))
        except ConflictError as error:
            message = "this login code was used before"
            raise UnauthenticatedError(
                message, code="login.used", hint="ask the operator for a fresh login link"
            ) from error
        return cookie

    def sign_out(self, visitor: Visitor) -> None:
        """End the visitor's session, if it is a browser."""
        if visitor.session is not None:
            self._store.end(visitor.session)

    def by_cookie(self, cookie: str, *, active: bool = True) -> Visitor | None:
        """Return who holds this cookie, or None when there is no such session or it is over.

        Args:
            cookie: As the browser sent it.
            active: The person did something; a page that refreshes itself does not keep its session alive.
        """
        session = self._store.find(key_of(cookie))
        now = self._clock.now()
        if session is None or not session.alive(now):
            return None
        if active and session.wants_touch(now):
            self._store.touch(session.key, now)
        return Visitor(session.subject, csrf_of(cookie), session)

    def by_token(self, token: str) -> Visitor:
        """Return who holds this bearer token.

        Raises:
            UnauthenticatedError: Nobody does.
        """
        expected = self._credentials.api_token()
        if len(expected) < _SHORTEST_SECRET or not same_secret(token, expected):
            message = "this bearer token is not valid: send the content of the API token file"
            raise UnauthenticatedError(message, code="auth.invalid")
        return Visitor(PROGRAM)

    def still_alive(self, visitor: Visitor) -> bool:
        """Return whether a visitor of a long answer may go on listening."""
        if visitor.session is None:
            return True
        session = self._store.find(visitor.session.key)
        return session is not None and session.alive(self._clock.now())
