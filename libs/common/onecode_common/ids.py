"""Make and check the names by which things are found again."""

import re
import secrets
from typing import NewType

from onecode_common.errors import InvalidError

Digest = NewType("Digest", str)
"""``sha256:<64 hex digits>``, on the wire and in records."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Return ``<prefix>_<16 characters>``: 80 random bits without look-alike letters."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(16))}"


def check_name(value: str, what: str) -> str:
    """Return the value if it may name a data set, model, segment or gateway.

    Raises:
        InvalidError: Not 1-63 of ``a-z 0-9 . _ -`` beginning with a letter or digit.
    """
    if not _NAME.fullmatch(value) or ".." in value:
        message = f"{what} {value[:80]!r} is not a name: use 1-63 of a-z 0-9 . _ -"
        raise InvalidError(message, code="name.invalid", params={"what": what, "value": value[:80]})
    return value


def check_id(value: str, what: str) -> str:
    """Return the value if it may be a client-chosen id.

    Raises:
        InvalidError: Not 1-100 of letters, digits and ``. _ : -``.
    """
    if not _ID.fullmatch(value):
        message = f"{what} {value[:80]!r} is not an id: use 1-100 letters, digits or . _ : -"
        raise InvalidError(message, code="id.invalid", params={"what": what, "value": value[:80]})
    return value


def hex_of(digest: str) -> str:
    """Return the 64 hex digits of ``sha256:<hex>`` or of bare hex.

    Raises:
        InvalidError: The text is neither.
    """
    digits = digest.removeprefix("sha256:")
    if not _HEX.fullmatch(digits):
        message = f"{digest[:80]!r} is not a SHA-256 digest: expected sha256: and 64 hex digits"
        raise InvalidError(message, code="digest.invalid", params={"value": digest[:80]})
    return digits


def digest(hex_digits: str) -> Digest:
    """Return the wire form of 64 hex digits.

    Raises:
        InvalidError: The text is not a SHA-256.
    """
    return Digest(f"sha256:{hex_of(hex_digits)}")
