"""Keep counters and actions in the database, so that order and repetition of reports cannot matter."""

import json
from collections import defaultdict
from dataclasses import asdict

from sqlalchemy import Connection, and_, delete, func, insert, select

from onecode_rollout.adapters.shadow_rows import forget_shadow, put_shadow, read_shadow
from onecode_rollout.adapters.tables import ACTIONS, COUNTERS, EVENTS, ROLLOUTS, SUSPECTS
from onecode_rollout.adapters.upsert import upsert
from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.members import FAILED, Action
from onecode_rollout.domain.reports import ActionReport, CounterReport
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.shadow import Shadow
from onecode_rollout.domain.states import TERMINAL
from onecode_rollout.ports import ArmTotal, Traffic

_CANDIDATE, _STABLE = 0, 2


class SqlReportRows:
    """Counters and actions; see :class:`onecode_rollout.ports.ReportRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put_counter(self, source: str, boot_id: str, sequence: int, counter: CounterReport, now: float) -> None:
        """Replace the counter of this key unless a later report did."""
        del now  # when it came in proves nothing
        values = {
            "rollout_id": counter.rollout,
            "interval_start": counter.interval_start,
            "source": source,
            "digest": counter.digest,
            "revision": counter.revision,
            "boot_id": boot_id,
            "model": counter.model,
            "interval_s": counter.interval_s,
            "requests": counter.requests,
            "errors": counter.errors,
            "non_finite": counter.non_finite,
            "unassigned": counter.unassigned,
            "latency": json.dumps(counter.latency),
            "sequence": sequence,
        }
        upsert(self._connection, COUNTERS, values, only_if=COUNTERS.c.sequence < sequence)

    def put_shadow(self, source: str, boot_id: str, sequence: int, counter: CounterReport) -> None:
        """Replace what a shadow found, by key, unless a later report did."""
        put_shadow(self._connection, source, boot_id, sequence, counter)

    def shadow(self, rollout: Rollout) -> Shadow:
        """Return what shadows found, without suspect sources."""
        return read_shadow(self._connection, rollout)

    def forget_shadow(self, rollout_id: str) -> None:
        """Drop what shadows found in a rollout that has ended."""
        forget_shadow(self._connection, rollout_id)

    def put_action(self, source: str, sequence: int, action: ActionReport, now: float) -> bool:
        """Count the event once by (source, sequence) and keep the newest by key."""
        seen = select(EVENTS.c.sequence).where(EVENTS.c.source == source, EVENTS.c.sequence == sequence)
        if self._connection.execute(seen).first() is not None:
            return False
        document = json.dumps(asdict(action), ensure_ascii=False)
        self._connection.execute(insert(EVENTS).values(source=source, sequence=sequence, at=now, document=document))
        values = {
            "rollout_id": action.rollout,
            "source": source,
            "digest": action.digest,
            "revision": action.revision,
            "state": action.state,
            "cause": action.cause,
            "served_digest": action.served_digest,
            "sequence": sequence,
            "at": now,
        }
        newer = ACTIONS.c.sequence < sequence
        if action.state == "refused":
            # A member that failed refuses the same version ever after: that is still its failure.
            newer = and_(newer, ACTIONS.c.state.not_in(sorted(FAILED)))
        upsert(self._connection, ACTIONS, values, only_if=newer)
        return True

    def actions(self, rollout_id: str) -> dict[tuple[str, str], Action]:
        """Return the newest action by (source, digest)."""
        rows = self._connection.execute(select(ACTIONS).where(ACTIONS.c.rollout_id == rollout_id))
        return {
            (row.source, row.digest): Action(row.revision, row.digest, row.state, row.cause, row.served_digest, row.at)
            for row in rows
        }

    def intervals(self, rollout: Rollout) -> tuple[Interval, ...]:
        """Return the merged counters of both versions, without suspect sources, in order of start and source."""
        dropped = select(SUSPECTS.c.source).where(SUSPECTS.c.rollout_id == rollout.rollout_id)
        query = (
            select(
                COUNTERS.c.interval_start,
                COUNTERS.c.source,
                COUNTERS.c.digest,
                func.sum(COUNTERS.c.requests).label("n"),
                func.sum(COUNTERS.c.errors).label("k"),
            )
            .where(
                COUNTERS.c.rollout_id == rollout.rollout_id,
                COUNTERS.c.digest.in_([rollout.plan.candidate, rollout.stable]),
                COUNTERS.c.source.not_in(dropped),
            )
            .group_by(COUNTERS.c.interval_start, COUNTERS.c.source, COUNTERS.c.digest)
        )
        merged: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0, 0]))
        for row in self._connection.execute(query):
            at = _CANDIDATE if row.digest == rollout.plan.candidate else _STABLE
            merged[row.interval_start][row.source][at : at + 2] = [int(row.n), int(row.k)]
        return tuple(
            Interval(start, tuple((source, *counts) for source, counts in sorted(merged[start].items())))  # type: ignore[misc]
            for start in sorted(merged)
        )

    def arm_totals(self, rollout_id: str) -> dict[str, ArmTotal]:
        """Return bare totals by digest."""
        query = (
            select(
                COUNTERS.c.digest,
                func.sum(COUNTERS.c.requests).label("requests"),
                func.sum(COUNTERS.c.errors).label("errors"),
                func.sum(COUNTERS.c.non_finite).label("non_finite"),
            )
            .where(COUNTERS.c.rollout_id == rollout_id)
            .group_by(COUNTERS.c.digest)
        )
        return {
            row.digest: ArmTotal(int(row.requests), int(row.errors), int(row.non_finite))
            for row in self._connection.execute(query)
        }

    def traffic(self, model: str, since: float) -> Traffic:
        """Return what a model saw since then: the rate over the time that was covered."""
        query = select(
            func.sum(COUNTERS.c.requests).label("requests"),
            func.sum(COUNTERS.c.errors).label("errors"),
            func.min(COUNTERS.c.interval_start).label("first"),
            func.max(COUNTERS.c.interval_start + COUNTERS.c.interval_s).label("last"),
        ).where(COUNTERS.c.model == model, COUNTERS.c.interval_start >= int(since))
        row = self._connection.execute(query).one()
        if not row.requests:
            return Traffic(0.0, 0.0)
        return Traffic(int(row.requests) / max(1, int(row.last) - int(row.first)), int(row.errors) / int(row.requests))

    def requests(self, source: str) -> dict[str, int]:
        """Return how many requests a source reported, by model."""
        query = (
            select(COUNTERS.c.model, func.sum(COUNTERS.c.requests).label("requests"))
            .where(COUNTERS.c.source == source)
            .group_by(COUNTERS.c.model)
        )
        return {row.model: int(row.requests) for row in self._connection.execute(query)}

    def forget_source(self, source: str) -> None:
        """Drop events and actions of a source."""
        self._connection.execute(delete(EVENTS).where(EVENTS.c.source == source))
        self._connection.execute(delete(ACTIONS).where(ACTIONS.c.source == source))

    def forget(self, before: float) -> None:
        """Drop counters of ended rollouts that are older."""
        ended = select(ROLLOUTS.c.rollout_id).where(ROLLOUTS.c.state.in_(sorted(TERMINAL)))
        self._connection.execute(
            delete(COUNTERS).where(COUNTERS.c.interval_start < int(before), COUNTERS.c.rollout_id.in_(ended))
        )
