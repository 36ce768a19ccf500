"""See whether the audit trails of restored records are unbroken; whoever tampers before a backup is seen after it."""

from contextlib import closing

from sqlalchemy import MetaData, inspect

from onecode_common.audit import Audit, audit_table
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.outbox import Outbox, outbox_table
from onecode_standalone.backup.places import SERVICES, Places


def trails(where: Places) -> dict[str, int | None]:
    """Return the number of the first row that does not fit the chain (None: all fit) by service."""
    found = {}
    for service in SERVICES:
        url = where.postgres.get(service) or f"sqlite:///{where.sqlite(service)}"
        if service not in where.postgres and not where.sqlite(service).exists():
            continue
        metadata, clock = MetaData(), SystemClock()
        with closing(Database(url)) as database, database.transaction() as connection:
            if inspect(connection).has_table("audit"):
                trail = Audit(audit_table(metadata), clock, Outbox(outbox_table(metadata), service, clock))
                found[service] = trail.first_broken(connection)
    return found
