"""Speak REST with one server: bearer token, retries where a repetition is harmless, its refusals as our errors."""

import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)

PREFIX = "/api/v1"
PATIENCE_S = 10.0
"""How long a server that restarts is waited for."""

_ANSWER_S = 130.0
_CONNECT_S = 5.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_REFUSED = 400
_COMES_BACK = (502, 503, 504)

_KINDS: Mapping[int, type[OnecodeError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: DeniedError,
    404: NotFoundError,
    405: InvalidError,
    409: ConflictError,
    412: ConflictError,
    413: ExhaustedError,
    415: InvalidError,
    422: InvalidError,
    429: ExhaustedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: ExhaustedError,
}
"""Our error of each status; 409 stands for conflicts and for unmet preconditions alike."""


class Rest:
    """One server.

    Args:
        server: ``http://host:port``.
        token: Bearer token; empty sends none.
        patience_s: How long to repeat a harmless request while the server does not answer.
        authority_file: PEM certificates to trust instead of the system's.
    """

    def __init__(
        self, server: str, token: str, *, patience_s: float = PATIENCE_S, authority_file: Path | None = None
    ) -> None:
        self.server = server.rstrip("/")
        self._patience_s = patience_s
        self._client = httpx2.Client(
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S),
            verify=ssl.create_default_context(cafile=authority_file) if authority_file else True,
            # A proxy of the environment cannot reach this machine's loopback.
            trust_env=not _is_loopback(server),
        )

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return the document at a path; unset query values are left out."""
        return self.send("GET", path, query=query).json()

    def post(self, path: str, body: Mapping[str, Any], *, again: bool = True) -> Any:
        """Return the answer to a document; ``again=False`` where a repetition would do something twice."""
        answer = self.send("POST", path, json=dict(body), again=again)
        return answer.json() if answer.content else {}

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a document that replaces another."""
        answer = self.send("PUT", path, json=dict(body))
        return answer.json() if answer.content else {}

    def delete(self, path: str) -> None:
        """Delete what is at a path."""
        self.send("DELETE", path)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        again: bool = True,
        **content: Any,
    ) -> httpx2.Response:
        """Return the answer of any request.

        Args:
            method: HTTP method.
            path: Below ``/api/v1``, or a whole URL.
            query: Values of ``None`` are left out.
            again: Whether to repeat it while the server does not answer.
            **content: ``json``, ``content``, ``headers``, ``timeout`` as httpx takes them.

        Raises:
            OnecodeError: What the server refused with, of the type that its status stands for.
            UnavailableError: It did not answer in time.
        """
        params = {name: value for name, value in (query or {}).items() if value is not None}
        end = time.monotonic() + (self._patience_s if again else 0.0)
        pause = _FIRST_PAUSE_S
        while True:
            try:
                answer = self._client.request(method, self.url(path), params=params, **content)
                if answer.status_code < _REFUSED:
                    return answer
                error, cause = refusal(answer), None
                repeat = answer.status_code in _COMES_BACK
            except httpx2.TransportError as transport:
                error, cause, repeat = self.unreachable(transport), transport, True
            if not repeat or time.monotonic() + pause > end:
                raise error from cause
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], **query: Any) -> Iterator[Iterator[str]]:
        """Yield the lines of an answer that does not end soon.

        Raises:
            OnecodeError: As :meth:`send`; also while lines are read.
        """
        params = {name: value for name, value in query.items() if value is not None}
        try:
            timeout = httpx2.Timeout(60.0, connect=_CONNECT_S)
            with self._client.stream(
                "GET", self.url(path), params=params, headers=dict(headers), timeout=timeout
            ) as answer:
                if answer.status_code >= _REFUSED:
                    answer.read()
                    raise refusal(answer)
                yield answer.iter_lines()
        except httpx2.TransportError as error:
            raise self.unreachable(error) from error

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return path if "://" in path else f"{self.server}{PREFIX}{path}"

    def unreachable(self, error: Exception) -> UnavailableError:
        """Return our error for a server that does not answer."""
        message = f"{self.server} does not answer: {str(error) or type(error).__name__}"
        hint = "start the platform with: onecode up; or name another server with --server or ONECODE_SERVER"
        return UnavailableError(message, code="client.unreachable", hint=hint, params={"server": self.server})


def refusal(answer: httpx2.Response) -> OnecodeError:
    """Return our error for a problem document, or for whatever else came instead."""
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    status = answer.status_code
    params = document.get("params") or {name: document[name] for name in ("field", "value") if document.get(name)}
    detail = str(document.get("detail") or document.get("error") or f"the server answered {status}")
    return _KINDS.get(status, OnecodeError)(
        detail,
        code=str(document.get("code") or f"http.{status}"),
        hint=str(document.get("hint") or ""),
        params=params,
    )


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
