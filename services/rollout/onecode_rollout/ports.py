"""Name what the rules need from outside: records in one transaction, the registry, signatures, hints."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from onecode_common.clock import Clock
from onecode_rollout.domain.compatibility import Version
from onecode_rollout.domain.fleet import Gateway
from onecode_rollout.rows import ArmTotal, Records, Rows, StoredPolicy, Traffic

__all__ = [
    "ArmTotal",
    "FleetSigner",
    "GatewayTokens",
    "Hints",
    "Ports",
    "Records",
    "Registry",
    "Rows",
    "StoredPolicy",
    "Traffic",
]


class Registry(Protocol):
    """The model registry."""

    def version(self, digest: str) -> Version:
        """Return a model version. Raises NotFoundError."""
        ...

    def publish(self, version: int, metadata: bytes, policies: Mapping[str, bytes]) -> None:
        """Hand over signed policies by path; the same version again is nothing new."""
        ...

    def published(self) -> bytes:
        """Return the fleet metadata that it serves; empty when none."""
        ...

    def root(self) -> bytes:
        """Return the trusted root metadata."""
        ...

    def move_champion(self, model: str, digest: str) -> None:
        """Make a version the model's champion by compare-and-set. Raises ConflictError when another moved it."""
        ...


class FleetSigner(Protocol):
    """Signs the list of policies in the name of the role ``fleet``."""

    def sign(self, version: int, expires: float, policies: Sequence[StoredPolicy]) -> bytes:
        """Return signed targets metadata that names every policy."""
        ...

    def read(self, metadata: bytes) -> tuple[int, dict[str, int]]:
        """Return version and generation by segment of metadata; (0, {}) for none."""
        ...


class Hints(Protocol):
    """Messages that may be lost."""

    def wake(self, segment: str, generation: int) -> None:
        """Tell a segment that there is a new policy."""
        ...

    def acknowledge(self, source: str, sequences: Sequence[int]) -> None:
        """Tell a source which reports are committed."""
        ...


class GatewayTokens(Protocol):
    """Tokens of gateways."""

    def mint(self, gateway_id: str, segment: str) -> tuple[str, int]:
        """Return an access token and its life in seconds."""
        ...

    def gateway_of(self, access_token: str) -> str:
        """Return the gateway that an access token names. Raises UnauthenticatedError."""
        ...

    def unverified_gateway(self, assertion: str) -> str:
        """Return the gateway that an assertion claims to come from. Raises UnauthenticatedError."""
        ...

    def check_assertion(self, assertion: str, gateway: Gateway, now: float) -> tuple[str, float]:
        """Return one-time id and end of an assertion signed by the gateway's key. Raises UnauthenticatedError."""
        ...

    def check_signature(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature. Raises UnauthenticatedError."""
        ...


class Ports(NamedTuple):
    """All of the outside."""

    records: Records
    registry: Registry
    fleet_signer: FleetSigner
    sign_record: Callable[[bytes], str]
    hints: Hints
    tokens: GatewayTokens
    clock: Clock
    random_bytes: Callable[[int], bytes]
