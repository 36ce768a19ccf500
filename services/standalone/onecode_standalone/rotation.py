"""Replace keys that sign what gateways trust, so that everybody who trusted the old ones follows by themselves.

A new folder is written beside the old one, which stays as it is: the way back, until the new one is in use.
"""

import shutil
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from onecode_common.errors import ConflictError, InvalidError
from onecode_common.files import flush_directory, write_file
from onecode_common.keys import load_key, load_or_create_key
from onecode_standalone.keyring import ROLES, ROOT_LIFE, ROOT_ROLES

KINDS: Mapping[str, tuple[str, ...]] = {
    "fleet": ("fleet",),
    "root": ("root",),
    "signing": tuple(role for role in ROLES if role != "root"),
}
"""What can be replaced, and the keys that it stands for."""


def rotate_keys(
    old: Path, new: Path, kinds: Collection[str], prefix: str, now: datetime, served: bytes = b""
) -> list[Path]:
    """Write a folder in which some keys are new, and return its folders below ``secrets``, by name.

    Args:
        old: Folder of ``onecode keys create``, or of an earlier rotation.
        new: Must not exist.
        kinds: Some of :data:`KINDS`.
        prefix: Beginning of the names of the folders.
        now: From when a new root is valid.
        served: The root that the registry serves; empty: that of the old folder, which is the same as long as the
            registry has not renewed it by itself.

    Raises:
        InvalidError: The old folder is not whole, or its root key is not the one that the root trusts.
        ConflictError: There is something at the new place.
        ExhaustedError: The disk is full.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        message = f"{(unknown or ['nothing'])[0]!r} cannot be rotated: name some of {', '.join(KINDS)}"
        raise InvalidError(message, code="keys.kind")
    if new.exists():
        message = f"{new} exists: name a folder that does not"
        raise ConflictError(message, code="keys.exists", params={"path": new})
    new.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=new.parent, prefix=f".{new.name}-") as folder:
        made = Path(folder) / "keys"
        shutil.copytree(old, made)
        _replace(made / "secrets", prefix, kinds, now, served)
        # All of it or nothing: who is interrupted finds no folder.
        made.rename(new)
    flush_directory(new.parent)
    return sorted((new / "secrets").iterdir())


def _replace(secrets: Path, prefix: str, kinds: Collection[str], now: datetime, served: bytes) -> None:
    registry, rollout, public = (secrets / f"{prefix}-{name}" for name in ("registry", "rollout", "public"))
    if "fleet" in kinds:
        _fresh(rollout / "fleet.key")
        fleet = load_key(rollout / "fleet.key").public_key()
        write_file(public / "fleet.pub", fleet.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    roles = [role for kind in kinds if kind != "fleet" for role in KINDS[kind]]
    if not roles:
        return
    retired = load_key(registry / "root.key")
    for role in roles:
        _fresh(registry / f"{role}.key")
    before = served or (public / "root.json").read_bytes()
    write_file(public / "root.json", next_root(before, retired, registry, now))


def next_root(before: bytes, retired: Ed25519PrivateKey, registry: Path, now: datetime) -> bytes:
    """Return the root that follows, for the keys in a folder, signed by the key that was trusted and by the new one.

    Raises:
        InvalidError: ``keys.root``: the bytes are no root, or the key is not the one that it trusts.
    """
    try:
        metadata = Metadata[Any].from_bytes(before)
        metadata.signed.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
        trusted = metadata.signed.roles["root"].keyids
    except (DeserializationError, RepositoryError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_root(f"it is not a signed root: {str(error)[:160]}") from error
    if CryptoSigner(retired).public_key.keyid not in trusted:
        raise _no_root("it trusts another root.key than the one in the old folder")
    signers = {role: CryptoSigner(load_key(registry / f"{role}.key")) for role in ROOT_ROLES}
    root = Root(
        version=metadata.signed.version + 1, expires=now.replace(microsecond=0) + ROOT_LIFE, consistent_snapshot=True
    )
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    signed = Metadata(root)
    signed.sign(signers["root"])
    signed.sign(CryptoSigner(retired), append=True)
    return signed.to_bytes(JSONSerializer(compact=True))


def _fresh(path: Path) -> None:
    """Replace a key that must have been there."""
    load_key(path)
    path.unlink()
    load_or_create_key(path)


def _no_root(text: str) -> InvalidError:
    hint = "take the root that the registry serves, its file public/root.json, and the folder that belongs to it"
    return InvalidError(f"no root can follow the given one: {text}", code="keys.root", hint=hint)
