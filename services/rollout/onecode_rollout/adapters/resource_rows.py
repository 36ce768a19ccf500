"""Keep what ModelRollout objects asked for, and leases, in the database."""

from dataclasses import asdict

from sqlalchemy import Connection, select

from onecode_rollout.adapters.tables import CUSTOM_RESOURCES, LEASES
from onecode_rollout.adapters.upsert import upsert
from onecode_rollout.domain.lease import Lease
from onecode_rollout.domain.wish import Followed


class SqlResourceRows:
    """Objects and leases; see :class:`onecode_rollout.resource_rows.ResourceRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def followed(self, namespace: str) -> list[Followed]:
        """Return all of a namespace, by name."""
        query = select(CUSTOM_RESOURCES).where(CUSTOM_RESOURCES.c.namespace == namespace)
        rows = self._connection.execute(query.order_by(CUSTOM_RESOURCES.c.name))
        return [Followed(row.namespace, row.name, row.rollout_id, row.paused, row.present) for row in rows]

    def save(self, followed: Followed) -> None:
        """Keep a new or changed one."""
        upsert(self._connection, CUSTOM_RESOURCES, asdict(followed))

    def lease(self, name: str) -> Lease | None:
        """Return a lease."""
        row = self._connection.execute(select(LEASES).where(LEASES.c.name == name)).first()
        return Lease(row.name, row.holder, row.until) if row is not None else None

    def save_lease(self, lease: Lease) -> None:
        """Keep it."""
        upsert(self._connection, LEASES, asdict(lease))
