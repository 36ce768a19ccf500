"""Write down who changed what, in the transaction of the change, so that no row can be taken out unseen.

Each row's hash covers the hash of the row before it.
"""

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, insert, select

from onecode.events.v1 import events_pb2 as events
from onecode_common.canonical import canonical, sha256_hex
from onecode_common.clock import Clock
from onecode_common.outbox import Outbox

_GENESIS = "0" * 64
_FIELDS = ("sequence", "at", "principal", "action", "object", "decision", "detail", "previous")


def audit_table(metadata: MetaData) -> Table:
    """Return the table; a service's first migration creates it with the same columns."""
    return Table(
        "audit",
        metadata,
        Column("sequence", Integer, primary_key=True),
        Column("at", String(40), nullable=False),
        Column("principal", String(100), nullable=False),
        Column("action", String(100), nullable=False),
        Column("object", String(200), nullable=False),
        Column("decision", String(20), nullable=False),
        Column("detail", Text, nullable=False),
        Column("previous", String(64), nullable=False),
        Column("hash", String(64), nullable=False),
    )


class Audit:
    """The trail of one service."""

    def __init__(self, table: Table, clock: Clock, outbox: Outbox) -> None:
        self._table = table
        self._clock = clock
        self._outbox = outbox

    def record(self, connection: Connection, principal: str, action: str, object_: str, detail: str = "") -> None:
        """Add a row to the running transaction and tell of it.

        A second writer of the same number loses its whole transaction with ``ConflictError``.
        """
        table = self._table
        last = connection.execute(
            select(table.c.sequence, table.c.hash).order_by(table.c.sequence.desc()).limit(1)
        ).first()
        row: dict[str, str | int] = {
            "sequence": (last.sequence if last else 0) + 1,
            "at": self._clock.now().isoformat(),
            "principal": principal,
            "action": action,
            "object": object_,
            "decision": "allow",
            "detail": detail,
            "previous": last.hash if last else _GENESIS,
        }
        connection.execute(insert(table).values(**row, hash=sha256_hex(canonical(row))))
        self._outbox.append(
            connection,
            events.AuditRecorded(
                sequence=int(row["sequence"]), principal=principal, action=action, object=object_, decision="allow"
            ),
        )

    def first_broken(self, connection: Connection) -> int | None:
        """Return the number of the first row that does not fit the chain, or None."""
        previous = _GENESIS
        expected = 1
        for row in connection.execute(select(self._table).order_by(self._table.c.sequence)):
            content = {name: getattr(row, name) for name in _FIELDS}
            if row.sequence != expected or row.previous != previous or row.hash != sha256_hex(canonical(content)):
                return expected
            previous = row.hash
            expected += 1
        return None
