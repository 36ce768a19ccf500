"""Write a document in exactly one way, so that its digest is its name."""

import hashlib
import json
from collections.abc import Mapping, Sequence

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def canonical(document: Json) -> bytes:
    """Return UTF-8 JSON with sorted keys, no blanks, no NaN.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of the bytes, 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(document: Json) -> str:
    """Return ``sha256:<hex>`` of the canonical form."""
    return f"sha256:{sha256_hex(canonical(document))}"
