"""Make keys that a person can recognise, a program can check for typing errors, and nobody can guess.

``ock_<id:12>_<secret:43>_<check:6>``: 256 random bits in base62; the check is the CRC-32 of all before it.
"""

import secrets
import zlib

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_BYTES = 32
_SECRET_LENGTH = 43
_CHECK_LENGTH = 6


def new_api_key() -> str:
    """Return a fresh key of a person or program."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    return format_key("ock", key_id, secrets.token_bytes(_SECRET_BYTES))


def format_key(prefix: str, key_id: str, secret: bytes) -> str:
    """Return the key of this id and secret."""
    body = f"{prefix}_{key_id}_{_base62(int.from_bytes(secret, 'big'), _SECRET_LENGTH)}"
    return f"{body}_{_base62(zlib.crc32(body.encode()), _CHECK_LENGTH)}"


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits
