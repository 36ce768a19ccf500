"""Admit gateways: a token becomes a key once, a key becomes an access token for an hour."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from onecode_common.errors import ConflictError, DeniedError, UnauthenticatedError
from onecode_rollout.domain.enrolment import enrol_message, same_hash, token_id
from onecode_rollout.domain.fleet import Gateway, Source
from onecode_rollout.domain.reports import short_pairs
from onecode_rollout.ports import Ports

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """What an enrolled gateway is told."""

    gateway: Gateway
    root: bytes
    server_time: int


@dataclass(frozen=True, slots=True)
class Access:
    """An access token and what goes with it."""

    gateway: Gateway
    token: str
    expires_in: int
    server_time: int


class Enrolment:
    """The two doors that a gateway passes."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def enrol(self, token: str, public_key: bytes, signature: bytes, facts: Mapping[str, str]) -> Admission:
        """Bind a device's key to the gateway that the token was made for.

        The same token with the same key again is answered as the first time: the answer may have been lost.

        Raises:
            UnauthenticatedError: The token is unknown or expired, or the signature is not the key's.
            ConflictError: Another device has used the token.
            UnavailableError: The registry does not answer; the token stays unused.
        """
        identifier = token_id(token)
        self._ports.tokens.check_signature(public_key, signature, enrol_message(token, public_key))
        root = self._ports.registry.root()
        now = self._ports.clock.now().timestamp()
        with self._ports.records.transaction() as rows:
            gateway = rows.fleet.gateway_by_token(identifier)
            # The comparison runs for an unknown id too, so that its time tells nothing.
            if not same_hash(gateway.token_hash if gateway is not None else "", token) or gateway is None:
                message = "the enrolment token is unknown: create the gateway again"
                raise UnauthenticatedError(message, code="enrol.unknown")
            state = "active" if gateway.accept else "pending"
            if rows.fleet.use_token(gateway, public_key, state, now):
                rows.audit(f"gateway:{gateway.gateway_id}", "gateway.enrol", gateway.gateway_id)
                # A new device counts its reports from 1 again.
                rows.reports.forget_source(gateway.gateway_id)
                rows.fleet.save_source(Source(gateway.gateway_id, gateway.segment, facts=short_pairs(facts)))
                gateway = replace(gateway, public_key=public_key, state=state, token_used=now)
            elif not gateway.token_used:
                message = "the enrolment token has expired: create the gateway again"
                raise UnauthenticatedError(message, code="enrol.expired")
            elif gateway.public_key != public_key:
                _log.warning("a second device tried the enrolment token of gateway %s", gateway.gateway_id)
                message = f"the token of gateway {gateway.gateway_id} was used by another device"
                raise ConflictError(message, code="enrol.used", hint="revoke the gateway if that was not yours")
            return Admission(gateway, root, int(now))

    def access(self, assertion: str) -> Access:
        """Return an access token for an assertion that the gateway's key has signed.

        Raises:
            UnauthenticatedError: The assertion is not valid, or was used before.
            DeniedError: The gateway is not accepted yet, or is revoked.
        """
        claimed = self._ports.tokens.unverified_gateway(assertion)
        now = self._ports.clock.now().timestamp()
        with self._ports.records.transaction() as rows:
            gateway = rows.fleet.gateway(claimed)
            if gateway is None or not gateway.public_key:
                message = "the assertion names a gateway that has not enrolled"
                raise UnauthenticatedError(message, code="auth.unknown_gateway")
            jti, until = self._ports.tokens.check_assertion(assertion, gateway, now)
            _require_active(gateway)
            if not rows.fleet.remember_assertion(gateway.gateway_id, jti, until, now):
                message = "the assertion was used before: sign a new one"
                raise UnauthenticatedError(message, code="auth.replayed")
        token, life = self._ports.tokens.mint(gateway.gateway_id, gateway.segment)
        return Access(gateway, token, life, int(now))

    def authenticated(self, access_token: str) -> str:
        """Return the gateway that sent this access token; a revoked one is refused at once.

        Raises:
            UnauthenticatedError: The token is not valid.
            DeniedError: The gateway is revoked or not accepted.
        """
        gateway_id = self._ports.tokens.gateway_of(access_token)
        with self._ports.records.transaction() as rows:
            gateway = rows.fleet.gateway(gateway_id)
        if gateway is None:
            raise UnauthenticatedError("the token names no gateway", code="auth.unknown_gateway")
        _require_active(gateway)
        return gateway_id


def _require_active(gateway: Gateway) -> None:
    if gateway.state == "revoked":
        message = f"gateway {gateway.gateway_id} is revoked"
        raise DeniedError(message, code="gateway.revoked")
    if gateway.state != "active":
        message = f"gateway {gateway.gateway_id} waits to be accepted: compare its fingerprint and accept it"
        raise DeniedError(message, code="gateway.pending")
