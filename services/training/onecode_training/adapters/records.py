"""Open transactions on training's database, one writer at a time on either kind."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit
from onecode_common.clock import Clock
from onecode_common.database import Database
from onecode_common.outbox import Outbox
from onecode_training.adapters.run_rows import SqlLogRows, SqlRunRows
from onecode_training.adapters.tables import AUDIT, OUTBOX
from onecode_training.domain.run import Run

_LOCK = 0x0C_0D_E1
"""Number of the advisory lock that makes writers take turns on PostgreSQL, as they do on SQLite."""


class SqlUnit:
    """See :class:`onecode_training.ports.Unit`."""

    def __init__(self, connection: Connection, outbox: Outbox, audit: Audit) -> None:
        self._connection = connection
        self._outbox = outbox
        self._audit = audit
        self.runs = SqlRunRows(connection)
        self.logs = SqlLogRows(connection)

    def tell_finished(self, run: Run) -> None:
        """Tell others that a run has ended."""
        fact = events.RunFinished(
            run_id=run.run_id, state=run.state, model=run.model, model_digest=run.model_digest, error=run.error
        )
        self._outbox.append(self._connection, fact)

    def audit(self, principal: str, action: str, object_: str, detail: str = "") -> None:
        """Write down who changed what."""
        self._audit.record(self._connection, principal, action, object_, detail)


class SqlRecords:
    """See :class:`onecode_training.ports.Records`."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self.outbox = Outbox(OUTBOX, "training", clock, project)
        self._audit = Audit(AUDIT, clock, self.outbox)

    @contextmanager
    def transaction(self) -> Iterator[SqlUnit]:
        """Open a transaction that no other writer runs beside."""
        with self._database.transaction() as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield SqlUnit(connection, self.outbox, self._audit)
