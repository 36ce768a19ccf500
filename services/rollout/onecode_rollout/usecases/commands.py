"""Let people steer a rollout: each command has one effect, however often and from wherever it is sent."""

from collections.abc import Callable
from dataclasses import replace

from onecode_common.errors import DeniedError, InvalidError, PreconditionError
from onecode_rollout.domain.controller import QUORUM_S, SETTLE_S, Move
from onecode_rollout.domain.evaluation import Answer, Question, answer
from onecode_rollout.domain.evidence import Cell
from onecode_rollout.domain.rollout import SHADOW_GATE, Rollout
from onecode_rollout.domain.situation import Situation, weigh
from onecode_rollout.domain.states import already, following
from onecode_rollout.domain.verdict import peak_worse
from onecode_rollout.ports import Ports, Rows
from onecode_rollout.usecases import starts
from onecode_rollout.usecases.rollouts import find
from onecode_rollout.usecases.situations import load
from onecode_rollout.usecases.transitions import Transitions
from onecode_rollout.usecases.views import RolloutView, view

_OPERATOR = "operator"
_MAX_REASON = 500

Act = Callable[[Rows, Situation, tuple[Question, Answer]], Rollout]


class Commands:
    """Approve, cancel, pause, resume, promote, abort, roll back."""

    def __init__(self, ports: Ports, transitions: Transitions) -> None:
        self._ports = ports
        self._transitions = transitions

    def approve(self, rollout_id: str, by: str, reason: str) -> RolloutView:
        """Agree; the author may not.

        Raises:
            DeniedError: The author asks.
            PreconditionError: It does not wait for approval.
        """

        def act(rows: Rows, situation: Situation, _: tuple[Question, Answer]) -> Rollout:
            rollout = situation.rollout
            if by == rollout.created_by:
                raise DeniedError("whoever created a rollout may not approve it", code="rollout.own_approval")
            if by in rollout.approvals and rollout.state == "awaiting_approval":
                return rollout
            following(rollout.state, "approve")
            agreed = replace(rollout, approvals=(*rollout.approvals, by))
            missing = rollout.needed_approvals - len(agreed.approvals)
            if missing > 0:
                move = Move("approve", "approve", _OPERATOR, "", f"Approved by {by}, {missing} missing.", rollout.due)
                return self._transitions.apply(rows, agreed, move, by=by, note=reason)
            move = Move("approved", "approve", _OPERATOR, "", f"Approved by {by}.")
            return starts.start(
                rows, self._transitions, self._transitions.apply(rows, agreed, move, by=by, note=reason)
            )

        return self._run("approve", rollout_id, reason, act)

    def reject(self, rollout_id: str, by: str, reason: str) -> RolloutView:
        """Refuse to approve. Raises PreconditionError."""
        return self._simple(
            "reject", rollout_id, by, reason, Move("reject", "reject", _OPERATOR, "operator", f"Rejected by {by}.")
        )

    def cancel(self, rollout_id: str, by: str) -> RolloutView:
        """Drop a rollout that has not started. Raises PreconditionError."""
        return self._simple(
            "cancel", rollout_id, by, "", Move("cancel", "cancel", _OPERATOR, "operator", f"Canceled by {by}.")
        )

    def pause(self, rollout_id: str, by: str, reason: str) -> RolloutView:
        """Freeze exposure; nobody begins a new switch. Evidence goes on counting. Raises PreconditionError."""
        return self._simple(
            "pause", rollout_id, by, reason, Move("pause", "pause", _OPERATOR, "operator", f"Paused by {by}.")
        )

    def abort(self, rollout_id: str, by: str, reason: str) -> RolloutView:
        """End it and keep the split as it is. Raises PreconditionError."""
        text = f"Ended by {by}; the split stays as it is."
        return self._simple("abort", rollout_id, by, reason, Move("abort", "abort", _OPERATOR, "operator", text))

    def rollback(self, rollout_id: str, by: str, reason: str) -> RolloutView:
        """Take the candidate back everywhere. Raises PreconditionError."""
        move = Move("rollback", "rollback", _OPERATOR, "operator", f"Rolled back by {by}.", self._now() + SETTLE_S)
        return self._simple("rollback", rollout_id, by, reason, move)

    def resume(self, rollout_id: str, by: str, reason: str, *, override: bool) -> RolloutView:
        """Go on where it was held.

        Raises:
            PreconditionError: It is not held, or what held it needs ``override`` and a reason.
        """

        def act(rows: Rows, situation: Situation, weighed: tuple[Question, Answer]) -> Rollout:
            rollout = situation.rollout
            event = "resume_promotion" if rollout.paused_from == "promoting" else "resume"
            following(rollout.state, event)
            if rollout.reason in {"bad", "invalid"} and not (override and reason.strip()):
                message = f"the rollout is paused ({rollout.reason}): resuming needs override and a reason"
                raise PreconditionError(message, code="rollout.needs_override", params={"reason": rollout.reason})
            if rollout.reason == "invalid":
                rows.rollouts.accept_suspects(rollout_id)
            due = self._now() + QUORUM_S if event == "resume_promotion" else 0.0
            move = Move(event, "resume", _OPERATOR, "", f"Resumed by {by} from {rollout.reason}.", due)
            accepted = _accepted(situation, override=override)
            return self._transitions.apply(
                rows, accepted, move, by=by, note=reason, situation=situation, weighed=weighed
            )

        return self._run("resume", rollout_id, reason, act)

    def promote(self, rollout_id: str, by: str, reason: str, *, force: bool) -> RolloutView:
        """Give the candidate to everybody; with force also without proof, which the record then says.

        A promotion that is held (by a person, or for want of a quorum) is ended by force, with its stragglers.

        Raises:
            InvalidError: Force without a reason.
            PreconditionError: Not now, or nothing is proven and ``force`` is not set.
        """
        if force and not reason.strip():
            raise InvalidError("promoting with force needs a reason", code="rollout.needs_reason")

        def act(rows: Rows, situation: Situation, weighed: tuple[Question, Answer]) -> Rollout:
            rollout = situation.rollout
            closes = rollout.paused_from == "promoting"
            event = "close" if closes else "promote"
            following(rollout.state, event)
            if not force:
                _require_proof(situation, weighed[0])
            how = "forced by" if force else "by"
            text = f"Ended {how} {by} with stragglers." if closes else f"Promoted, {how} {by}."
            rule = "operator.forced" if force else _OPERATOR
            move = Move(event, "succeed" if closes else "promote", rule, "", text, self._now() + QUORUM_S)
            return self._transitions.apply(
                rows, rollout, move, by=by, note=reason, situation=situation, weighed=weighed
            )

        return self._run("promote", rollout_id, reason, act)

    def _simple(self, command: str, rollout_id: str, by: str, reason: str, move: Move) -> RolloutView:
        def act(rows: Rows, situation: Situation, weighed: tuple[Question, Answer]) -> Rollout:
            return self._transitions.apply(
                rows, situation.rollout, move, by=by, note=reason, situation=situation, weighed=weighed
            )

        return self._run(command, rollout_id, reason, act)

    def _run(self, command: str, rollout_id: str, reason: str, act: Act) -> RolloutView:
        if len(reason) > _MAX_REASON:
            raise InvalidError(f"the reason is longer than {_MAX_REASON} characters", code="rollout.reason")
        with self._ports.records.transaction() as rows:
            rollout = find(rows, rollout_id)
            if not already(command, rollout.state, rollout.reason):
                situation = load(rows, rollout, self._now())
                rollout = act(rows, situation, weigh(situation))
            return view(rows, rollout, self._now())

    def _now(self) -> float:
        return self._ports.clock.now().timestamp()


