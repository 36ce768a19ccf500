"""Write down what is intended before it is done, so that a start after any cut knows how to go on."""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from sqlite3 import Connection

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.clock import Clock
from onecode_edge.adapters.database import Database
from onecode_edge.adapters.outbox import Outbox
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import Entry, ModelSet, from_document, to_document
from onecode_edge.domain.transition import Transition

_log = logging.getLogger(__name__)
_COLUMNS = (
    "id, model, rollout, revision, digest, target, origin, state, since, generation, probation_s, attempts, starts,"
    " serving_s, cause, detail"
)
_KEPT = 500


class Journal:
    """Transitions, quarantine and outcomes; each change and the report that tells of it are one transaction."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def open_transition(self) -> Transition | None:
        """Return the transition that is under way."""
        marks = ", ".join("?" * len(states.ENDS))
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM transitions WHERE state NOT IN ({marks}) ORDER BY id DESC",  # noqa: S608
                states.ENDS,
            ).fetchone()
        if row is None:
            return None
        values = list(row)
        values[5] = from_document(json.loads(values[5]))
        return Transition(*values)

    def begin(
        self, subject: Entry | None, target: ModelSet, origin: str, generation: int, *, state: str = states.DOWNLOADING
    ) -> Transition:
        """Begin a transition and report it."""
        arm = subject.subject if subject else None
        transition = Transition(
            id=0,
            model=subject.name if subject else "",
            rollout=subject.rollout if subject else "",
            revision=subject.revision if subject else 0,
            digest=arm.digest if arm else "",
            target=target,
            origin=origin,
            state=state,
            since=self._now(),
            generation=generation,
            probation_s=subject.probation_s if subject else 0.0,
        )
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"INSERT INTO transitions ({_COLUMNS}) VALUES (NULL{', ?' * 15})",  # noqa: S608 - fixed text
                _values(transition),
            )
            transition = replace(transition, id=int(cursor.lastrowid or 0))
            self._note(connection, transition)
        return transition

    def keep(self, transition: Transition) -> Transition:
        """Store a transition whose state is the same, without a report."""
        with self._database.transaction() as connection:
            self._store(connection, transition)
        return transition

    def advance(
        self,
        transition: Transition,
        state: str,
        *,
        cause: str = "",
        detail: str = "",
        served: str = "",
        evidence: str = "",
        bad: str = "",
    ) -> Transition:
        """Store the next state of a transition together with the report of it.

        A version named ``bad`` goes into quarantine by the same step: it is never served on this gateway again.

        Raises:
            ValueError: That state does not follow the present one.
        """
        if not states.allowed(transition.state, state):
            message = f"transition {transition.id} cannot go from {transition.state} to {state}"
            raise ValueError(message)
        following = replace(
            transition,
            state=state,
            since=self._now(),
            cause=cause or transition.cause,
            detail=detail or transition.detail,
        )
        _log.info("%s %s: %s %s", transition.model, transition.digest[:19], state, cause)
        with self._database.transaction() as connection:
            if bad:
                connection.execute("INSERT OR REPLACE INTO bad VALUES (?, ?, ?)", (bad, cause, self._now()))
            self._store(connection, following)
            self._note(connection, following, served, evidence)
            if state in states.ENDS:
                self._outcome(connection, following)
        return following

    def tell(self, entry: Entry, state: str, *, digest: str, cause: str = "", served: str = "") -> None:
        """Report the end of an action that needed no transition, once for each revision and version."""
        with self._database.transaction() as connection:
            known = connection.execute(
                "SELECT 1 FROM outcomes WHERE model=? AND revision=? AND digest=?", (entry.name, entry.revision, digest)
            ).fetchone()
            if known:
                return
            connection.execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?)", (entry.name, entry.revision, digest, state, self._now())
            )
            self._outbox.add(
                "action",
                pb.Action(
                    model=entry.name,
                    rollout=entry.rollout,
                    revision=entry.revision,
                    digest=digest,
                    state=state,
                    cause=cause,
                    served_digest=served,
                ),
            )

    def bad(self) -> dict[str, str]:
        """Return the causes of the versions in quarantine, by digest."""
        with self._database.transaction() as connection:
            return dict(connection.execute("SELECT digest, cause FROM bad").fetchall())

    def mark_proven(self, digest: str, runtime: str) -> None:
        """Note that a version passed its trial on this runtime."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO proven VALUES (?, ?)", (digest, runtime))

    def proven(self, digest: str, runtime: str) -> bool:
        """Return whether a version passed its trial on this runtime."""
        with self._database.transaction() as connection:
            found = connection.execute(
                "SELECT 1 FROM proven WHERE digest=? AND runtime=?", (digest, runtime)
            ).fetchone()
        return found is not None

    def recent(self, after: int, limit: int = 200) -> list[dict[str, object]]:
        """Return lines of the journal for people, oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT seq, at, state, journal.cause, journal.detail, model, digest FROM journal"
                " LEFT JOIN (SELECT id, model, digest FROM transitions) ON id=transition_id"
                " WHERE seq>? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        names = ("seq", "at", "state", "cause", "detail", "model", "digest")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def forget_old(self) -> None:
        """Keep the newest transitions and lines only."""
        with self._database.transaction() as connection:
            for table in ("transitions", "journal"):
                connection.execute(
                    f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) - ? FROM {table})",  # noqa: S608
                    (_KEPT,),
                )

    def meta(self, name: str) -> str:
        """Return a remembered value; empty if there is none."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def remember(self, values: Iterable[tuple[str, str]]) -> None:
        """Remember values by name."""
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values))

    def _store(self, connection: Connection, transition: Transition) -> None:
        names = [name.strip() for name in _COLUMNS.split(",")[1:]]
        changes = ", ".join(f"{name}=?" for name in names)
        connection.execute(
            f"UPDATE transitions SET {changes} WHERE id=?",  # noqa: S608 - fixed text
            (*_values(transition), transition.id),
        )

    def _note(self, connection: Connection, transition: Transition, served: str = "", evidence: str = "") -> None:
        connection.execute(
            "INSERT INTO journal (at, transition_id, state, cause, detail) VALUES (?, ?, ?, ?, ?)",
            (self._now(), transition.id, transition.state, transition.cause, transition.detail),
        )
        if not transition.digest or transition.state == states.REVERTING:
            return
        self._outbox.add(
            "action",
            pb.Action(
                model=transition.model,
                rollout=transition.rollout,
                revision=transition.revision,
                digest=transition.digest,
                state=transition.state,
                cause=transition.cause,
                detail=transition.detail[:500],
                served_digest=served,
                evidence=evidence,
            ),
        )

    def _outcome(self, connection: Connection, transition: Transition) -> None:
        if transition.digest:
            connection.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)",
                (transition.model, transition.revision, transition.digest, transition.state, self._now()),
            )

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _values(transition: Transition) -> tuple[object, ...]:
    target = json.dumps(to_document(transition.target))
    return (
        transition.model,
        transition.rollout,
        transition.revision,
        transition.digest,
        target,
        transition.origin,
        transition.state,
        transition.since,
        transition.generation,
        transition.probation_s,
        transition.attempts,
        transition.starts,
        transition.serving_s,
        transition.cause,
        transition.detail,
    )
