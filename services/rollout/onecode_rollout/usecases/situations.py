"""Bring together what is known about a rollout, from rows alone."""

from onecode_rollout.domain.fleet import Source
from onecode_rollout.domain.members import CLOUD, SERVING, Member, of_steps
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.shadow import NO_SHADOW
from onecode_rollout.domain.situation import Situation
from onecode_rollout.ports import Rows


def members(rows: Rows, rollout: Rollout) -> list[Member]:
    """Return all targets: enrolled gateways of the segments, joiners too, and the cloud."""
    sources = rows.fleet.sources()
    actions = rows.reports.actions(rollout.rollout_id)
    found = []
    for segment in rollout.plan.segments:
        names = (
            [CLOUD] if segment == CLOUD else [g.gateway_id for g in rows.fleet.gateways(segment) if g.state == "active"]
        )
        for name in names:
            told = sources.get(name) or Source(name, segment)
            found.append(
                Member(
                    source=name,
                    segment=segment,
                    last_heard=told.last_heard,
                    generation=told.generation,
                    serving=told.serving,
                    trial=of_steps(actions.get((name, rollout.plan.candidate)), rollout, segment),
                    back=actions.get((name, rollout.stable)) if rollout.stable else None,
                )
            )
    return found


def load(rows: Rows, rollout: Rollout, now: float) -> Situation:
    """Return the situation of this moment."""
    plan = rollout.plan
    return Situation(
        rollout=rollout,
        members=members(rows, rollout),
        intervals=rows.reports.intervals(rollout),
        suspects=rows.rollouts.suspects(rollout.rollout_id, accepted=False),
        exposed=rows.rollouts.exposed(rollout.rollout_id),
        slots_free=all(rows.rollouts.slot_holder(one, plan.model) in {"", rollout.rollout_id} for one in plan.segments),
        now=now,
        shadow=rows.reports.shadow(rollout) if plan.shadow_s and rollout.stable else NO_SHADOW,
    )


def note_exposure(rows: Rows, situation: Situation) -> None:
    """Remember since when each source follows the present step: only later requests tell about the split."""
    rollout = situation.rollout
    if rollout.state not in {"running", "paused"} or rollout.in_shadow:
        return
    for member in situation.members:
        mark = rollout.marks.get(member.segment)
        able = member.trial is not None and member.trial.state in SERVING
        known = (member.source, rollout.step) in situation.exposed
        if able and not known and mark is not None and member.generation >= mark.last:
            rows.rollouts.expose(rollout.rollout_id, member.source, rollout.step, situation.now)
