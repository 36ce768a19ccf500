"""Decide what happens next to a rollout: rules in order, the first that fires wins.

Everything is derived from the situation, so a controller that was killed decides the same when it is back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onecode_rollout.domain import sentences
from onecode_rollout.domain.evaluation import Answer
from onecode_rollout.domain.evidence import FLEET_LEVEL
from onecode_rollout.domain.members import (
    OPEN,
    SMALL_FLEET,
    action_state,
    nobody_can,
    quorum,
    reach_s,
    reachable,
    settled,
)
from onecode_rollout.domain.shadow_rules import shadow_outcome, shadow_worse
from onecode_rollout.domain.situation import Situation

_DAY_S = 86_400
APPROVAL_S = 7 * _DAY_S
"""How long an approval is waited for."""

QUORUM_S = 14 * _DAY_S
"""How long a promotion waits for its members."""

SETTLE_S = _DAY_S
"""How long a rollback waits for members that are not reachable."""

ASK_S = 1800
"""How long a person may think about a bad metric."""

_REFUSED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Move:
    """One decision.

    Attributes:
        event: Of the state table.
        kind: Word for the log of decisions.
        rule: Which rule fired, or ``operator``.
        reason: Of the state that follows.
        sentence: Why, for people.
        due: When a timer of the next state fires; 0 = none.
    """

    event: str
    kind: str
    rule: str
    reason: str
    sentence: str
    due: float = 0.0


Rule = Callable[[Situation, Answer], Move | None]


def decide(situation: Situation, weighed: Answer) -> Move | None:
    """Return what has to be done now, or None."""
    for rule in RULES_BY_STATE.get(situation.rollout.state, ()):
        move = rule(situation, weighed)
        if move is not None:
            return move
    return None


def _expired(situation: Situation, _: Answer) -> Move | None:
    if situation.now < situation.rollout.due:
        return None
    return Move("expire", "reject", "approval.expired", "expired", "Nobody approved it within seven days.")


def _installs_fail(situation: Situation, weighed: Answer) -> Move | None:
    counts = situation.counts
    if not weighed.stopped:
        return None
    text = sentences.install_failed(counts.failed, counts.outcomes, weighed.stop, FLEET_LEVEL)
    return Move("guard", "rollback", "install.stop", "install", text, situation.now + SETTLE_S)


def _nobody_can(situation: Situation, _: Answer) -> Move | None:
    if not nobody_can(situation.members, situation.now, situation.rollout.plan.preset.lost_after_s):
        return None
    text = sentences.nobody_left(situation.counts.failed, situation.counts.refused)
    return Move("guard", "rollback", "install.nobody", "install", text, situation.now + SETTLE_S)


def _errors_worse(situation: Situation, weighed: Answer) -> Move | None:
    rollout = situation.rollout
    if weighed.verdict != "rollback":
        return None
    rule, text = "errors.worse", sentences.errors_worse(rollout, situation.intervals, weighed)
    if rollout.in_shadow:
        rule, text = "shadow.worse", shadow_worse(situation, weighed)
    if rollout.plan.on_bad == "rollback":
        return Move("bad", "rollback", rule, "errors", text, situation.now + SETTLE_S)
    if rollout.state == "paused":
        return None
    due = situation.now + ASK_S if rollout.plan.on_bad == "ask" else 0.0
    return Move("hold", "hold", rule, "bad", text, due)


def _asked_in_vain(situation: Situation, _: Answer) -> Move | None:
    rollout = situation.rollout
    if rollout.reason != "bad" or not rollout.due or situation.now < rollout.due:
        return None
    text = "Nobody answered within 30 minutes, so the worse candidate is taken back."
    return Move("ask_expired", "rollback", "errors.unanswered", "errors", text, situation.now + SETTLE_S)


def _invalid(situation: Situation, weighed: Answer) -> Move | None:
    if situation.suspects:
        return _hold("invalid", "counters.invalid", sentences.not_believed(situation.suspects))
    if weighed.misallocated and not situation.rollout.overrides.allocation:
        return _hold("invalid", "allocation", sentences.misallocated(weighed.allocation))
    return None


def _silence(situation: Situation, _: Answer) -> Move | None:
    if situation.counts.silent and not situation.rollout.overrides.outage:
        text = "Members that are not on trial fell silent as well, so silence counts against nobody: held."
        return _hold("outage", "install.outage", text)
    # A refusal that goes away by itself within a few reports is not worth a person's time.
    patience = reach_s(situation.rollout.plan.preset.report_s)
    lasting = [m for m in situation.members if m.trial is not None and situation.now - m.trial.at >= patience]
    refused = sum(
        action_state(m, situation.now, situation.rollout.plan.preset.lost_after_s) == "refused" for m in lasting
    )
    limit = _REFUSED_SHARE * max(1, len(situation.members))
    if refused > max(limit, situation.rollout.overrides.refused):
        return _hold("refused", "install.refused", sentences.refusals(situation.counts.refused))
    return None


def _first_release(situation: Situation, _: Answer) -> Move | None:
    rollout = situation.rollout
    if not rollout.first_release:
        return None
    text = "There is nothing to compare with: golden set and probation on each member decide."
    return Move("prove", "promote", "first_release", "", text, situation.now + QUORUM_S)


def _shadow(situation: Situation, _: Answer) -> Move | None:
    found = shadow_outcome(situation) if situation.rollout.in_shadow else None
    return Move(*found) if found is not None else None


def _gate(situation: Situation, weighed: Answer) -> Move | None:
    rollout = situation.rollout
    if rollout.in_shadow:
        return None
    if rollout.plan.unit == "gateway":
        return _wave_gate(situation, weighed)
    if rollout.on_last_step:
        if weighed.verdict != "promote":
            return None
        text, rule = sentences.good_enough(rollout, situation.intervals, weighed)
        return _opened(situation, rule, text)
    if not (situation.step_is_observed and weighed.gate_open):
        return None
    text, rule = sentences.gate_passed(rollout, situation.intervals, weighed)
    return _opened(situation, rule, text)


def _wave_gate(situation: Situation, weighed: Answer) -> Move | None:
    rollout, lost_after = situation.rollout, situation.rollout.plan.preset.lost_after_s
    states = [
        action_state(member, situation.now, lost_after)
        for member in situation.members
        if reachable(member, situation.now, rollout.plan.preset.report_s)
    ]
    if not situation.step_is_observed or not situation.counts.outcomes or any(state in OPEN for state in states):
        return None
    if len(situation.members) < SMALL_FLEET:
        if rollout.overrides.gate == rollout.step:
            return _widened(situation, "operator.gate", "The gate was opened by hand.")
        return _hold("gate", "install.few", sentences.too_few_members(len(situation.members), situation.counts))
    if weighed.wave < FLEET_LEVEL:
        return None
    return _opened(situation, "install.gate", sentences.wave_passed(situation.counts, weighed.wave))


def _opened(situation: Situation, rule: str, text: str) -> Move:
    rollout = situation.rollout
    step = rollout.plan.steps[rollout.step]
    if step.manual_gate and rollout.overrides.gate != rollout.step:
        return _hold("gate", rule, f"{text} The gate of this step is opened by hand.")
    return _widened(situation, rule, text)


def _widened(situation: Situation, rule: str, text: str) -> Move:
    if situation.rollout.on_last_step:
        return Move("prove", "promote", rule, "", text, situation.now + QUORUM_S)
    return Move("widen", "widen", rule, "", text)


def _no_data(situation: Situation, _: Answer) -> Move | None:
    rollout, preset = situation.rollout, situation.rollout.plan.preset
    if rollout.plan.unit == "gateway" or rollout.first_release or rollout.in_shadow:
        return None
    since = max(situation.last_counted, rollout.changed)
    if situation.now - since >= preset.no_data_after_s:
        return _hold("no_data", "no_data", sentences.no_data(preset.no_data_after_s))
    if situation.observed_s - rollout.overrides.observed_s >= preset.limit_s:
        return _hold("inconclusive", "limit", sentences.inconclusive(rollout, situation.intervals))
    return None


def _data_again(situation: Situation, _: Answer) -> Move | None:
    rollout = situation.rollout
    if rollout.reason != "no_data" or situation.last_counted <= rollout.changed:
        return None
    return Move("data", "resume", "data", "", "Requests arrive at both versions again: the observation goes on.")


def _quorum(situation: Situation, _: Answer) -> Move | None:
    rollout = situation.rollout
    if quorum(situation.members, rollout, situation.now):
        return Move("quorum", "succeed", "quorum", "", sentences.succeeded(rollout, situation.members))
    if rollout.due and situation.now >= rollout.due:
        text = "Not enough members serve the candidate after 14 days."
        return Move("quorum_late", "hold", "quorum.late", "quorum", text)
    return None


def _settled(situation: Situation, _: Answer) -> Move | None:
    rollout = situation.rollout
    incomplete = rollout.state == "rollback_incomplete"
    if settled(situation.members, rollout, situation.now, all_of_them=incomplete):
        return Move("settled", "rolled_back", "settled", rollout.reason, sentences.rolled_back(rollout))
    if not incomplete and rollout.due and situation.now >= rollout.due:
        text = "Some members have not said within a day that they are back; they follow the policy when they return."
        return Move("settle_late", "hold", "settle.late", rollout.reason, text)
    return None


def _hold(reason: str, rule: str, text: str) -> Move:
    return Move("hold", "hold", rule, reason, text)


_GUARDS: Sequence[Rule] = (_installs_fail, _nobody_can, _errors_worse)

RULES_BY_STATE: dict[str, Sequence[Rule]] = {
    "awaiting_approval": (_expired,),
    "running": (*_GUARDS, _invalid, _silence, _first_release, _shadow, _gate, _no_data),
    "paused": (*_GUARDS, _asked_in_vain, _data_again),
    "promoting": (*_GUARDS, _quorum),
    "rolling_back": (_settled,),
    "rollback_incomplete": (_settled,),
}
"""The rules of each state, in order; ``scheduled`` starts by taking its slot, see the use case."""
