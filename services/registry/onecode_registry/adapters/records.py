"""Open transactions on the registry's database and hand out its tables in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, update

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit
from onecode_common.database import Database
from onecode_common.outbox import Outbox
from onecode_registry.adapters.run_rows import SqlRuns
from onecode_registry.adapters.tables import turns
from onecode_registry.adapters.trust_rows import SqlTrust
from onecode_registry.adapters.version_rows import SqlAliases, SqlVersions
from onecode_registry.domain.version import Alias, Version


class SqlUnit:
    """See :class:`onecode_registry.rows.Unit`."""

    def __init__(self, connection: Connection, outbox: Outbox, audit: Audit) -> None:
        self.versions = SqlVersions(connection)
        self.aliases = SqlAliases(connection)
        self.trust = SqlTrust(connection)
        self.runs = SqlRuns(connection)
        self._connection = connection
        self._outbox = outbox
        self._audit = audit

    def turn(self) -> None:
        """Wait until no other writer is at work."""
        # The row is locked until the end of the transaction; on SQLite writers take turns anyway.
        self._connection.execute(update(turns).values(number=turns.c.number + 1))

    def audit(self, principal: str, action: str, object_: str, detail: str) -> None:
        """Write down who changed what."""
        self._audit.record(self._connection, principal, action, object_, detail)

    def tell_ready(self, version: Version) -> None:
        """Tell that a version can be used."""
        fact = events.ModelVersionReady(model=version.model, release=version.release, digest=version.digest)
        self._outbox.append(self._connection, fact)

    def tell_alias(self, alias: Alias) -> None:
        """Tell that an alias moved."""
        fact = events.AliasChanged(model=alias.model, alias=alias.alias, digest=alias.digest)
        self._outbox.append(self._connection, fact)


class SqlRecords:
    """See :class:`onecode_registry.rows.Records`."""

    def __init__(self, database: Database, outbox: Outbox, audit: Audit) -> None:
        self._database = database
        self._outbox = outbox
        self._audit = audit

    @contextmanager
    def transaction(self) -> Iterator[SqlUnit]:
        """Begin; commit at the end, roll back on any error."""
        with self._database.transaction() as connection:
            yield SqlUnit(connection, self._outbox, self._audit)
