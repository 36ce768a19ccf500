"""Compare what is served with what the policy asks for, and begin the next change if none is under way."""

from collections.abc import Mapping

from onecode_delivery.policy import Policy
from onecode_edge.domain import plan
from onecode_edge.domain import transition as states
from onecode_edge.domain.plan import Wish
from onecode_edge.domain.transition import Transition
from onecode_edge.situation import Situation

_RETRY_REFUSED_S = 300.0
_HELD = "held_revision"


class Replanner:
    """Turns a policy into changes; used under the conductor's lock only."""

    def __init__(self, situation: Situation) -> None:
        self._at = situation
        self._refused: dict[tuple[str, int, str], float] = {}
        self._told: set[tuple[str, int, str]] = set()

    def hold(self) -> None:
        """Begin nothing until the policy has a revision that is newer than those of now."""
        self._at.journal.remember([(_HELD, str(_newest_revision(self._at.policy)))])

    def not_now(self, transition: Transition) -> None:
        """Leave a change that could not be made here alone for some minutes."""
        key = (transition.model, transition.revision, transition.digest)
        self._refused[key] = self._at.clock.monotonic() + _RETRY_REFUSED_S

    def replan(self) -> None:
        """Give served versions their shares, end a change that is overtaken, begin the next one."""
        at = self._at
        policy = at.policy
        if policy is None or self._held(policy) or (at.transition and at.transition.state == states.REVERTING):
            return
        wished = plan.wishes(policy, at.gateway, at.bad(), at.sets.present)
        self._retune(policy, wished)
        step = plan.next_step(at.sets.present, wished)
        if at.transition is not None:
            wish = wished.get(at.transition.model)
            wanted: frozenset[str] = wish.entry.parts if wish and wish.entry else frozenset()
            target = step.target.id if step else at.sets.present.id
            if not states.superseded_by(at.transition, wanted, target):
                self._adjust(at.transition, wished)
                return
            at.advance(states.SUPERSEDED)
            at.end()
        self._tell_outcomes(wished)
        if step is not None and self._may_begin(step):
            at.transition = at.journal.begin(step.subject, step.target, at.sets.linked_id("current"), policy.generation)

    def _retune(self, policy: Policy, wished: Mapping[str, Wish]) -> None:
        """Seal the shares that the policy has now for the versions that are served; no process is restarted."""
        at = self._at
        after = plan.retuned(at.sets.present, wished)
        current = at.sets.current
        if current is not None and (after != current.models or policy.interval_s != current.interval_s):
            at.sets.seal(after, policy.generation, policy.interval_s)

    def _adjust(self, transition: Transition, wished: Mapping[str, Wish]) -> None:
        """Keep the target of a transition in step with new shares and revisions of the same versions."""
        target = plan.retuned(transition.target, wished)
        entry = target.entry(transition.model)
        if target != transition.target and entry is not None:
            self._at.keep(transition, target=target, revision=entry.revision, rollout=entry.rollout)

    def _tell_outcomes(self, wished: Mapping[str, Wish]) -> None:
        """Report, once for each revision, what needs no change: a version refused here, or one served already."""
        at = self._at
        process = at.serving()
        proven = process is not None and at.sets.linked_id("committed") == at.sets.present.id
        for wish in wished.values():
            held = at.sets.present.entry(wish.asked.name)
            if wish.refused:
                state, digest, served = states.REFUSED, wish.refused, ""
            elif proven and process is not None and held is not None and held.parts == wish.asked.parts:
                state, digest = states.COMMITTED, wish.asked.subject.digest
                served = process.serving.get(held.name, "")
            else:
                continue
            key = (wish.asked.name, wish.asked.revision, digest)
            if key not in self._told:
                self._told.add(key)
                cause = "quarantine" if wish.refused else ""
                at.journal.tell(wish.asked, state, digest=digest, cause=cause, served=served)

    def _may_begin(self, step: plan.Step) -> bool:
        if step.subject is None:
            return True
        key = (step.subject.name, step.subject.revision, step.subject.subject.digest)
        return self._at.clock.monotonic() >= self._refused.get(key, 0.0)

    def _held(self, policy: Policy) -> bool:
        """Return whether an operator went back by hand and no newer revision has come since."""
        held = self._at.journal.meta(_HELD)
        if not held:
            return False
        if _newest_revision(policy) > int(held):
            self._at.journal.remember([(_HELD, "")])
            return False
        return True


def _newest_revision(policy: Policy | None) -> int:
    return max((model.revision for model in policy.models), default=0) if policy is not None else 0
