"""Open transactions on the service's database, one writer at a time on either kind."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit
from onecode_common.clock import Clock
from onecode_common.database import Database
from onecode_common.outbox import Outbox
from onecode_rollout.adapters.fleet_rows import SqlFleetRows, SqlPolicyRows
from onecode_rollout.adapters.report_rows import SqlReportRows
from onecode_rollout.adapters.resource_rows import SqlResourceRows
from onecode_rollout.adapters.rollout_rows import SqlRolloutRows
from onecode_rollout.adapters.tables import AUDIT, OUTBOX
from onecode_rollout.domain.rollout import Rollout

_LOCK = 0x0C_0D_E0
"""Number of the advisory lock that makes writers take turns on PostgreSQL, as they do on SQLite."""


class SqlRows:
    """All records in one transaction; see :class:`onecode_rollout.ports.Rows`."""

    def __init__(self, connection: Connection, outbox: Outbox, audit: Audit) -> None:
        self._connection = connection
        self._outbox = outbox
        self._audit = audit
        self.fleet = SqlFleetRows(connection)
        self.policies = SqlPolicyRows(connection)
        self.rollouts = SqlRolloutRows(connection)
        self.reports = SqlReportRows(connection)
        self.resources = SqlResourceRows(connection)

    def tell_rollout(self, rollout: Rollout, sentence: str) -> None:
        """Tell others of a changed rollout once this transaction is committed."""
        fact = events.RolloutChanged(
            rollout_id=rollout.rollout_id,
            state=rollout.state,
            reason=rollout.reason,
            step=rollout.step,
            sentence=sentence,
        )
        self._outbox.append(self._connection, fact)

    def tell_policy(self, segment: str, generation: int) -> None:
        """Tell others of a published policy."""
        self._outbox.append(self._connection, events.PolicyPublished(segment=segment, generation=generation))

    def audit(self, principal: str, action: str, object_: str, detail: str = "") -> None:
        """Write down who changed what."""
        self._audit.record(self._connection, principal, action, object_, detail)


class SqlRecords:
    """The service's database."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self.outbox = Outbox(OUTBOX, "rollout", clock, project)
        self._audit = Audit(AUDIT, clock, self.outbox)

    @contextmanager
    def transaction(self) -> Iterator[SqlRows]:
        """Open a transaction that no other writer runs beside.

        Raises:
            ConflictError: A unique value is taken.
            UnavailableError: The database does not answer.
        """
        with self._database.transaction() as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield SqlRows(connection, self.outbox, self._audit)
