"""Make the secrets that are no Ed25519 keys, each once, in a file that its owner alone may read."""

import hashlib
import os
from pathlib import Path

import nkeys

from onecode_common.files import write_file


def seed_of(path: Path) -> str:
    """Return the public key of the NKEY seed in the file, which is made where there is none."""
    if not path.exists():
        write_file(path, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER), mode=0o600)
    public: bytes = nkeys.from_seed(bytearray(path.read_bytes().strip())).public_key
    return public.decode()


def secret(path: Path, value: str) -> str:
    """Return what the file says; the value is written where there is no file."""
    if not path.exists():
        write_file(path, value.encode(), mode=0o600)
    return path.read_text(encoding="utf-8").strip()


def sha256_hex(text: str) -> bytes:
    """Return the digest by which inference knows a token."""
    return hashlib.sha256(text.encode()).hexdigest().encode()
