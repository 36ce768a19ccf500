"""Sign TUF metadata: whoever serves or relays it can neither forge it, roll it back, freeze it nor mix it.

Keys lie in one folder, a file each with mode 0600. The root key is needed at the first start and when keys
change; between, an operator may keep it elsewhere.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (  # type: ignore[attr-defined]  # exported without a mark
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from onecode_common.errors import InvalidError
from onecode_common.keys import load_key, load_or_create_key
from onecode_registry.adapters.roots import check_root, successor
from onecode_registry.ports import Fleet, Target

MODELS, FLEET = "models", "fleet"

LIFETIMES: Mapping[str, timedelta] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    MODELS: timedelta(days=90),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(hours=24),
}
"""How long each role's metadata is believed."""

_RENEW_AT: Mapping[str, timedelta] = {
    "root": timedelta(days=60),
    "targets": timedelta(days=30),
    MODELS: timedelta(days=30),
    "snapshot": timedelta(days=3, hours=12),
    "timestamp": timedelta(hours=23),
}
"""A role is signed again when less than this is left of its life."""

_BELOW_ROOT = ("targets", "snapshot", "timestamp")
_DAILY = ("targets", MODELS, "snapshot", "timestamp")
_PATHS = {MODELS: ["models/*/*/*"], FLEET: ["fleet/*/*"]}
_MAX_FLEET_BYTES = 8 << 20
_SERIALIZER = JSONSerializer(compact=True)


class FileSigning:
    """See :class:`onecode_registry.ports.Signing`.

    Args:
        folder: Where the keys lie; made when it is missing.
        fleet_public_key: PEM of the key that signs policies.
        root: The newest root that was made elsewhere, so that others could be given it; else empty.

    Raises:
        InvalidError: The PEM is no Ed25519 public key.
    """

    def __init__(self, folder: Path, fleet_public_key: bytes, root: bytes = b"") -> None:
        self._folder = folder
        self._fleet = _public_key(fleet_public_key)
        self._given_root = root

    def first(self, now: datetime) -> dict[str, bytes]:
        """Make keys where there are none, and return the first version of everything.

        Raises:
            InvalidError: A root was given that does not trust the keys in the folder.
        """
        if self._given_root:
            first = self._first_below_root(now)
            check_root(self._given_root, first)
            return {"root": self._given_root, **first}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for role in LIFETIMES:
            load_or_create_key(self._key_file(role))
        root = Root(expires=_until("root", now), consistent_snapshot=True)
        for role in ("root", *_BELOW_ROOT):
            root.add_key(self._signer(role).public_key, role)
        return {"root": self._signed("root", Metadata(root)), **self._first_below_root(now)}

    def _first_below_root(self, now: datetime) -> dict[str, bytes]:
        targets = Targets(expires=_until("targets", now), delegations=Delegations({}, {MODELS: _role(MODELS)}))
        targets.add_key(self._signer(MODELS).public_key, MODELS)
        snapshot = Snapshot(
            expires=_until("snapshot", now), meta={"targets.json": MetaFile(1), f"{MODELS}.json": MetaFile(1)}
        )
        return {
            "targets": self._signed("targets", Metadata(targets)),
            MODELS: self._signed(MODELS, Metadata(Targets(expires=_until(MODELS, now)))),
            "snapshot": self._signed("snapshot", Metadata(snapshot)),
            "timestamp": self._signed("timestamp", Metadata(Timestamp(expires=_until("timestamp", now)))),
        }

    def require_keys(self, root: bytes) -> None:
        """Refuse to go on without the keys that every day needs, or with others than the root trusts."""
        trusted = _read(root, Root).signed.roles
        # A root key may be elsewhere; one that is here will renew the root some day.
        for role in (*_DAILY, *(["root"] if self._key_file("root").exists() else [])):
            signer = self._signer(role)
            if role in trusted and signer.public_key.keyid not in trusted[role].keyids:
                message = f"{self._key_file(role)} is not a key that the root in force trusts with {role}"
                hint = "give the root of the same run of `onecode keys` together with its keys"
                raise InvalidError(message, code="trust.keys", hint=hint)

    def successor(self, root: bytes) -> bytes | None:
        """Return the given root if it follows this one."""
        return successor(root, self._given_root) if self._given_root else None

    def entrusting(self, targets: bytes, now: datetime) -> bytes:
        """Return the next version of targets that trusts the key of models in use."""
        metadata = _read(targets, Targets)
        _entrust(metadata, MODELS, self._signer(MODELS).public_key)
        return self._next("targets", metadata, now)

    def models(self, current: bytes, add: Sequence[Target], remove: Sequence[str], now: datetime) -> bytes:
        """Return the next version of the list of models."""
        metadata = _read(current, Targets)
        for path in remove:
            metadata.signed.targets.pop(path, None)
        for target in add:
            metadata.signed.targets[target.path] = TargetFile(
                target.length,
                {"sha256": target.hex_digest},
                target.path,
                {"custom": {"name": target.name, "release": target.release, "digest": f"sha256:{target.hex_digest}"}},
            )
        return self._next(MODELS, metadata, now)

    def renewed(self, role: str, current: bytes, now: datetime) -> bytes:
        """Return the next version with the same content, valid from now."""
        return self._next(role, Metadata[Any].from_bytes(current), now)

    def advanced(self, role: str, current: bytes, by: int, now: datetime) -> bytes:
        """Return the same content under a number that is higher by ``by``, valid from now."""
        metadata = Metadata[Any].from_bytes(current)
        metadata.signed.version += by - 1
        return self._next(role, metadata, now)

    def delegating(self, targets: bytes, now: datetime) -> bytes | None:
        """Return the next version of targets that trusts the fleet key in use; None if it does already."""
        metadata = _read(targets, Targets)
        roles = metadata.signed.delegations.roles
        # A role without metadata would look like an attack to clients, so it is named with its first policy.
        role = roles.setdefault(FLEET, _role(FLEET))
        if role.keyids == [self._fleet.keyid]:
            return None
        _entrust(metadata, FLEET, self._fleet)
        return self._next("targets", metadata, now)

    def snapshot(self, current: bytes, versions: Mapping[str, int], now: datetime) -> bytes:
        """Return the next snapshot."""
        metadata = _read(current, Snapshot)
        for role, version in versions.items():
            metadata.signed.meta[f"{role}.json"] = MetaFile(version)
        return self._next("snapshot", metadata, now)

    def timestamp(self, current: bytes, snapshot: bytes, now: datetime) -> bytes:
        """Return the next timestamp."""
        metadata = _read(current, Timestamp)
        metadata.signed.snapshot_meta = MetaFile(self.version(snapshot))
        return self._next("timestamp", metadata, now)

    def version(self, content: bytes) -> int:
        """Return the version of any metadata."""
        return int(Metadata[Any].from_bytes(content).signed.version)

    def is_due(self, role: str, content: bytes, now: datetime) -> bool:
        """Return whether it should be signed again by now; a root whose key is elsewhere never is."""
        if role == "root" and not self._key_file(role).exists():
            return False
        return bool(Metadata[Any].from_bytes(content).signed.expires - now < _RENEW_AT[role])

    def policies(self, content: bytes) -> Mapping[str, tuple[str, int]]:
        """Return (hex digest, length) by path of fleet metadata that was checked before."""
        return _policies(_read(content, Targets))

    def check_fleet(self, targets: bytes, fleet: bytes, now: datetime) -> Fleet:
        """Verify metadata of role fleet against the key that targets delegates to."""
        if len(fleet) > _MAX_FLEET_BYTES:
            raise _refused("policy.metadata", f"it has {len(fleet)} bytes, at most {_MAX_FLEET_BYTES} are read")
        try:
            metadata = Metadata[Any].from_bytes(fleet)
        except (DeserializationError, RecursionError) as error:
            raise _refused("policy.metadata", f"it is no TUF metadata: {str(error)[:120]}") from error
        if not isinstance(metadata.signed, Targets):
            raise _refused("policy.metadata", f"it is of type {metadata.signed.type}, expected targets")
        try:
            _read(targets, Targets).verify_delegate(FLEET, metadata)
        except RepositoryError as error:
            raise _refused("policy.signature", "it is not signed by the key of role fleet") from error
        if metadata.signed.is_expired(now):
            raise _refused("policy.expired", f"it expired at {metadata.signed.expires.isoformat()}")
        if metadata.signed.delegations is not None:
            raise _refused("policy.metadata", "it delegates, which role fleet may not")
        return Fleet(metadata.signed.version, _policies(metadata))

    def _key_file(self, role: str) -> Path:
        return self._folder / f"{role}.key"

    def _signer(self, role: str) -> CryptoSigner:
        return CryptoSigner(load_key(self._key_file(role)))

    def _next(self, role: str, metadata: Metadata[Any], now: datetime) -> bytes:
        metadata.signed.version += 1
        metadata.signed.expires = _until(role, now)
        return self._signed(role, metadata)

    def _signed(self, role: str, metadata: Metadata[Any]) -> bytes:
        metadata.sign(self._signer(role))
        return metadata.to_bytes(_SERIALIZER)


