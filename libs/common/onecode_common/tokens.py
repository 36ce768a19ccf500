"""Prove who calls, with short-lived Ed25519 tokens, and believe nothing else.

Three kinds: a *caller* token says which service speaks (60 s, one audience), a *principal* token says
for whom (made by the console only, 5 min), a *gateway* token lets a gateway fetch and report (1 h, made
by rollout only). The checks before and after PyJWT close what it leaves open: string or far-away
``exp``, any ``typ``, unbounded lifetimes, over-long tokens.
"""

import json
import re
import threading
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from onecode_common.clock import Clock
from onecode_common.errors import UnauthenticatedError
from onecode_common.keys import parse_jwks

CALLER = "onecode-caller+jwt"
PRINCIPAL = "onecode-principal+jwt"
GATEWAY = "onecode-gateway+jwt"
EDGE_AUDIENCE = "onecode:edge"
INSIDE_AUDIENCE = "onecode"

LIFETIMES: Mapping[str, int] = {CALLER: 60, PRINCIPAL: 300, GATEWAY: 3600}
"""Seconds that a token of each kind lives; longer ones are refused."""

_LEEWAY_S = 60
_MAX_BYTES = 8192
_PARTS = 3
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def audience(service: str) -> str:
    """Return the audience of tokens meant for a service."""
    return f"onecode:{service}"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        issuer: Service that signed, without the prefix: ``console``.
        subject: Service, principal or gateway id.
        extra: Further claims, as they came.
    """

    issuer: str
    subject: str
    extra: Mapping[str, object] = field(default_factory=dict)


class TokenIssuer:
    """Mints tokens in the name of one service."""

    def __init__(self, service: str, key: Ed25519PrivateKey, clock: Clock) -> None:
        self.service = service
        self._key = key
        self._clock = clock
        self._callers: dict[str, tuple[str, float]] = {}

    def mint(self, kind: str, subject: str, audience_: str, extra: Mapping[str, object] | None = None) -> str:
        """Return a signed token of this kind, valid from now for its kind's lifetime."""
        now = int(self._clock.now().timestamp())
        claims = {
            **(extra or {}),
            "iss": audience(self.service),
            "sub": subject,
            "aud": audience_,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIMES[kind],
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": kind, "kid": self.service})

    def caller(self, callee: str) -> str:
        """Return a caller token for a service, minted again when half its life is over."""
        token, until = self._callers.get(callee, ("", 0.0))
        now = self._clock.monotonic()
        if now >= until:
            token = self.mint(CALLER, audience(self.service), audience(callee))
            self._callers[callee] = (token, now + LIFETIMES[CALLER] / 2)
        return token


class TokenVerifier:
    """Checks tokens against the public keys in a JWKS file, which is read again when it changes."""

    def __init__(self, jwks_file: Path, clock: Clock) -> None:
        self._path = jwks_file
        self._clock = clock
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._stamp = -1
        self._lock = threading.Lock()

    def verify(self, token: str, kind: str, audience_: str) -> Claims:
        """Return what the token says.

        Raises:
            UnauthenticatedError: Malformed, of another kind or audience, expired, or not signed by
                the service that it names.
        """
        kid = self._header_kid(token, kind)
        key = self._key(kid)
        if key is None:
            raise _refused("auth.unknown_key", f"token names the unknown key {kid[:64]!r}")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=audience_,
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _refused("auth.invalid", f"token refused: {error}") from error
        return self._checked(claims, kid, kind)

    def _checked(self, claims: Mapping[str, object], kid: str, kind: str) -> Claims:
        now = int(self._clock.now().timestamp())
        issued, expires = claims["iat"], claims["exp"]
        not_before = claims.get("nbf", issued)
        if type(issued) is not int or type(expires) is not int or type(not_before) is not int:
            raise _refused("auth.malformed", "token times are not whole seconds")
        if not 0 < expires - issued <= LIFETIMES[kind]:
            raise _refused("auth.lifetime", f"token lives {expires - issued} s, at most {LIFETIMES[kind]} allowed")
        if now > expires + _LEEWAY_S or now < max(issued, not_before) - _LEEWAY_S:
            raise _refused("auth.expired", f"token is valid from {issued} to {expires}, it is {now}")
        if claims["iss"] != audience(kid):
            raise _refused("auth.issuer", f"token of {claims['iss']!r} is signed by {kid!r}")
        known = {"iss", "sub", "aud", "exp", "iat", "nbf"}
        extra = {name: value for name, value in claims.items() if name not in known}
        return Claims(issuer=kid, subject=str(claims["sub"]), extra=extra)

    def _header_kid(self, token: str, kind: str) -> str:
        if not token or len(token) > _MAX_BYTES or token.count(".") + 1 != _PARTS:
            raise _refused("auth.malformed", "token is missing, too long or not three parts")
        try:
            head = token.split(".", 1)[0]
            header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)), object_pairs_hook=_no_twins)
        except ValueError as error:
            raise _refused("auth.malformed", "token header is not JSON") from error
        if not isinstance(header, dict) or set(header) != {"alg", "typ", "kid"} or header["alg"] != "EdDSA":
            raise _refused("auth.malformed", "token header must hold alg EdDSA, typ and kid, nothing else")
        if header["typ"] != kind:
            raise _refused("auth.kind", f"token is a {str(header['typ'])[:40]!r}, expected {kind!r}")
        kid = header["kid"]
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise _refused("auth.malformed", "token key id is not a name")
        return kid

    def _key(self, kid: str) -> Ed25519PublicKey | None:
        with self._lock:
            try:
                stamp = self._path.stat().st_mtime_ns
                if stamp != self._stamp:
                    self._keys = parse_jwks(self._path.read_bytes())
                    self._stamp = stamp
            except OSError as error:
                raise _refused("auth.no_keys", "the public keys of the services cannot be read") from error
            return self._keys.get(kid)


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        message = "a key occurs twice"
        raise ValueError(message)
    return dict(pairs)


def _refused(code: str, message: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        message, code=code, hint="send a fresh token from the issuer named in the documentation"
    )
