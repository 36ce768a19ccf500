"""Keep runs in tables until MLflow has them."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from onecode_registry.adapters.tables import points as point_table
from onecode_registry.adapters.tables import runs
from onecode_registry.domain.run import Point, Run


class SqlRuns:
    """See :class:`onecode_registry.rows.RunRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, project: str, run_id: str) -> Run | None:
        """Return the run."""
        row = self._connection.execute(select(runs).where(*_here(project, run_id))).first()
        return None if row is None else _run(row)

    def put(self, run: Run) -> None:
        """Store it, new or changed."""
        changed = {
            "state": run.state,
            "changed": run.changed.isoformat(),
            "last_batch": run.last_batch,
            "revision": run.revision,
            "parameters": json.dumps(dict(run.parameters)),
            "tags": json.dumps(dict(run.tags)),
        }
        where = _here(run.project, run.run_id)
        if self._connection.execute(update(runs).where(*where).values(**changed)).rowcount == 0:
            new = {
                "project": run.project,
                "run_id": run.run_id,
                "started": run.started.isoformat(),
                "mirrored": -1,
                "parameters_sent": 0,
                "mlflow_run": "",
            }
            self._connection.execute(insert(runs).values(**new, **changed))

    def add_points(self, project: str, run_id: str, points: Sequence[Point]) -> None:
        """Append to its curves."""
        if points:
            self._connection.execute(insert(point_table), [_point_row(project, run_id, point) for point in points])

    def unmirrored(self, limit: int) -> list[Run]:
        """Return runs of which MLflow lacks something, oldest change first."""
        waiting = exists().where(point_table.c.project == runs.c.project, point_table.c.run_id == runs.c.run_id)
        query = select(runs).where(or_(runs.c.mirrored < runs.c.revision, waiting))
        return [_run(row) for row in self._connection.execute(query.order_by(runs.c.changed).limit(limit))]

    def points(self, project: str, run_id: str, limit: int) -> list[tuple[int, Point]]:
        """Return points that MLflow lacks, with their row numbers."""
        query = select(point_table).where(point_table.c.project == project, point_table.c.run_id == run_id)
        rows = self._connection.execute(query.order_by(point_table.c.number).limit(limit))
        return [(row.number, _point(row)) for row in rows]

    def drop_points(self, numbers: Iterable[int]) -> None:
        """Forget points that MLflow has."""
        self._connection.execute(delete(point_table).where(point_table.c.number.in_(list(numbers))))

    def set_mirrored(self, project: str, run_id: str, revision: int, parameters: int, mlflow_run: str) -> None:
        """Note what MLflow has."""
        self._connection.execute(
            update(runs)
            .where(*_here(project, run_id))
            .values(mirrored=revision, parameters_sent=parameters, mlflow_run=mlflow_run)
        )


def _here(project: str, run_id: str) -> tuple[Any, ...]:
    return runs.c.project == project, runs.c.run_id == run_id


def _point_row(project: str, run_id: str, point: Point) -> dict[str, Any]:
    return {
        "project": project,
        "run_id": run_id,
        "key": point.key,
        "value": repr(point.value),
        "step": point.step,
        "time": point.time.isoformat(),
    }


def _point(row: Any) -> Point:
    return Point(row.key, float(row.value), row.step, datetime.fromisoformat(row.time))


def _run(row: Any) -> Run:
    return Run(
        project=row.project,
        run_id=row.run_id,
        state=row.state,
        started=datetime.fromisoformat(row.started),
        changed=datetime.fromisoformat(row.changed),
        last_batch=row.last_batch,
        revision=row.revision,
        mirrored=row.mirrored,
        parameters_sent=row.parameters_sent,
        mlflow_run=row.mlflow_run,
        parameters=json.loads(row.parameters),
        tags=json.loads(row.tags),
    )
