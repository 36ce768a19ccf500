"""Keep sessions, used login codes and copies of audit trails in the console's own database."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, delete, insert, select, update

from onecode_common.audit import Audit, audit_table
from onecode_common.clock import Clock
from onecode_common.database import Database
from onecode_common.outbox import Outbox, outbox_table
from onecode_console.domain.sessions import ABSOLUTE, IDLE, PER_PERSON, Session
from onecode_console.ports import AuditCopy

_metadata = MetaData()
_sessions = Table(
    "sessions",
    _metadata,
    Column("key", String(64), primary_key=True),
    Column("subject", String(100), nullable=False),
    Column("created", String(40), nullable=False),
    Column("seen", String(40), nullable=False),
)
_codes = Table(
    "consumed_codes",
    _metadata,
    Column("key", String(64), primary_key=True),
    Column("at", String(40), nullable=False),
)
_copies = Table(
    "audit_copies",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(40), nullable=False, unique=True),
    Column("source", String(40), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", String(40), nullable=False),
    Column("principal", String(100), nullable=False),
    Column("action", String(100), nullable=False),
    Column("object", String(200), nullable=False),
    Column("decision", String(20), nullable=False),
    sqlite_autoincrement=True,
)
_audit = audit_table(_metadata)
_outbox = outbox_table(_metadata)


class RecordedSessions:
    """The session store, with a row in the console's own audit trail for each sign-in and sign-out."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self._clock = clock
        self.outbox = Outbox(_outbox, "console", clock, project)
        self._audit = Audit(_audit, clock, self.outbox)

    def begin(self, code_key: str, session: Session) -> None:
        """Consume a login code and store the session, both or nothing.

        Raises:
            ConflictError: The code was used before.
        """
        created = session.created
        with self._database.transaction() as connection:
            connection.execute(insert(_codes).values(key=code_key, at=created.isoformat()))
            connection.execute(
                delete(_sessions).where(
                    (_sessions.c.created < (created - ABSOLUTE).isoformat())
                    | (_sessions.c.seen < (created - IDLE).isoformat())
                )
            )
            kept = connection.execute(
                select(_sessions.c.key)
                .where(_sessions.c.subject == session.subject)
                .order_by(_sessions.c.created.desc())
                .offset(PER_PERSON - 1)
            ).scalars()
            connection.execute(delete(_sessions).where(_sessions.c.key.in_(list(kept))))
            connection.execute(
                insert(_sessions).values(
                    key=session.key,
                    subject=session.subject,
                    created=created.isoformat(),
                    seen=session.seen.isoformat(),
                )
            )
            self._audit.record(connection, session.subject, "session.begin", f"session/{session.key[:12]}")

    def find(self, key: str) -> Session | None:
        """Return the session stored under this key."""
        with self._database.transaction() as connection:
            row = connection.execute(select(_sessions).where(_sessions.c.key == key)).first()
        if row is None:
            return None
        created, seen = datetime.fromisoformat(row.created), datetime.fromisoformat(row.seen)
        return Session(row.key, row.subject, created, seen)

    def touch(self, key: str, seen: datetime) -> None:
        """Write the time of last use."""
        with self._database.transaction() as connection:
            connection.execute(update(_sessions).where(_sessions.c.key == key).values(seen=seen.isoformat()))

    def end(self, session: Session) -> None:
        """Forget a session; ending it again changes nothing."""
        with self._database.transaction() as connection:
            gone = connection.execute(delete(_sessions).where(_sessions.c.key == session.key))
            if gone.rowcount:
                self._audit.record(connection, session.subject, "session.end", f"session/{session.key[:12]}")


class RecordedCopies:
    """Copies of all services' audit trails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, copies: list[AuditCopy]) -> None:
        """Store the copies; known ones are skipped."""
        with self._database.transaction() as connection:
            ids = [copy.event_id for copy in copies]
            known = set(connection.execute(select(_copies.c.event_id).where(_copies.c.event_id.in_(ids))).scalars())
            for copy in copies:
                if copy.event_id not in known:
                    known.add(copy.event_id)
                    row = {name: getattr(copy, name) for name in AuditCopy.__slots__}
                    connection.execute(insert(_copies).values(row))

    def newest(self, limit: int, before: int) -> list[tuple[int, AuditCopy]]:
        """Return the newest copies with their numbers, older than ``before`` (0: from the end)."""
        query = select(_copies).order_by(_copies.c.number.desc()).limit(limit)
        if before:
            query = query.where(_copies.c.number < before)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [(row.number, AuditCopy(**{name: getattr(row, name) for name in AuditCopy.__slots__})) for row in rows]
