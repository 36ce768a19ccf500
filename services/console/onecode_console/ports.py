"""Say what the console needs from outside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from onecode_console.domain.sessions import Session


class SessionStore(Protocol):
    """Where signed-in browsers and used login codes are remembered."""

    def begin(self, code_key: str, session: Session) -> None:
        """Consume a login code and store the session, both or nothing.

        Raises:
            ConflictError: The code was used before.
        """
        ...

    def find(self, key: str) -> Session | None:
        """Return the session stored under this key."""
        ...

    def touch(self, key: str, seen: datetime) -> None:
        """Write the time of last use."""
        ...

    def end(self, session: Session) -> None:
        """Forget a session; ending it again changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class AuditCopy:
    """A row of another service's audit trail, as it told of it."""

    event_id: str
    source: str
    sequence: int
    at: str
    principal: str
    action: str
    object: str
    decision: str


class AuditCopies(Protocol):
    """Where copies of all audit trails are kept."""

    def add(self, copies: list[AuditCopy]) -> None:
        """Store the copies; known ones are skipped."""
        ...

    def newest(self, limit: int, before: int) -> list[tuple[int, AuditCopy]]:
        """Return the newest copies with their numbers, older than ``before`` (0: from the end)."""
        ...


class Peers(Protocol):
    """The other services, by their gRPC contracts."""

    def call(self, service: str, method: str, request: Message, timeout_s: float = 20.0) -> Any:
        """Return the answer.

        Raises:
            OnecodeError: What the service raised, or that it does not answer.
        """
        ...

    def watch(self, service: str, method: str, request: Message) -> Any:
        """Return an answer stream: iterable, with ``cancel()``."""
        ...

    def request_class(self, service: str, method: str) -> type[Message]:
        """Return the message class that a method takes."""
        ...

    def response_class(self, service: str, method: str) -> type[Message]:
        """Return the message class that a method answers with."""
        ...


class Upstream(Protocol):
    """Another service's HTTP face."""

    async def forward(
        self, request: Request, path: str, headers: Mapping[str, str], keep: Iterable[str], *, body: bool
    ) -> Response:
        """Pass a request on and return the answer, holding neither body.

        Args:
            request: What came in; its method, and its body if there is one.
            path: Where to.
            headers: What to send; nothing of the request is sent but these.
            keep: Lower-case names of the answer's headers that may pass.
            body: Whether the request has a body to pass on.

        Raises:
            UnavailableError: The service does not answer.
        """
        ...

    def refuses(self, path: str, timeout_s: float) -> str | None:
        """Ask a path and return why it is not answered with 200, or None."""
        ...


class Credentials(Protocol):
    """Secrets that the operator keeps in files; each call reads the present content."""

    def api_token(self) -> str:
        """Return the bearer token of programs; empty if there is none."""
        ...

    def login_code(self) -> str:
        """Return the present login code; empty if there is none."""
        ...
