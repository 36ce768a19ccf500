"""Check what a gateway has signed with its own key, and mint the tokens that it then uses."""

import binascii
import json
from base64 import urlsafe_b64decode

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from onecode_common.errors import UnauthenticatedError
from onecode_common.tokens import EDGE_AUDIENCE, GATEWAY, LIFETIMES, TokenIssuer, TokenVerifier
from onecode_rollout.domain.enrolment import ASSERTION_LIFE_S, CLOCK_LEEWAY_S
from onecode_rollout.domain.fleet import Gateway

ASSERTION = "onecode-assertion+jwt"
_MAX_BYTES = 4096
_MAX_JTI = 100
_KEY_BYTES = 32
_PARTS = 3
_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "jti"]


class JwtGatewayTokens:
    """Tokens of gateways as Ed25519 JWTs; see :class:`onecode_rollout.ports.GatewayTokens`."""

    def __init__(self, issuer: TokenIssuer, verifier: TokenVerifier, tenant: str) -> None:
        self._issuer = issuer
        self._verifier = verifier
        self._tenant = tenant

    def mint(self, gateway_id: str, segment: str) -> tuple[str, int]:
        """Return an access token and its life in seconds."""
        extra = {"segment": segment, "tenant": self._tenant}
        return self._issuer.mint(GATEWAY, gateway_id, EDGE_AUDIENCE, extra), LIFETIMES[GATEWAY]

    def gateway_of(self, access_token: str) -> str:
        """Return the gateway that an access token of ours names."""
        claims = self._verifier.verify(access_token, GATEWAY, EDGE_AUDIENCE)
        if claims.issuer != self._issuer.service:
            raise UnauthenticatedError(f"{claims.issuer} may not speak for gateways", code="auth.issuer")
        return claims.subject

    def unverified_gateway(self, assertion: str) -> str:
        """Return the gateway that an assertion claims to come from."""
        if len(assertion) > _MAX_BYTES or not assertion.isascii() or assertion.count(".") + 1 != _PARTS:
            raise UnauthenticatedError("the assertion is too long or not three parts", code="auth.malformed")
        head = assertion.split(".", 1)[0]
        try:
            header = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        except (ValueError, RecursionError) as error:
            raise UnauthenticatedError("the assertion's header is not JSON", code="auth.malformed") from error
        if not isinstance(header, dict) or set(header) != {"alg", "typ", "kid"} or header["alg"] != "EdDSA":
            raise UnauthenticatedError("the assertion's header must hold alg EdDSA, typ, kid", code="auth.malformed")
        if header["typ"] != ASSERTION or not isinstance(header["kid"], str):
            raise UnauthenticatedError(f"the assertion is not a {ASSERTION}", code="auth.kind")
        return str(header["kid"])

    def check_assertion(self, assertion: str, gateway: Gateway, now: float) -> tuple[str, float]:
        """Return one-time id and end of an assertion signed by the gateway's key."""
        try:
            claims = jwt.decode(
                assertion,
                Ed25519PublicKey.from_public_bytes(gateway.public_key),
                algorithms=["EdDSA"],
                audience=EDGE_AUDIENCE,
                options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise UnauthenticatedError(f"assertion refused: {error}", code="auth.invalid") from error
        issued, expires, jti = claims["iat"], claims["exp"], claims["jti"]
        if type(issued) is not int or type(expires) is not int or not isinstance(jti, str) or len(jti) > _MAX_JTI:
            raise UnauthenticatedError("the assertion's times or jti are malformed", code="auth.malformed")
        if claims["iss"] != gateway.gateway_id or claims["sub"] != gateway.gateway_id:
            raise UnauthenticatedError("the assertion speaks for somebody else", code="auth.issuer")
        if not 0 < expires - issued <= ASSERTION_LIFE_S:
            raise UnauthenticatedError(f"an assertion lives {ASSERTION_LIFE_S} s at most", code="auth.lifetime")
        if not issued - CLOCK_LEEWAY_S <= now <= expires + CLOCK_LEEWAY_S:
            raise UnauthenticatedError(
                "the assertion's time is not now: add the difference to your clock when signing",
                code="auth.clock_skew",
                params={"server_time": int(now)},
            )
        return jti, float(expires + CLOCK_LEEWAY_S)

    def check_signature(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature."""
        try:
            if len(public_key) != _KEY_BYTES:
                raise UnauthenticatedError(f"a key has {_KEY_BYTES} bytes, not {len(public_key)}", code="enrol.key")
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError, binascii.Error) as error:
            raise UnauthenticatedError("the signature is not the key's", code="enrol.signature") from error
