"""Keep runs, trials, points and log batches in tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, delete, insert, select, update

from onecode_common.errors import ConflictError
from onecode_training.adapters.documents import from_json, to_json
from onecode_training.adapters.tables import LOG_BATCHES, POINTS, RUNS, TRIALS
from onecode_training.domain.run import INTERRUPTED, OPEN, Point, Run, Trial
from onecode_training.domain.runlog import Entry
from onecode_training.ports import LogBatch


class SqlRunRows:
    """See :class:`onecode_training.ports.RunRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, run_id: str) -> Run | None:
        """Return one."""
        row = self._connection.execute(select(RUNS.c.document).where(RUNS.c.run_id == run_id)).first()
        return None if row is None else from_json(Run, row.document)

    def add(self, run: Run) -> None:
        """Keep a new one."""
        values = {"run_id": run.run_id, "state": run.state, "held": run.held, "revision": run.revision}
        self._connection.execute(insert(RUNS).values(**values, document=to_json(run)))

    def save(self, run: Run) -> Run:
        """Replace the record whose revision it carries."""
        saved = replace(run, revision=run.revision + 1)
        values = {"state": saved.state, "held": saved.held, "revision": saved.revision, "document": to_json(saved)}
        where = (RUNS.c.run_id == run.run_id) & (RUNS.c.revision == run.revision)
        if self._connection.execute(update(RUNS).where(where).values(**values)).rowcount != 1:
            message = f"run {run.run_id} was changed meanwhile: try again"
            raise ConflictError(message, code="run.changed", params={"run_id": run.run_id})
        return saved

    def in_states(self, states: Sequence[str]) -> list[Run]:
        """Return those in a state, oldest first."""
        query = select(RUNS.c.document).where(RUNS.c.state.in_(states)).order_by(RUNS.c.sequence)
        return [from_json(Run, row.document) for row in self._connection.execute(query)]

    def held_and_ended(self) -> list[Run]:
        """Return those that ingestion still keeps data for; an interrupted run will go on and needs it."""
        where = RUNS.c.held & RUNS.c.state.not_in([*OPEN, INTERRUPTED])
        rows = self._connection.execute(select(RUNS.c.document).where(where).order_by(RUNS.c.sequence))
        return [from_json(Run, row.document) for row in rows]

    def page(self, before: int, size: int) -> list[tuple[int, Run]]:
        """Return (sequence, run), newest first."""
        query = select(RUNS.c.sequence, RUNS.c.document).order_by(RUNS.c.sequence.desc()).limit(size)
        if before:
            query = query.where(RUNS.c.sequence < before)
        return [(row.sequence, from_json(Run, row.document)) for row in self._connection.execute(query)]

    def trials(self, run_id: str) -> list[Trial]:
        """Return the trials of a run by number."""
        query = select(TRIALS.c.document).where(TRIALS.c.run_id == run_id).order_by(TRIALS.c.number)
        return [from_json(Trial, row.document) for row in self._connection.execute(query)]

    def save_trial(self, run_id: str, trial: Trial) -> None:
        """Keep a new or changed trial."""
        where = (TRIALS.c.run_id == run_id) & (TRIALS.c.number == trial.number)
        changed = self._connection.execute(update(TRIALS).where(where).values(document=to_json(trial)))
        if changed.rowcount == 0:
            values = {"run_id": run_id, "number": trial.number, "document": to_json(trial)}
            self._connection.execute(insert(TRIALS).values(**values))

    def clear_trials(self, run_id: str) -> None:
        """Forget the trials of an earlier attempt."""
        self._connection.execute(delete(TRIALS).where(TRIALS.c.run_id == run_id))

    def points(self, run_id: str, after: int, limit: int) -> list[Point]:
        """Return the points after a sequence."""
        where = (POINTS.c.run_id == run_id) & (POINTS.c.sequence > after)
        query = select(POINTS.c.document).where(where).order_by(POINTS.c.sequence).limit(limit)
        return [from_json(Point, row.document) for row in self._connection.execute(query)]

    def add_point(self, run_id: str, point: Point) -> None:
        """Keep a point."""
        values = {"run_id": run_id, "sequence": point.sequence, "document": to_json(point)}
        self._connection.execute(insert(POINTS).values(**values))


class SqlLogRows:
    """See :class:`onecode_training.ports.LogRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run_id: str, batch: int, at: str, entry: Entry) -> None:
        """Append a batch."""
        document = json.dumps(asdict(entry), ensure_ascii=False)
        values = {"run_id": run_id, "batch": batch, "at": at, "document": document}
        self._connection.execute(insert(LOG_BATCHES).values(**values))

    def next(self, limit: int) -> list[LogBatch]:
        """Return the oldest."""
        query = select(LOG_BATCHES).order_by(LOG_BATCHES.c.sequence).limit(limit)
        return [
            LogBatch(row.sequence, row.run_id, row.batch, row.at, _entry(row.document))
            for row in self._connection.execute(query)
        ]

    def delete(self, sequence: int) -> None:
        """Remove one that the registry has taken."""
        self._connection.execute(delete(LOG_BATCHES).where(LOG_BATCHES.c.sequence == sequence))


def _entry(text: str) -> Entry:
    document = json.loads(text)
    metrics = tuple((name, float(value), int(step)) for name, value, step in document.pop("metrics"))
    return Entry(metrics=metrics, **document)