def _read(content: bytes, kind: type[object]) -> Metadata[Any]:
    metadata = Metadata[Any].from_bytes(content)
    if not isinstance(metadata.signed, kind):
        message = f"stored metadata is {metadata.signed.type}, expected {kind.__name__}"
        raise TypeError(message)
    return metadata


def _entrust(targets: Metadata[Any], role: str, key: SSlibKey) -> None:
    """Trust this key with a delegated role, and no other."""
    for keyid in list(targets.signed.delegations.roles[role].keyids):
        targets.signed.revoke_key(keyid, role)
    targets.signed.add_key(key, role)


def _role(name: str) -> DelegatedRole:
    return DelegatedRole(name, [], 1, terminating=True, paths=_PATHS[name])


def _until(role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + LIFETIMES[role]


def _public_key(pem: bytes) -> SSlibKey:
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        message = "the fleet's public key is not a PEM key"
        raise InvalidError(message, code="key.format") from error
    if not isinstance(key, Ed25519PublicKey):
        message = "the fleet's public key is not an Ed25519 key"
        raise InvalidError(message, code="key.format")
    return SSlibKey.from_crypto(key)


def _policies(metadata: Metadata[Any]) -> dict[str, tuple[str, int]]:
    return {path: _pinned(path, one) for path, one in sorted(metadata.signed.targets.items())}


def _pinned(path: str, target: TargetFile) -> tuple[str, int]:
    hex_digest = target.hashes.get("sha256", "")
    if not hex_digest:
        raise _refused("policy.metadata", f"{path[:120]!r} has no SHA-256")
    return hex_digest, target.length


def _refused(code: str, text: str) -> InvalidError:
    return InvalidError(f"the fleet metadata cannot be published: {text}", code=code)
