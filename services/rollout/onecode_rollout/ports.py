"""Name what the rules need from outside: records in one transaction, the registry, signatures, hints."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from onecode_common.clock import Clock
from onecode_rollout.domain.compatibility import Version
from onecode_rollout.domain.fleet import Gateway
from onecode_rollout.domain.wish import Wish
from onecode_rollout.rows import ArmTotal, Records, Rows, StoredPolicy, Traffic

__all__ = [
    "ArmTotal",
    "FleetSigner",
    "GatewayTokens",
    "Hints",
    "Ports",
    "Records",
    "Registry",
    "Resource",
    "Resources",
    "Rows",
    "StoredPolicy",
    "Traffic",
]


class Registry(Protocol):
    """The model registry."""

    def version(self, digest: str) -> Version:
        """Return a model version. Raises NotFoundError."""
        ...

    def release(self, model: str, number: int) -> Version:
        """Return a model version by its release number. Raises NotFoundError."""
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

    def made(self, metadata: bytes) -> bool:
        """Return whether the key in use has signed this."""
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


class Resource(NamedTuple):
    """A ModelRollout object as it was seen last: what it asks for, and the status that it has."""

    wish: Wish
    status: Mapping[str, Any]


class Resources(Protocol):
    """The ModelRollout objects of one namespace."""

    @property
    def namespace(self) -> str:
        """Where they are."""
        ...

    def seen(self) -> Sequence[Resource] | None:
        """Return all objects as seen last; None before the first complete look."""
        ...

    def write_status(self, name: str, patch: Mapping[str, Any]) -> None:
        """Merge into an object's status; nothing happens where the object is gone.

        Raises:
            UnavailableError: The API server does not answer, or asks to wait.
            DeniedError: This service may not write it.
            InvalidError: The API server refuses the status.
        """
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
