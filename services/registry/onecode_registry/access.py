"""Decide who may use the HTTP face, from the token alone."""

import json
from base64 import urlsafe_b64decode

from onecode_common.errors import DeniedError
from onecode_common.tokens import CALLER, EDGE_AUDIENCE, GATEWAY, Claims, TokenVerifier, audience
from onecode_registry.usecases.distribution import Reader

_SERVICE = "registry"
_WRITERS = frozenset({"training", "console"})
_READERS = frozenset({"inference"})
_GATEWAY_ISSUER = "rollout"


class Access:
    """Turns bearer tokens into rights."""

    def __init__(self, verifier: TokenVerifier, project: str) -> None:
        self._verifier = verifier
        self._project = project

    def writer(self, token: str) -> str:
        """Return the service that may store objects.

        Raises:
            UnauthenticatedError: The token is not valid.
            DeniedError: It is another service's.
        """
        return self._service(token, _WRITERS)

    def reader(self, token: str) -> Reader:
        """Return what the bearer may fetch. Raises as :meth:`writer`."""
        if _kind(token) != GATEWAY:
            self._service(token, _READERS)
            return Reader(segment=None)
        claims = self._verifier.verify(token, GATEWAY, EDGE_AUDIENCE)
        segment = claims.extra.get("segment")
        if claims.issuer != _GATEWAY_ISSUER or claims.extra.get("tenant") != self._project or not segment:
            raise _denied(claims)
        return Reader(segment=str(segment))

    def _service(self, token: str, allowed: frozenset[str]) -> str:
        claims = self._verifier.verify(token, CALLER, audience(_SERVICE))
        if claims.issuer not in allowed or claims.subject != audience(claims.issuer):
            raise _denied(claims)
        return claims.issuer


def _kind(token: str) -> str:
    """Return the kind that a token says it is, unverified; it only chooses which check is made."""
    head = token[:1024].split(".", 1)[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return ""
    return str(header.get("typ", "")) if isinstance(header, dict) else ""


def _denied(claims: Claims) -> DeniedError:
    message = f"{claims.issuer} may not do this here"
    return DeniedError(message, code="auth.caller", params={"caller": claims.issuer})