def _accepted(situation: Situation, *, override: bool) -> Rollout:
    """Return the rollout with what the person has accepted by resuming."""
    rollout, given = situation.rollout, situation.rollout.overrides
    match rollout.reason:
        case "bad" if rollout.in_shadow:
            cells = [[Cell(*cell[1:]) for cell in one.cells] for one in situation.shadow.intervals]
            given = replace(given, shadow=peak_worse(cells, rollout.plan.preset.params))
        case "bad":
            cells = [[Cell(*cell[1:]) for cell in one.cells] for one in situation.intervals]
            given = replace(given, worse=peak_worse(cells, rollout.plan.preset.params))
        case "invalid":
            given = replace(given, allocation=given.allocation or override)
        case "inconclusive":
            given = replace(given, observed_s=situation.observed_s)
        case "refused":
            given = replace(given, refused=len(situation.counts.refused))
        case "outage":
            given = replace(given, outage=True)
        case "gate":
            given = replace(given, gate=SHADOW_GATE if rollout.in_shadow else rollout.step)
        case "no_data" | "inconclusive" if rollout.in_shadow and override:
            given = replace(given, gate=SHADOW_GATE)
        case _:
            pass
    return replace(rollout, overrides=given)


def _require_proof(situation: Situation, asked: Question) -> None:
    rollout = situation.rollout
    # What was shown to a candidate in shadow is no traffic: it cannot prove that people may be given it.
    counted = not rollout.in_shadow and answer(replace(asked, promotable=True)).verdict == "promote"
    proven = rollout.first_release or counted
    if not proven:
        message = f"the rollout is {rollout.state} and nothing is proven yet: wait, or promote with force"
        raise PreconditionError(message, code="rollout.not_proven", hint="force needs a reason, which the record keeps")
