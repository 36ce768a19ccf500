"""Sign policies (TUF role ``fleet``) and decision records with Ed25519 keys from files."""

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets  # type: ignore[attr-defined]
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from onecode_common.errors import InvalidError
from onecode_rollout.ports import StoredPolicy


class TufFleetSigner:
    """Signs the list of policies; see :class:`onecode_rollout.ports.FleetSigner`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._signer = CryptoSigner(key)

    def sign(self, version: int, expires: float, policies: Sequence[StoredPolicy]) -> bytes:
        """Return signed targets metadata that names every policy with length and SHA-256."""
        targets = {}
        for one in policies:
            path = f"fleet/{one.segment}/policy.json"
            custom = {"custom": {"segment": one.segment, "generation": one.generation}}
            targets[path] = TargetFile(len(one.content), {"sha256": one.sha256}, path, custom)
        until = datetime.fromtimestamp(int(expires), UTC)
        metadata: Metadata[Targets] = Metadata(Targets(version=version, expires=until, targets=targets))
        metadata.sign(self._signer)
        return metadata.to_bytes(JSONSerializer(compact=True))

    def read(self, metadata: bytes) -> tuple[int, dict[str, int]]:
        """Return version and generation by segment.

        Raises:
            InvalidError: It is not targets metadata.
        """
        if not metadata:
            return 0, {}
        try:
            signed = Metadata[Targets].from_bytes(metadata).signed
        except (DeserializationError, RepositoryError) as error:
            raise InvalidError("the fleet metadata of the registry cannot be read", code="fleet.metadata") from error
        customs = [target.custom or {} for target in signed.targets.values()]
        return signed.version, {str(one["segment"]): int(one["generation"]) for one in customs if "generation" in one}

    def made(self, metadata: bytes) -> bool:
        """Return whether the key in use has signed this; it was verified when it was published."""
        return self._signer.public_key.keyid in Metadata[Targets].from_bytes(metadata).signatures


def record_signer(key: Ed25519PrivateKey) -> Callable[[bytes], str]:
    """Return a function that signs records; the signature is base64."""

    def sign(content: bytes) -> str:
        return base64.b64encode(key.sign(content)).decode()

    return sign
