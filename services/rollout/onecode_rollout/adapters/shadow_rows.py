"""Keep what shadows found in the database, replaced by key as counters are, and never among them."""

from collections import defaultdict

from sqlalchemy import Connection, delete, func, select

from onecode_rollout.adapters.tables import COUNTERS, SHADOW_COUNTERS, SUSPECTS
from onecode_rollout.adapters.upsert import upsert
from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.reports import CounterReport
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.shadow import Shadow

_KEPT = SHADOW_COUNTERS.c


def put_shadow(connection: Connection, source: str, boot_id: str, sequence: int, counter: CounterReport) -> None:
    """Replace the numbers of this key unless a later report did."""
    values = {
        "rollout_id": counter.rollout,
        "interval_start": counter.interval_start,
        "source": source,
        "revision": counter.revision,
        "boot_id": boot_id,
        "pairs": counter.requests,
        "different": counter.different,
        "failed": counter.errors,
        "dropped": counter.dropped,
        "largest": counter.largest,
        "sequence": sequence,
    }
    upsert(connection, SHADOW_COUNTERS, values, only_if=_KEPT.sequence < sequence)


def read_shadow(connection: Connection, rollout: Rollout) -> Shadow:
    """Return what was found in a rollout, without suspect sources."""
    dropped = select(SUSPECTS.c.source).where(SUSPECTS.c.rollout_id == rollout.rollout_id)
    query = (
        select(
            _KEPT.interval_start,
            _KEPT.source,
            func.sum(_KEPT.pairs).label("pairs"),
            func.sum(_KEPT.different).label("different"),
            func.sum(_KEPT.failed).label("failed"),
            func.sum(_KEPT.dropped).label("dropped"),
            func.max(_KEPT.largest).label("largest"),
        )
        .where(_KEPT.rollout_id == rollout.rollout_id, _KEPT.source.not_in(dropped))
        .group_by(_KEPT.interval_start, _KEPT.source)
    )
    rows = connection.execute(query).all()
    stable = _stable(connection, rollout)
    cells: dict[int, list[tuple[str, int, int, int, int]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row.source)):
        beside = stable.get((row.interval_start, row.source), (0, 0))
        cells[row.interval_start].append((row.source, int(row.pairs), int(row.failed), *beside))
    return Shadow(
        intervals=tuple(Interval(start, tuple(cells[start])) for start in sorted(cells)),
        pairs=sum(int(row.pairs) for row in rows),
        different=sum(int(row.different) for row in rows),
        failed=sum(int(row.failed) for row in rows),
        dropped=sum(int(row.dropped) for row in rows),
        largest=max((float(row.largest) for row in rows), default=0.0),
    )


def forget_shadow(connection: Connection, rollout_id: str) -> None:
    """Drop the numbers of a rollout that has ended: its sums are in its record."""
    connection.execute(delete(SHADOW_COUNTERS).where(_KEPT.rollout_id == rollout_id))


def _stable(connection: Connection, rollout: Rollout) -> dict[tuple[int, str], tuple[int, int]]:
    """Return requests and errors of the stable version by interval and source."""
    query = (
        select(
            COUNTERS.c.interval_start,
            COUNTERS.c.source,
            func.sum(COUNTERS.c.requests).label("n"),
            func.sum(COUNTERS.c.errors).label("k"),
        )
        .where(COUNTERS.c.rollout_id == rollout.rollout_id, COUNTERS.c.digest == rollout.stable)
        .group_by(COUNTERS.c.interval_start, COUNTERS.c.source)
    )
    return {(row.interval_start, row.source): (int(row.n), int(row.k)) for row in connection.execute(query)}
