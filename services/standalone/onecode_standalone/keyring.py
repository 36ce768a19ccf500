"""Make every key and token of a platform whose services run apart, one folder of files for each who may read them.

In a cluster each folder below ``secrets`` becomes one Secret. What is there stays as it is, so that a run that
adds something changes nobody's key.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.serialization.json import JSONSerializer

from onecode_common.errors import InvalidError
from onecode_common.files import write_file
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_standalone.addresses import SERVICES
from onecode_standalone.apikey import new_api_key
from onecode_standalone.bus_config import authorization
from onecode_standalone.secret_files import secret, seed_of, sha256_hex

SIGNERS = ("training", "rollout", "inference", "console")
"""Services with a key of their own; ingestion and registry call nobody."""

ROLES = ("root", "targets", "models", "snapshot", "timestamp")
"""Keys with which the registry signs what gateways and servers trust."""

ROOT_ROLES = ("root", "targets", "snapshot", "timestamp")
"""Those that the root itself names; models stands below targets."""

ROOT_LIFE = timedelta(days=365)


def create_keys(folder: Path, prefix: str, now: datetime) -> list[Path]:
    """Fill the folder and return the folders below ``secrets``, by name.

    Args:
        folder: New, empty, or filled by an earlier run.
        prefix: Beginning of the names of the folders; those of the Secrets.
        now: From when the signed root is valid.

    Raises:
        InvalidError: A key file is damaged, or only a part of the signing keys is there.
        ExhaustedError: The disk is full.
        UnavailableError: The folder cannot be written.
    """
    below = folder / "secrets"

    def of(name: str) -> Path:
        found = below / f"{prefix}-{name}"
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        return found

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = {service: of(service) for service in SERVICES}
    callers = {name: public_bytes(load_or_create_key(own[name] / "service.key")) for name in SIGNERS}
    write_file(of("public") / "jwks.json", jwks_document(callers))
    fleet = load_or_create_key(own["rollout"] / "fleet.key").public_key()
    write_file(of("public") / "fleet.pub", fleet.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    _root(own["registry"], of("public") / "root.json", now)
    _tokens(own, of("api"))
    seeds = {service: seed_of(own[service] / "nats.seed") for service in SERVICES}
    write_file(of("bus") / "authorization.conf", authorization(seeds, segments={}).encode(), mode=0o600)
    return sorted(below.iterdir())


def _root(registry: Path, root: Path, now: datetime) -> None:
    """Sign the root once: servers and gateways begin to trust with it, so it must not change afterwards."""
    there = [role for role in ROLES if (registry / f"{role}.key").exists()]
    if root.exists() and set(there) == set(ROLES):
        return
    if root.exists() or there:
        message = (
            f"{registry} holds the keys {', '.join(there) or 'of no role'}, which do not belong to one {root.name}"
        )
        raise InvalidError(message, code="keys.partial", hint="restore what is missing, or begin in an empty folder")
    keys = {role: load_or_create_key(registry / f"{role}.key") for role in ROLES}
    signed = Root(expires=now.replace(microsecond=0) + ROOT_LIFE, consistent_snapshot=True)
    for role in ROOT_ROLES:
        signed.add_key(CryptoSigner(keys[role]).public_key, role)
    metadata = Metadata(signed)
    metadata.sign(CryptoSigner(keys["root"]))
    # The folder with the keys alone is refused above, so the root comes last: a run that was cut begins anew.
    write_file(root, metadata.to_bytes(JSONSerializer(compact=True)))


def _tokens(own: Mapping[str, Path], api: Path) -> None:
    token = secret(api / "api-token", new_api_key())
    write_file(own["console"] / "api-token", token.encode(), mode=0o600)
    write_file(own["inference"] / "api-tokens.sha256", sha256_hex(token), mode=0o600)
    secret(own["console"] / "login-code", secrets.token_urlsafe(32))
    secret(own["training"] / "ray-token", secrets.token_hex(32))
