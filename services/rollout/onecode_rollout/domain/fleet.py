"""Segments, gateways and sources: who is there, who may speak, and what each said last."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onecode_rollout.domain.members import reach_s


@dataclass(frozen=True, slots=True)
class Segment:
    """A named set of gateways, or the cloud.

    Attributes:
        approvals: How many people other than the author must agree to a rollout.
    """

    name: str
    approvals: int
    created: float


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's identity.

    Attributes:
        state: pending (no key yet, or not accepted yet), active or revoked.
        accept: Whether enrolment alone makes it active.
        public_key: Raw Ed25519; empty before enrolment.
        token_hash: SHA-256 of the enrolment token; the token itself is nowhere.
    """

    gateway_id: str
    segment: str
    state: str
    accept: bool
    created: float
    created_by: str
    public_key: bytes = b""
    token_id: str = ""
    token_hash: str = ""
    token_expires: float = 0.0
    token_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """What a gateway or the cloud's server told last.

    Attributes:
        status_sequence: Of the newest status; older ones change nothing.
        serving: Version by model, from the serving process's own answer.
    """

    source: str
    segment: str
    last_heard: float = 0.0
    boot_id: str = ""
    generation: int = 0
    status_sequence: int = 0
    serving: Mapping[str, str] = field(default_factory=dict)
    health: str = ""
    outbox: int = 0
    rss_bytes: int = 0
    agent_version: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    http_url: str = ""
    grpc_address: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The signed list of all policies.

    Attributes:
        version: Of the metadata; only grows.
        published: Newest version that the registry has taken.
    """

    version: int = 0
    metadata: bytes = b""
    signed_at: float = 0.0
    published: int = 0


def stale(source: Source | None, report_s: int, now: float) -> bool:
    """Whether three reports are missing."""
    return source is None or now - source.last_heard > reach_s(report_s)
