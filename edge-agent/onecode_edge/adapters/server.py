"""Speak to the cloud over HTTP: enrol, get access tokens, hand in reports."""

import base64
import hashlib
import json
import os
import platform
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import DecodeError
from urllib3.exceptions import HTTPError, NewConnectionError

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.clock import Clock
from onecode_common.errors import (
    ConflictError,
    InvalidError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_common.keys import public_bytes
from onecode_common.tokens import EDGE_AUDIENCE
from onecode_edge.adapters.identity import Enrolment, Identity, b64

_OK, _UNAUTHENTICATED = 200, 401
_MAX_ANSWER = 4 << 20
_ASSERTION = "onecode-assertion+jwt"
_ASSERTION_S = 60
_EARLY = 0.7
_TOLERATED_S = 5.0


class ServerClock:
    """The machine's clock, corrected by what the server says; the machine's own is never set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the time of day by the server's clock, as far as it is known."""
        return self._clock.now() + self._offset

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._clock.monotonic()

    def correct(self, server_time: float) -> None:
        """Take over the server's time where the two are apart by more than a few seconds."""
        offset = server_time - self._clock.now().timestamp()
        self._offset = timedelta(seconds=offset) if abs(offset) > _TOLERATED_S else timedelta()


class NeverSentError(UnavailableError):
    """The server was not reached at all, so nothing of the call took effect."""


@dataclass(frozen=True, slots=True)
class Access:
    """An access token and what came with it."""

    token: str
    until: float
    segment: str
    tenant: str
    distribution_url: str


class Server:
    """The cloud's edge face.

    Args:
        url: ``http(s)://host:port``.
        clock: Corrected by each answer that tells the time.
    """

    def __init__(self, url: str, clock: ServerClock) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5.0, read=15.0), maxsize=2)

    def enrol(self, token: str, key: Ed25519PrivateKey) -> tuple[Enrolment, bytes]:
        """Trade a one-time token for a place in a segment, and return it with the signing root.

        Raises:
            UnauthenticatedError, ConflictError: The token is wrong, used or over.
            UnavailableError: The server does not answer.
        """
        public = public_bytes(key)
        proof = b"onecode-enrol-v1\0" + hashlib.sha256(token.encode()).digest() + public
        body = {
            "token": token,
            "public_key": b64(public),
            "facts": facts(),
            "signature": b64(key.sign(proof)),
        }
        answer = self._json("/edge/v1/enrol", body)
        try:
            enrolment = Enrolment(
                gateway_id=str(answer["gateway_id"]),
                segment=str(answer["segment"]),
                tenant=str(answer["tenant"]),
                distribution_url=str(answer["distribution_url"]),
            )
            root = base64.b64decode(answer["root"], validate=True)
        except (KeyError, ValueError, TypeError) as error:
            raise _strange("/edge/v1/enrol", error) from error
        return enrolment, root

    def access(self, identity: Identity) -> Access:
        """Return a fresh access token.

        A clock that stands wrong is found by the date of the refusal; the second try uses the server's time.

        Raises:
            UnauthenticatedError: The gateway is not accepted yet, or was revoked.
            UnavailableError: The server does not answer.
        """
        try:
            answer = self._json("/edge/v1/token", {"assertion": self._assertion(identity)})
        except UnauthenticatedError:
            answer = self._json("/edge/v1/token", {"assertion": self._assertion(identity)})
        try:
            self._clock.correct(float(answer["server_time"]))
            lifetime = float(answer["expires_in"])
            return Access(
                token=str(answer["access_token"]),
                until=self._clock.monotonic() + lifetime * _EARLY,
                segment=str(answer.get("segment") or identity.enrolment.segment),
                tenant=str(answer.get("tenant") or identity.enrolment.tenant),
                distribution_url=str(answer.get("distribution_url") or identity.enrolment.distribution_url),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise _strange("/edge/v1/token", error) from error

    def report(self, batch: pb.ReportBatch, token: str) -> list[int]:
        """Hand in reports and return the numbers that the server has now.

        Raises:
            UnauthenticatedError: The token is refused.
            NeverSentError: The server was not reached.
            UnavailableError: It may have been, or it is busy.
        """
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {token}"}
        answer = self._post("/edge/v1/reports", batch.SerializeToString(), headers)
        try:
            return list(pb.Acknowledged.FromString(answer).sequences)
        except DecodeError as error:
            raise _strange("/edge/v1/reports", error) from error

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _assertion(self, identity: Identity) -> str:
        now = int(self._clock.now().timestamp())
        gateway = identity.enrolment.gateway_id
        claims = {"iss": gateway, "sub": gateway, "aud": EDGE_AUDIENCE, "iat": now, "exp": now + _ASSERTION_S}
        claims["jti"] = secrets.token_urlsafe(16)
        headers = {"typ": _ASSERTION, "kid": gateway}
        return jwt.encode(claims, identity.key, algorithm="EdDSA", headers=headers)

    def _json(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._post(path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            document = json.loads(answer)
        except ValueError as error:
            raise _strange(path, error) from error
        if not isinstance(document, dict):
            raise _strange(path, TypeError("not an object"))
        return document

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            response = self._pool.request(
                "POST", f"{self._url}{path}", body=body, headers=dict(headers), redirect=False, preload_content=False
            )
            answer = response.read(_MAX_ANSWER)
            # Not given back: what is left of an answer that is longer would be the next one.
            response.close()
        except NewConnectionError as error:
            message = f"the server at {self._url} cannot be reached"
            raise NeverSentError(message, code="edge.server_unavailable") from error
        except (HTTPError, OSError) as error:
            message = f"the server at {self._url} does not answer: {type(error).__name__}"
            raise UnavailableError(message, code="edge.server_unavailable") from error
        if response.status == _OK:
            return answer
        if response.status == _UNAUTHENTICATED and "Date" in response.headers:
            self._clock.correct(parsedate_to_datetime(response.headers["Date"]).timestamp())
        raise _refusal(path, response.status, answer)


class Credential:
    """The present access token, asked for again before it is over. Safe to use from several threads."""

    def __init__(self, server: Server, identity: Identity, clock: Clock) -> None:
        self._server = server
        self._identity = identity
        self._clock = clock
        self._access: Access | None = None
        self._lock = threading.Lock()

    def token(self) -> str:
        """Return a token that is good for a while. Raises as :meth:`Server.access` does."""
        return self.access().token

    def access(self) -> Access:
        """Return the token with what came with it. Raises as :meth:`Server.access` does."""
        with self._lock:
            if self._access is None or self._clock.monotonic() >= self._access.until:
                self._access = self._server.access(self._identity)
            return self._access

    def forget(self) -> None:
        """Get a new token at the next use, because somebody refused this one."""
        with self._lock:
            self._access = None


def facts() -> dict[str, str]:
    """Return what an operator sees of the device before accepting it."""
    return {
        "host": platform.node(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": str(os.cpu_count() or 0),
        "memory_bytes": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
    }


def _refusal(path: str, status: int, answer: bytes) -> OnecodeError:
    try:
        document = json.loads(answer)
        code, detail = str(document.get("code", "")), str(document.get("detail", ""))[:200]
    except (ValueError, AttributeError):
        code, detail = "", ""
    message = f"the server refuses {path} ({status}): {detail}"
    kinds: dict[int, type[OnecodeError]] = {
        401: UnauthenticatedError,
        403: UnauthenticatedError,
        404: InvalidError,
        409: ConflictError,
        410: ConflictError,
        422: InvalidError,
    }
    return kinds.get(status, UnavailableError)(message, code=code or f"http.{status}")


def _strange(path: str, error: Exception) -> UnavailableError:
    message = f"the server's answer to {path} cannot be read: {error!r}"
    return UnavailableError(message, code="edge.server_unavailable")
