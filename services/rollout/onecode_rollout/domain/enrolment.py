"""Let a device become a gateway once, by a token that works once and a key that never leaves the device."""

import hashlib
import hmac
import zlib
from collections.abc import Callable

from onecode_common.errors import InvalidError, UnauthenticatedError
from onecode_common.ids import check_name
from onecode_rollout.domain.members import CLOUD

PREFIX = "oce"
TOKEN_LIFE_S = 15 * 60
"""How long an enrolment token may be used."""

ASSERTION_LIFE_S = 60
"""How long a gateway's assertion lives at most."""

CLOCK_LEEWAY_S = 30
"""How far a gateway's clock may be off before it is told so."""

ENROL_CONTEXT = b"onecode-enrol-v1\x00"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH, _SECRET_LENGTH, _CHECK_LENGTH = 12, 43, 6
_SECRET_BYTES = 32
_PARTS = 4


def make_token(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """Return a new enrolment token and its id; the token is shown once and kept as a hash only."""
    token_id = "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in random_bytes(_ID_LENGTH))
    return format_token(PREFIX, token_id, random_bytes(_SECRET_BYTES)), token_id


def format_token(prefix: str, token_id: str, secret: bytes) -> str:
    """Return ``<prefix>_<id>_<secret>_<check>``: secret in base62, CRC-32 of all before the last ``_``."""
    body = f"{prefix}_{token_id}_{_base62(int.from_bytes(secret, 'big'), _SECRET_LENGTH)}"
    return f"{body}_{_base62(zlib.crc32(body.encode()), _CHECK_LENGTH)}"


def token_id(token: str) -> str:
    """Return the id of a well-formed token, so that typing errors never touch the database.

    Raises:
        UnauthenticatedError: It is none, or its check digits do not fit.
    """
    parts = token.split("_")
    body = token.rpartition("_")[0]
    if (
        len(parts) != _PARTS
        or not token.isascii()
        or parts[0] != PREFIX
        or [len(part) for part in parts[1:]] != [_ID_LENGTH, _SECRET_LENGTH, _CHECK_LENGTH]
        or parts[3] != _base62(zlib.crc32(body.encode()), _CHECK_LENGTH)
    ):
        message = "this is not an enrolment token: copy the whole line that creating the gateway printed"
        raise UnauthenticatedError(message, code="enrol.malformed")
    return parts[1]


def token_hash(token: str) -> str:
    """Return what is kept of a token; a fast hash is right for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def same_hash(kept: str, token: str) -> bool:
    """Whether the token is the kept one, in constant time."""
    return hmac.compare_digest(kept, token_hash(token))


def enrol_message(token: str, public_key: bytes) -> bytes:
    """Return what the device signs: it has the token and the private key."""
    return ENROL_CONTEXT + hashlib.sha256(token.encode()).digest() + public_key


def fingerprint(public_key: bytes) -> str:
    """Return the hash of a key that people compare."""
    return f"sha256:{hashlib.sha256(public_key).hexdigest()}"


def check_source_name(value: str, what: str) -> str:
    """Return the value if it may name a gateway or segment: a name that is also one token of a subject.

    Raises:
        InvalidError: It is no name, holds a dot, or is the cloud's.
    """
    if "." in check_name(value, what) or value == CLOUD:
        message = f"{what} {value!r} is not allowed: no dots, and 'cloud' is taken"
        raise InvalidError(message, code="name.invalid", params={"what": what, "value": value})
    return value


def _base62(number: int, length: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, len(_DIGITS))
        digits = _DIGITS[rest] + digits
    return digits.rjust(length, "0")
