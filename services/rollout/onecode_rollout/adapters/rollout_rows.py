"""Keep rollouts, slots and decisions in the database."""

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from onecode_common.errors import ConflictError
from onecode_rollout.adapters.documents import rollout_from, rollout_text
from onecode_rollout.adapters.tables import DECISIONS, EXPOSURES, ROLLOUTS, SLOTS, SUSPECTS
from onecode_rollout.adapters.upsert import upsert
from onecode_rollout.domain.decision import Decision
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.situation import Suspect
from onecode_rollout.domain.states import TERMINAL


class SqlRolloutRows:
    """Rollouts; see :class:`onecode_rollout.ports.RolloutRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, rollout_id: str) -> Rollout | None:
        """Return one."""
        row = self._connection.execute(select(ROLLOUTS).where(ROLLOUTS.c.rollout_id == rollout_id)).first()
        return _rollout(row) if row is not None else None

    def open_ones(self) -> list[Rollout]:
        """Return all that have not ended, oldest first."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.state.not_in(sorted(TERMINAL))).order_by(ROLLOUTS.c.sequence)
        return [_rollout(row) for row in self._connection.execute(query)]

    def page(self, model: str, before: int, size: int) -> list[Rollout]:
        """Return the newest with a sequence below ``before``."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.sequence < before)
        if model:
            query = query.where(ROLLOUTS.c.model == model)
        rows = self._connection.execute(query.order_by(ROLLOUTS.c.sequence.desc()).limit(size))
        return [_rollout(row) for row in rows]

    def alias_wanted(self) -> list[Rollout]:
        """Return those whose champion alias has still to move, oldest first."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.alias == "wanted").order_by(ROLLOUTS.c.sequence)
        return [_rollout(row) for row in self._connection.execute(query)]

    def latest_success(self, model: str) -> Rollout | None:
        """Return the one that succeeded last."""
        query = select(ROLLOUTS).where(ROLLOUTS.c.model == model, ROLLOUTS.c.state == "succeeded")
        found = [_rollout(row) for row in self._connection.execute(query)]
        return max(found, key=lambda one: (one.finished, one.sequence), default=None)

    def add(self, rollout: Rollout) -> Rollout:
        """Keep a new one and return it with its sequence; the primary key refuses a second."""
        newest = self._connection.execute(select(func.max(ROLLOUTS.c.sequence))).scalar() or 0
        kept = replace(rollout, sequence=int(newest) + 1, version=1)
        self._connection.execute(insert(ROLLOUTS).values(_columns(kept)))
        return kept

    def save(self, rollout: Rollout) -> Rollout:
        """Replace the record whose version it carries."""
        kept = replace(rollout, version=rollout.version + 1)
        done = self._connection.execute(
            update(ROLLOUTS)
            .where(ROLLOUTS.c.rollout_id == rollout.rollout_id, ROLLOUTS.c.version == rollout.version)
            .values(_columns(kept))
        )
        if done.rowcount != 1:
            message = f"rollout {rollout.rollout_id} was changed by somebody else: look at its new state"
            raise ConflictError(message, code="rollout.conflict")
        return kept

    def slot_holder(self, segment: str, model: str) -> str:
        """Return the id of the rollout that owns the slot, or nothing."""
        query = select(SLOTS.c.rollout_id).where(SLOTS.c.segment == segment, SLOTS.c.model == model)
        return str(self._connection.execute(query).scalar() or "")

    def take_slot(self, segment: str, model: str, rollout_id: str) -> None:
        """Own a slot; the primary key refuses a second owner."""
        self._connection.execute(insert(SLOTS).values(segment=segment, model=model, rollout_id=rollout_id))

    def release_slots(self, rollout_id: str) -> None:
        """Give all slots back."""
        self._connection.execute(delete(SLOTS).where(SLOTS.c.rollout_id == rollout_id))

    def decisions(self, rollout_id: str) -> list[Decision]:
        """Return all, in order."""
        query = select(DECISIONS).where(DECISIONS.c.rollout_id == rollout_id).order_by(DECISIONS.c.number)
        return [Decision(**dict(row._mapping)) for row in self._connection.execute(query)]  # noqa: SLF001

    def add_decision(self, decision: Decision) -> None:
        """Keep one for ever."""
        self._connection.execute(insert(DECISIONS).values(asdict(decision)))

    def suspects(self, rollout_id: str, *, accepted: bool | None = None) -> list[Suspect]:
        """Return sources that count for neither version."""
        query = select(SUSPECTS).where(SUSPECTS.c.rollout_id == rollout_id).order_by(SUSPECTS.c.source)
        if accepted is not None:
            query = query.where(SUSPECTS.c.accepted.is_(accepted))
        return [Suspect(row.source, row.cause) for row in self._connection.execute(query)]

    def add_suspect(self, rollout_id: str, suspect: Suspect, now: float) -> None:
        """Drop a source; again is nothing new."""
        key = (SUSPECTS.c.rollout_id == rollout_id, SUSPECTS.c.source == suspect.source)
        if self._connection.execute(select(SUSPECTS.c.source).where(*key)).first() is not None:
            return
        values = {"source": suspect.source, "cause": suspect.cause, "since": now, "accepted": False}
        self._connection.execute(insert(SUSPECTS).values(rollout_id=rollout_id, **values))

    def accept_suspects(self, rollout_id: str) -> None:
        """Note that a person has looked at them."""
        self._connection.execute(update(SUSPECTS).where(SUSPECTS.c.rollout_id == rollout_id).values(accepted=True))

    def exposed(self, rollout_id: str) -> dict[tuple[str, int], float]:
        """Return when sources were first known to follow a step."""
        rows = self._connection.execute(select(EXPOSURES).where(EXPOSURES.c.rollout_id == rollout_id))
        return {(row.source, row.step): row.since for row in rows}

    def expose(self, rollout_id: str, source: str, step: int, now: float) -> None:
        """Note that a source follows a step."""
        upsert(self._connection, EXPOSURES, {"rollout_id": rollout_id, "source": source, "step": step, "since": now})


def _columns(rollout: Rollout) -> dict[str, Any]:
    return {
        "rollout_id": rollout.rollout_id,
        "sequence": rollout.sequence,
        "model": rollout.plan.model,
        "state": rollout.state,
        "reason": rollout.reason,
        "alias": rollout.alias,
        "due_at": rollout.due,
        "version": rollout.version,
        "document": rollout_text(rollout),
    }


def _rollout(row: Row[Any]) -> Rollout:
    return rollout_from(row.document, row.sequence, row.version)
