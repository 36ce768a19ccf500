"""Carry out one decision: record, policies, slots, the signed note of it and the facts, in one transaction."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from onecode_common.assignment import BUCKETS
from onecode_rollout.domain import chart
from onecode_rollout.domain.assignment import exact_width
from onecode_rollout.domain.controller import Move
from onecode_rollout.domain.decision import GENESIS, Decision, digest, record
from onecode_rollout.domain.evaluation import Answer, Question
from onecode_rollout.domain.policy import Entry, Times
from onecode_rollout.domain.rollout import Mark, Rollout, StepStart, desired_entry
from onecode_rollout.domain.situation import Situation
from onecode_rollout.domain.states import HOLDS_SLOT, TERMINAL, following
from onecode_rollout.ports import Ports, Rows
from onecode_rollout.usecases.policies import Policies, Wanted
from onecode_rollout.usecases.situations import members

BY_RULE = "rule"


class _Occasion(NamedTuple):
    """Who decided, why, and on what."""

    by: str
    note: str
    situation: Situation | None
    weighed: tuple[Question, Answer] | None


class Transitions:
    """The only way a rollout changes its state."""

    def __init__(self, ports: Ports, policies: Policies) -> None:
        self._ports = ports
        self._policies = policies
        self.wake_publisher: Callable[[], None] = lambda: None

    def apply(
        self,
        rows: Rows,
        rollout: Rollout,
        move: Move,
        *,
        by: str = BY_RULE,
        note: str = "",
        situation: Situation | None = None,
        weighed: tuple[Question, Answer] | None = None,
    ) -> Rollout:
        """Return the rollout after the move.

        Args:
            rows: The open transaction.
            rollout: Before; overrides and approvals that belong to the move are in it already.
            move: What happens.
            by: ``rule`` or a principal.
            note: What a person gave as reason.
            situation: What the decision looked at.
            weighed: Question and answer.

        Raises:
            PreconditionError: The state does not allow it.
        """
        state = following(rollout.state, move.event)
        after = self._publish(rows, self._next(rows, rollout, move, state, self._ports.clock.now().timestamp()))
        if state not in HOLDS_SLOT and rollout.state in HOLDS_SLOT:
            rows.rollouts.release_slots(rollout.rollout_id)
        if state in TERMINAL:
            after = replace(after, frozen=_frozen(rows, after, situation))
            if rollout.plan.shadow_s:
                rows.reports.forget_shadow(rollout.rollout_id)
        saved = rows.rollouts.save(after)
        self._record(rows, rollout, saved, move, _Occasion(by, note, situation, weighed))
        rows.tell_rollout(saved, move.sentence)
        if by != BY_RULE:
            rows.audit(by, f"rollout.{move.kind}", rollout.rollout_id, note or move.sentence)
        # It may look before this is committed; then it looks again within a second.
        self.wake_publisher()
        return saved

    def _next(self, rows: Rows, rollout: Rollout, move: Move, state: str, now: float) -> Rollout:
        after = replace(rollout, state=state, reason=move.reason, due=move.due, changed=now)
        if state == "paused":
            origin = rollout.paused_from if rollout.state == "paused" else rollout.state
            return replace(after, paused_from=origin)
        after = replace(after, paused_from="")
        if move.event in {"start", "begin"}:
            return self._begin(rows, after, move, now)
        if move.event == "widen":
            return self._begin_step(rows, after, rollout.step + 1, now)
        if state == "promoting" and move.event in {"prove", "promote"}:
            step = len(rollout.plan.steps) - 1
            return replace(after, step=step, steps=(*rollout.steps, StepStart(step, BUCKETS, now)))
        if state in TERMINAL:
            return replace(after, finished=now, alias="wanted" if state == "succeeded" else "")
        return after

    def _begin(self, rows: Rows, rollout: Rollout, move: Move, now: float) -> Rollout:
        """Begin with the shadow, if there is to be one and something to compare with, or with the first step."""
        started = replace(rollout, started=rollout.started or now)
        if move.event == "start" and rollout.plan.shadow_s and not rollout.first_release:
            return replace(started, steps=(StepStart(0, 0, now),))
        return self._begin_step(rows, started, 0, now)

    def _begin_step(self, rows: Rows, rollout: Rollout, step: int, now: float) -> Rollout:
        share = BUCKETS if rollout.first_release else rollout.plan.steps[step].share
        if rollout.plan.unit == "gateway":
            share = exact_width(rollout.rollout_id, [one.source for one in members(rows, rollout)], share)
            share = max(share, rollout.step_start.width)
        return replace(rollout, step=step, steps=(*rollout.steps, StepStart(step, share, now)))

    def _publish(self, rows: Rows, rollout: Rollout) -> Rollout:
        """Make the policies say what the state means; the same state again changes nothing."""
        preset, model = rollout.plan.preset, rollout.plan.model
        times = Times(preset.poll_s, preset.report_s, preset.interval_s) if rollout.state == "running" else None
        wanted = {}
        if not rollout.started:
            return rollout
        for segment in rollout.plan.segments:
            policy = rows.policies.policy(segment)
            current: Entry | None = policy.entries.get(model) if policy is not None else None
            wanted[segment] = Wanted(model, desired_entry(rollout, segment, current), times)
        policies = self._policies.change(rows, wanted)
        marks = dict(rollout.marks)
        for segment, policy in policies.items():
            entry = policy.entries.get(model)
            old = marks.get(segment)
            revision = entry.revision if entry is not None else policy.generation
            first = old.first if old is not None else policy.generation
            marks[segment] = Mark(first, policy.generation, revision)
        return replace(rollout, marks=marks)

    def _record(self, rows: Rows, before: Rollout, after: Rollout, move: Move, occasion: _Occasion) -> None:
        known = rows.rollouts.decisions(after.rollout_id)
        number, previous = len(known) + 1, digest(known[-1].record) if known else GENESIS
        facts = _facts(rows, before, after, move, occasion)
        asked, answered = occasion.weighed or (None, None)
        content = record({**facts, "number": number, "previous": previous}, asked, answered)
        rows.rollouts.add_decision(
            Decision(
                rollout_id=after.rollout_id,
                number=number,
                time=after.changed,
                kind=move.kind,
                from_state=before.state,
                to_state=after.state,
                rule=move.rule,
                by=occasion.by,
                sentence=move.sentence,
                generation=after.generation,
                record=content.decode(),
                signature=self._ports.sign_record(content),
                previous=previous,
            )
        )


def _facts(rows: Rows, before: Rollout, after: Rollout, move: Move, occasion: _Occasion) -> dict[str, object]:
    signed = [one for one in rows.policies.stored() if one.segment in after.plan.segments]
    failed = occasion.situation.counts.failed if occasion.situation is not None else ()
    shadow = occasion.situation.shadow.counts if occasion.situation is not None and before.plan.shadow_s else None
    return {
        **({} if shadow is None else {"shadow": shadow}),
        "rollout": after.rollout_id,
        "time": after.changed,
        "kind": move.kind,
        "event": move.event,
        "from": before.state,
        "to": after.state,
        "reason": after.reason,
        "rule": move.rule,
        "by": occasion.by,
        "note": occasion.note,
        "sentence": move.sentence,
        "candidate": after.plan.candidate,
        "stable": after.stable,
        "step": after.step,
        "width": after.step_start.width,
        "overrides": asdict(after.overrides),
        "policies": {one.segment: {"generation": one.generation, "sha256": one.sha256} for one in signed},
        "failed": [list(pair) for pair in failed],
    }


def _frozen(rows: Rows, rollout: Rollout, situation: Situation | None) -> str:
    """Return the evidence at the end: later counters of this rollout prove nothing any more."""
    intervals = rows.reports.intervals(rollout)
    totals = rows.reports.arm_totals(rollout.rollout_id)
    document: dict[str, Sequence[object]] = {
        "points": [list(asdict(point).values()) for point in chart.points(rollout, intervals)],
        "candidate": list(totals.get(rollout.plan.candidate, (0, 0, 0))),
        "stable": list(totals.get(rollout.stable, (0, 0, 0))),
    }
    if rollout.plan.shadow_s and situation is not None:
        shadow = situation.shadow
        document["shadow"] = [shadow.pairs, shadow.different, shadow.failed, shadow.dropped, shadow.largest]
    return json.dumps(document)
