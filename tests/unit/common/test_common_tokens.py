"""A token proves who calls, for one purpose and one hour at most; everything else is refused."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from onecode_common.errors import UnauthenticatedError
from onecode_common.keys import jwks_document, public_bytes
from onecode_common.tokens import (
    CALLER,
    EDGE_AUDIENCE,
    GATEWAY,
    INSIDE_AUDIENCE,
    LIFETIMES,
    PRINCIPAL,
    TokenIssuer,
    TokenVerifier,
    audience,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
HERE = audience("registry")


class HeldClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return 1000 + self.ahead


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(jwks_document({"console": public_bytes(KEY), "rollout": public_bytes(OTHER)}))
    return path


@pytest.fixture
def verifier(jwks: Path, clock: HeldClock) -> TokenVerifier:
    return TokenVerifier(jwks, clock)


@pytest.fixture
def issuer(clock: HeldClock) -> TokenIssuer:
    return TokenIssuer("console", KEY, clock)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    whole = {
        "iss": audience("console"),
        "sub": audience("console"),
        "aud": HERE,
        "iat": now,
        "nbf": now,
        "exp": now + 60,
    }
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def signed(payload: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    return jwt.encode(payload, key, algorithm="EdDSA", headers={"typ": CALLER, "kid": "console", **header})


def pieces(header: Any, payload: Any, signature: bytes = b"") -> str:
    parts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in (*parts, signature))


def raw_signed(header: bytes, payload: dict[str, Any]) -> str:
    unsigned = pieces(header, payload).rpartition(".")[0]
    return f"{unsigned}.{base64.urlsafe_b64encode(KEY.sign(unsigned.encode())).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("kind", "audience_"), [(CALLER, HERE), (PRINCIPAL, INSIDE_AUDIENCE), (GATEWAY, EDGE_AUDIENCE)]
)
def test_a_minted_token_says_who_for_its_lifetime(
    issuer: TokenIssuer, verifier: TokenVerifier, clock: HeldClock, kind: str, audience_: str
) -> None:
    token = issuer.mint(kind, "somebody", audience_, {"segment": "line-1"})
    for clock.ahead in (-60, 0, LIFETIMES[kind], LIFETIMES[kind] + 60):
        found = verifier.verify(token, kind, audience_)
        assert (found.issuer, found.subject, found.extra) == ("console", "somebody", {"segment": "line-1"})
    for clock.ahead in (-61, LIFETIMES[kind] + 61):
        with pytest.raises(UnauthenticatedError) as refusal:
            verifier.verify(token, kind, audience_)
        assert refusal.value.code == "auth.expired"


def test_extra_claims_never_replace_those_that_count(issuer: TokenIssuer, verifier: TokenVerifier) -> None:
    token = issuer.mint(CALLER, "me", HERE, {"sub": "admin", "exp": 2**40, "iss": "onecode:rollout"})
    found = verifier.verify(token, CALLER, HERE)
    assert (found.issuer, found.subject) == ("console", "me")


def test_a_caller_token_is_kept_for_half_its_life(issuer: TokenIssuer, clock: HeldClock) -> None:
    first = issuer.caller("registry")
    clock.ahead = 29
    assert issuer.caller("registry") == first
    assert issuer.caller("training") != first
    clock.ahead = 31
    assert issuer.caller("registry") != first


def test_a_key_that_is_added_later_is_found(clock: HeldClock, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks_document({}))
    verifier = TokenVerifier(path, clock)
    with pytest.raises(UnauthenticatedError) as refusal:
        verifier.verify(signed(claims()), CALLER, HERE)
    assert refusal.value.code == "auth.unknown_key"
    path.write_bytes(jwks_document({"console": public_bytes(KEY)}))
    assert verifier.verify(signed(claims()), CALLER, HERE).issuer == "console"
    path.unlink()
    with pytest.raises(UnauthenticatedError) as gone:
        verifier.verify(signed(claims()), CALLER, HERE)
    assert gone.value.code == "auth.no_keys"


NOW_S = int(NOW.timestamp())
HEADER = {"alg": "EdDSA", "typ": CALLER, "kid": "console"}
HMAC_KEY = public_bytes(KEY)


def with_hmac() -> str:
    unsigned = pieces({**HEADER, "alg": "HS256"}, claims()).rpartition(".")[0]
    mac = hmac.new(HMAC_KEY, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


HOSTILE: list[tuple[str, Callable[[], str], str]] = [
    ("nothing", lambda: "", "auth.malformed"),
    ("one part", lambda: "abc", "auth.malformed"),
    ("two parts", lambda: "a.b", "auth.malformed"),
    ("four parts", lambda: signed(claims()) + ".x", "auth.malformed"),
    ("eight megabytes", lambda: "a." + "b" * (8 << 20) + ".c", "auth.malformed"),
    ("header that is no JSON", lambda: pieces(b"{", claims()), "auth.malformed"),
    ("header that is a list", lambda: pieces([], claims()), "auth.malformed"),
    ("header that is no base64", lambda: "!!!." + signed(claims()).split(".", 1)[1], "auth.malformed"),
    ("algorithm none", lambda: pieces({**HEADER, "alg": "none"}, claims()), "auth.malformed"),
    ("algorithm nOnE", lambda: pieces({**HEADER, "alg": "nOnE"}, claims()), "auth.malformed"),
    ("HMAC with the public key", with_hmac, "auth.malformed"),
    ("critical header", lambda: signed(claims(), crit=["x"], x=1), "auth.malformed"),
    ("key in the header", lambda: signed(claims(), jwk={"kty": "OKP"}), "auth.malformed"),
    (
        "twin header",
        lambda: raw_signed(b'{"alg":"none","alg":"EdDSA","typ":"onecode-caller+jwt","kid":"console"}', claims()),
        "auth.malformed",
    ),
    ("key id that is a path", lambda: signed(claims(), kid="../../console"), "auth.malformed"),
    (
        "key id that is a number",
        lambda: raw_signed(json.dumps({**HEADER, "kid": 1}).encode(), claims()),
        "auth.malformed",
    ),
    ("no type", lambda: raw_signed(b'{"alg":"EdDSA","kid":"console"}', claims()), "auth.malformed"),
    ("principal as caller", lambda: signed(claims(), typ=PRINCIPAL), "auth.kind"),
    ("plain JWT", lambda: signed(claims(), typ="JWT"), "auth.kind"),
    ("unknown key", lambda: signed(claims(), kid="nobody"), "auth.unknown_key"),
    ("another service's key", lambda: signed(claims(), OTHER), "auth.invalid"),
    ("another service's name", lambda: signed(claims(iss=audience("rollout"))), "auth.issuer"),
    ("signature cut", lambda: signed(claims())[:-4], "auth.invalid"),
    ("no signature", lambda: signed(claims()).rpartition(".")[0] + ".", "auth.invalid"),
    ("other audience", lambda: signed(claims(aud=audience("training"))), "auth.invalid"),
    ("no audience", lambda: signed(claims(aud=None)), "auth.invalid"),
    ("no expiry", lambda: signed(claims(exp=None)), "auth.invalid"),
    ("no subject", lambda: signed(claims(sub=None)), "auth.invalid"),
    ("no issue time", lambda: signed(claims(iat=None)), "auth.invalid"),
    ("expiry as text", lambda: signed(claims(exp=str(NOW_S + 60))), "auth.malformed"),
    ("expiry far away", lambda: signed(claims(exp=10**30)), "auth.lifetime"),
    ("expiry as a fraction", lambda: signed(claims(exp=NOW_S + 59.5)), "auth.malformed"),
    ("expiry true", lambda: signed(claims(exp=True)), "auth.malformed"),
    ("lives too long", lambda: signed(claims(exp=NOW_S + 61)), "auth.lifetime"),
    ("ends before it begins", lambda: signed(claims(iat=NOW_S + 10, nbf=NOW_S + 10, exp=NOW_S)), "auth.lifetime"),
    ("expired", lambda: signed(claims(iat=NOW_S - 200, nbf=NOW_S - 200, exp=NOW_S - 140)), "auth.expired"),
    ("not valid yet", lambda: signed(claims(nbf=NOW_S + 1000)), "auth.expired"),
    ("issued in the future", lambda: signed(claims(iat=NOW_S + 100, nbf=NOW_S + 100, exp=NOW_S + 160)), "auth.expired"),
]


@pytest.mark.parametrize(("make", "code"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_token_is_refused(verifier: TokenVerifier, make: Callable[[], str], code: str) -> None:
    with pytest.raises(UnauthenticatedError) as refusal:
        verifier.verify(make(), CALLER, HERE)
    assert refusal.value.code == code
    assert verifier.verify(signed(claims()), CALLER, HERE).issuer == "console"


def test_a_token_of_one_kind_is_no_token_of_another(issuer: TokenIssuer, verifier: TokenVerifier) -> None:
    made = {
        CALLER: issuer.mint(CALLER, "x", HERE),
        PRINCIPAL: issuer.mint(PRINCIPAL, "x", HERE),
        GATEWAY: issuer.mint(GATEWAY, "x", HERE),
    }
    for kind, token in made.items():
        for wanted in made:
            if wanted == kind:
                verifier.verify(token, wanted, HERE)
            else:
                with pytest.raises(UnauthenticatedError):
                    verifier.verify(token, wanted, HERE)


@settings(max_examples=200)
@given(st.text(max_size=200) | st.lists(st.text(max_size=40), min_size=3, max_size=3).map(".".join))
def test_no_text_breaks_the_verifier(jwks: Path, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        TokenVerifier(jwks, HeldClock()).verify(text, CALLER, HERE)
