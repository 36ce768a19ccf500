"""Keep segments, gateways, sources and policies in the database."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from onecode_common.canonical import sha256_hex
from onecode_common.restored import take_restored
from onecode_rollout.adapters.documents import policy_from, policy_text, source_from, source_text
from onecode_rollout.adapters.tables import ASSERTIONS, FLEET, GATEWAYS, POLICIES, SEGMENTS, SOURCES
from onecode_rollout.adapters.upsert import upsert
from onecode_rollout.domain.fleet import Fleet, Gateway, Segment, Source
from onecode_rollout.domain.policy import SegmentPolicy
from onecode_rollout.ports import StoredPolicy

_ONLY = 1
"""The fleet table has one row."""


class SqlFleetRows:
    """Segments, gateways and sources; see :class:`onecode_rollout.ports.FleetRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def segments(self) -> list[Segment]:
        """Return all, by name."""
        rows = self._connection.execute(select(SEGMENTS).order_by(SEGMENTS.c.name))
        return [Segment(row.name, row.approvals, row.created) for row in rows]

    def segment(self, name: str) -> Segment | None:
        """Return one."""
        row = self._connection.execute(select(SEGMENTS).where(SEGMENTS.c.name == name)).first()
        return Segment(row.name, row.approvals, row.created) if row is not None else None

    def add_segment(self, segment: Segment) -> None:
        """Keep a new one; the primary key refuses a second."""
        values = {"name": segment.name, "approvals": segment.approvals, "created": segment.created}
        self._connection.execute(insert(SEGMENTS).values(values))

    def gateways(self, segment: str = "") -> list[Gateway]:
        """Return all, or those of a segment, by id."""
        query = select(GATEWAYS).order_by(GATEWAYS.c.gateway_id)
        if segment:
            query = query.where(GATEWAYS.c.segment == segment)
        return [_gateway(row) for row in self._connection.execute(query)]

    def gateway(self, gateway_id: str) -> Gateway | None:
        """Return one."""
        row = self._connection.execute(select(GATEWAYS).where(GATEWAYS.c.gateway_id == gateway_id)).first()
        return _gateway(row) if row is not None else None

    def gateway_by_token(self, token_id: str) -> Gateway | None:
        """Return the one that an enrolment token was made for."""
        row = self._connection.execute(select(GATEWAYS).where(GATEWAYS.c.token_id == token_id)).first()
        return _gateway(row) if row is not None else None

    def save_gateway(self, gateway: Gateway) -> None:
        """Keep a new or changed one."""
        values = {name: getattr(gateway, name) for name in GATEWAYS.c.keys()}  # noqa: SIM118 - not a mapping
        upsert(self._connection, GATEWAYS, values)

    def use_token(self, gateway: Gateway, public_key: bytes, state: str, now: float) -> bool:
        """Bind the key in one conditional update: of two racing devices one wins."""
        done = self._connection.execute(
            update(GATEWAYS)
            .where(
                GATEWAYS.c.gateway_id == gateway.gateway_id,
                GATEWAYS.c.token_hash == gateway.token_hash,
                GATEWAYS.c.token_used == 0.0,
                GATEWAYS.c.token_expires > now,
            )
            .values(public_key=public_key, state=state, token_used=now)
        )
        return done.rowcount == 1

    def remember_assertion(self, gateway_id: str, jti: str, until: float, now: float) -> bool:
        """Note a one-time id; return False when it was used before."""
        self._connection.execute(delete(ASSERTIONS).where(ASSERTIONS.c.until < now))
        key = (ASSERTIONS.c.gateway_id == gateway_id, ASSERTIONS.c.jti == jti)
        if self._connection.execute(select(ASSERTIONS.c.jti).where(*key)).first() is not None:
            return False
        self._connection.execute(insert(ASSERTIONS).values(gateway_id=gateway_id, jti=jti, until=until))
        return True

    def source(self, name: str) -> Source | None:
        """Return what a source told last."""
        row = self._connection.execute(select(SOURCES.c.document).where(SOURCES.c.source == name)).first()
        return source_from(row.document) if row is not None else None

    def sources(self) -> dict[str, Source]:
        """Return all by name."""
        rows = self._connection.execute(select(SOURCES.c.source, SOURCES.c.document))
        return {row.source: source_from(row.document) for row in rows}

    def save_source(self, source: Source) -> None:
        """Keep what a source told."""
        values = {
            "source": source.source,
            "segment": source.segment,
            "last_heard": source.last_heard,
            "document": source_text(source),
        }
        upsert(self._connection, SOURCES, values)


class SqlPolicyRows:
    """Policies; see :class:`onecode_rollout.ports.PolicyRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def policy(self, segment: str) -> SegmentPolicy | None:
        """Return what a segment should serve."""
        row = self._connection.execute(select(POLICIES.c.document).where(POLICIES.c.segment == segment)).first()
        return policy_from(row.document) if row is not None else None

    def save(self, policy: SegmentPolicy, content: bytes, fleet_version: int) -> None:
        """Keep a policy and its bytes."""
        values = {
            "segment": policy.segment,
            "generation": policy.generation,
            "document": policy_text(policy),
            "content": content,
            "sha256": sha256_hex(content),
            "fleet_version": fleet_version,
        }
        upsert(self._connection, POLICIES, values)

    def stored(self, newer_than: int = -1) -> list[StoredPolicy]:
        """Return the policies that changed after a fleet version."""
        query = select(POLICIES).where(POLICIES.c.fleet_version > newer_than).order_by(POLICIES.c.segment)
        return [
            StoredPolicy(row.segment, row.generation, row.content, row.sha256, row.fleet_version)
            for row in self._connection.execute(query)
        ]

    def fleet(self) -> Fleet:
        """Return the signed list; an empty one before the first."""
        row = self._connection.execute(select(FLEET)).first()
        # The attribute ``metadata`` of a row is the column's, but types do not say so.
        return Fleet(row.version, row._mapping["metadata"], row.signed_at, row.published) if row else Fleet()  # noqa: SLF001

    def save_fleet(self, fleet: Fleet) -> None:
        """Keep the signed list."""
        values = {
            "id": _ONLY,
            "version": fleet.version,
            "metadata": fleet.metadata,
            "signed_at": fleet.signed_at,
            "published": fleet.published,
        }
        upsert(self._connection, FLEET, values)

    def take_restored(self) -> bool:
        """Return whether these records come from a backup and nobody has acted on it yet."""
        return take_restored(self._connection)


def _gateway(row: Row[Any]) -> Gateway:
    return Gateway(**dict(row._mapping))  # noqa: SLF001 - the public way to a row's names
