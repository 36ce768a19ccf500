"""Put together what a person sees of a rollout: the record, its evidence, its members, one sentence."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from onecode_rollout.domain import chart
from onecode_rollout.domain.chart import EvidencePoint
from onecode_rollout.domain.members import Member, action_state
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.sentences import now_sentence
from onecode_rollout.domain.shadow import NO_SHADOW, Shadow
from onecode_rollout.domain.situation import weigh
from onecode_rollout.domain.states import TERMINAL, allowed_commands
from onecode_rollout.ports import ArmTotal, Rows
from onecode_rollout.usecases.situations import load


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout for people.

    Attributes:
        members: With the action state that each is in now.
        shadow: What was found while the candidate answered nobody.
    """

    rollout: Rollout
    sentence: str
    candidate: ArmTotal
    stable: ArmTotal
    points: Sequence[EvidencePoint]
    members: Sequence[tuple[Member, str]]
    next_actions: Sequence[str]
    shadow: Shadow = NO_SHADOW


def view(rows: Rows, rollout: Rollout, now: float, *, brief: bool = False) -> RolloutView:
    """Return the view; a brief one has no chart and no members, for lists."""
    situation = load(rows, rollout, now)
    sentence = now_sentence(situation, weigh(situation)[1])
    if rollout.state in TERMINAL and rollout.frozen:
        candidate, stable, points, shadow = _thaw(rollout.frozen)
    else:
        shadow = situation.shadow
        totals = rows.reports.arm_totals(rollout.rollout_id)
        candidate = totals.get(rollout.plan.candidate, ArmTotal(0, 0, 0))
        stable = totals.get(rollout.stable, ArmTotal(0, 0, 0))
        points = [] if brief else chart.points(rollout, situation.intervals)
    lost_after = rollout.plan.preset.lost_after_s
    return RolloutView(
        rollout=rollout,
        sentence=sentence,
        candidate=candidate,
        stable=stable,
        points=[] if brief else points,
        members=[] if brief else [(one, action_state(one, now, lost_after)) for one in situation.members],
        next_actions=allowed_commands(rollout.state),
        shadow=shadow,
    )


def _thaw(frozen: str) -> tuple[ArmTotal, ArmTotal, list[EvidencePoint], Shadow]:
    document = json.loads(frozen)
    points = [EvidencePoint(*values) for values in document["points"]]
    shadow = Shadow((), *document.get("shadow", ()))
    return ArmTotal(*document["candidate"]), ArmTotal(*document["stable"]), points, shadow
