"""Keep Ed25519 keys in files of mode 0600 and their public halves in one JWKS file."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from onecode_common.errors import InvalidError
from onecode_common.files import write_file


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in the file; where there is none, make one with mode 0600.

    Raises:
        InvalidError: The file is not an Ed25519 key, or others may read it.
    """
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, pem, mode=0o600)
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in the file.

    Its owner alone may read it. Where the owner is another user, as of a secret that a cluster mounts, this process
    can only be given it through the group, so the group may read it as well.

    Raises:
        InvalidError: There is none, it is not an Ed25519 key, or others may read it.
    """
    try:
        status = path.stat()
        pem = path.read_bytes()
    except OSError as error:
        message = f"cannot read the key file {path}: create it or correct the setting"
        raise InvalidError(message, code="key.missing", params={"path": path}) from error
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if status.st_mode & forbidden:
        message = f"key file {path} may be read by others: chmod 600 {path}"
        raise InvalidError(message, code="key.mode", params={"path": path})
    try:
        key = load_pem_private_key(pem, password=None)
    except ValueError as error:
        message = f"{path} is not a PEM key"
        raise InvalidError(message, code="key.format", params={"path": path}) from error
    if not isinstance(key, Ed25519PrivateKey):
        message = f"{path} is not an Ed25519 key"
        raise InvalidError(message, code="key.format", params={"path": path})
    return key


def public_bytes(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """Return the 32 raw bytes of the public half."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def jwks_document(keys: Mapping[str, bytes]) -> bytes:
    """Return a JWKS of raw public keys by key id."""
    entries = [
        {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
        for kid, raw in sorted(keys.items())
    ]
    return json.dumps({"keys": entries}, indent=1).encode()


def parse_jwks(document: bytes) -> dict[str, Ed25519PublicKey]:
    """Return the public keys by key id.

    Raises:
        InvalidError: The document is not a JWKS of Ed25519 keys.
    """
    try:
        entries = json.loads(document)["keys"]
        return {
            entry["kid"]: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(entry["x"] + "=="))
            for entry in entries
            if entry["crv"] == "Ed25519"
        }
    except (ValueError, KeyError, TypeError) as error:
        message = "the JWKS file is not a list of Ed25519 keys"
        raise InvalidError(message, code="key.jwks") from error
