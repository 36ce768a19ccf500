"""Decide, several times a second, what this gateway serves: begin changes, follow them, take them back.

One object holds all of it, behind one lock; downloads and trials happen elsewhere and only tell it how they ended.
Nothing here waits for the cloud.
"""

import threading
from collections.abc import Mapping

from onecode_common.errors import PreconditionError
from onecode_delivery.policy import Policy
from onecode_edge.domain import crashes, plan
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import ModelSet
from onecode_edge.domain.observed import Observed
from onecode_edge.domain.plan import Wish
from onecode_edge.domain.transition import Transition
from onecode_edge.following import (
    follow_probation,
    follow_switch,
    follow_way_back,
    go_back,
    keep_serving,
    switch,
)
from onecode_edge.situation import Situation

_LONGEST_STEP_S = 5.0
_RETRY_REFUSED_S = 300.0
_HELD = "held_revision"


class Conductor:
    """The gateway's state machine; safe to use from several threads.

    Attributes:
        changed: Set when there may be something to download, try, report or sweep.
    """

    def __init__(self, situation: Situation) -> None:
        self._at = situation
        self._lock = threading.RLock()
        self._refused: dict[tuple[str, int, str], float] = {}
        self._told: set[tuple[str, int, str]] = set()
        self._looked = situation.clock.monotonic()
        self.changed = threading.Event()

    def recover(self) -> None:
        """Take up the work after a start: what the links name is served, what the journal intends is continued."""
        with self._lock:
            at = self._at
            at.processes.poll()
            at.sets.open()
            transition = at.transition = at.journal.open_transition()
            current = at.sets.linked_id("current")
            if transition is not None:
                sealed = at.sets.sealed(transition.target.id)
                state = states.after_restart(transition, current, sealed=sealed)
                if state != transition.state:
                    at.advance(state, detail="taken up after a start")
            elif current and at.sets.linked_id("committed") != current:
                self._serve_committed()

    def offer(self, policy: Policy) -> None:
        """Take the newest policy; the next :meth:`tick` acts on it."""
        with self._lock:
            self._at.policy = policy

    def work(self) -> Transition | None:
        """Return the transition if there is something to download or to try for it."""
        with self._lock:
            transition = self._at.transition
            waits = transition is not None and transition.state in (states.DOWNLOADING, states.VERIFIED)
            return transition if waits else None

    def attempt(self, transition: Transition) -> bool:
        """Note, before it begins, that a trial begins; False if the transition is no longer the same."""
        with self._lock:
            mine = self._at.transition
            if mine is None or not _same(mine, transition):
                return False
            self._at.keep(mine, attempts=mine.attempts + 1)
            return True

    def prepared(self, transition: Transition, state: str, *, cause: str = "", detail: str = "", bad: str = "") -> None:
        """Take the outcome of a download or trial; one that comes too late is dropped.

        A version named ``bad`` is never tried again.
        """
        with self._lock:
            at = self._at
            if at.transition is None or not _same(at.transition, transition):
                return
            if state == states.STAGED:
                at.sets.seal(at.transition.target, at.transition.generation, at.interval_s)
            following = at.advance(state, cause=cause, detail=detail, bad=bad)
            if state in (states.REFUSED, states.TIMED_OUT):
                key = (following.model, following.revision, following.digest)
                self._refused[key] = at.clock.monotonic() + _RETRY_REFUSED_S
            if state in states.ENDS:
                self._end()

    def roll_back(self, reason: str) -> str:
        """Serve what was served before, until the policy has a newer revision; return its name.

        Raises:
            PreconditionError: Nothing was served before, or a way back is being taken.
        """
        with self._lock:
            at = self._at
            previous = at.sets.linked("previous")
            if previous is None or not previous.entries or previous.without(at.bad()) != previous:
                message = "there is no earlier set to go back to"
                raise PreconditionError(message, code="edge.no_previous")
            if at.transition is not None and at.transition.state == states.REVERTING:
                message = "a way back is being taken already"
                raise PreconditionError(message, code="edge.reverting")
            if at.transition is not None and at.transition.state in states.PREPARING:
                at.advance(states.SUPERSEDED, cause="operator")
                at.transition = None
            at.journal.remember([(_HELD, str(_newest_revision(at.policy)))])
            if at.transition is None:
                present = at.sets.present
                subject = present.entries[0] if present.entries else None
                at.transition = at.journal.begin(subject, present, present.id, at.generation, state=states.SWITCHING)
            go_back(at, at.advance(states.REVERTING, cause="operator", detail=reason[:200]))
            return previous.id

    def prove(self) -> tuple[str, dict[str, str]]:
        """Have the serving process answer its golden sets now.

        Raises:
            PreconditionError: Nothing is served.
            UnavailableError: The process does not answer.
        """
        with self._lock:
            process = self._at.serving()
            if process is None:
                message = "nothing is served"
                raise PreconditionError(message, code="edge.not_serving")
            return self._at.processes.prove(process)

    def unready(self) -> str | None:
        """Return why the set that should be served is not, or None; before the first policy it is None."""
        with self._lock:
            at = self._at
            present = at.sets.present
            if not present.entries:
                return "nothing could be installed yet" if at.policy is not None and at.policy.models else None
            if crashes.safe_mode(at.deaths, at.clock.monotonic()):
                return "safe mode: what is to be served ended too often"
            return None if at.serving() is not None else f"set {present.id} is not served yet"

    def describe(self) -> dict[str, object]:
        """Return what people are told."""
        with self._lock:
            at = self._at
            process = at.serving()
            return {
                "links": {name: at.sets.linked_id(name) for name in ("current", "previous", "committed")},
                "serving": dict(process.serving) if process else {},
                "processes": {one.name: one.phase for one in at.processes.all()},
                "action": _described(at.transition) if at.transition else None,
                "bad": at.journal.bad(),
                "damage": list(at.sets.damage),
                "generation": at.generation,
            }

    def served(self) -> dict[str, str]:
        """Return the digest that answers for each model, as the serving process says."""
        with self._lock:
            process = self._at.serving()
            return dict(process.serving) if process else {}

    def present(self) -> ModelSet:
        """Return the set that is to be served."""
        with self._lock:
            return self._at.sets.present

    def collect(self) -> None:
        """Fetch the counters of the serving processes."""
        with self._lock:
            self._at.processes.collect()

    def sweep(self) -> None:
        """Remove files that nothing needs any more; nothing while a change is under way."""
        with self._lock:
            at = self._at
            if at.transition is None and at.policy is not None:
                named = (model.digests | set(model.rollback_to) for model in at.policy.models)
                at.sets.sweep((), frozenset().union(*named))

    def tick(self) -> None:
        """Look at everything once, and do the next thing."""
        with self._lock:
            at = self._at
            now = at.clock.monotonic()
            passed_s, self._looked = min(now - self._looked, _LONGEST_STEP_S), now
            self._follow(passed_s)
            self._leave_others()
            self._replan()
            self._tell_shares()
            transition = at.transition
            if transition is not None and transition.state == states.STAGED:
                switch(at, transition)

    def _follow(self, passed_s: float) -> None:
        at = self._at
        now = at.clock.monotonic()
        unasked = [death for death in at.processes.poll() if not death.expected]
        deaths = [death for death in unasked if death.set_id == at.sets.present.id]
        at.deaths = crashes.recent(at.deaths, now) + [now for _ in deaths]
        transition = at.transition
        if transition is not None and transition.state in states.SERVING:
            for death in deaths:
                at.lost += death.totals.get(transition.digest, Observed())
        if transition is not None and transition.state == states.SWITCHING:
            follow_switch(at, transition, deaths)
        elif transition is not None and transition.state == states.PROBATION:
            follow_probation(at, transition, deaths, passed_s)
        elif transition is not None and transition.state == states.REVERTING:
            follow_way_back(at, transition)
        else:
            if any(death.cause == "corrupt" for death in deaths):
                at.sets.open()
            keep_serving(at)
        if at.transition is not None and at.transition.state in states.ENDS:
            self._end()

    def _leave_others(self) -> None:
        """Let older processes drain once the present set answers, or at once if there is nothing to serve."""
        process = self._at.serving()
        if process is not None:
            self._at.processes.leave(process.name)
        elif not self._at.sets.present.entries:
            self._at.processes.leave("")

    def _replan(self) -> None:
        """Compare what is served with what the policy asks for, and begin the next change if none is under way."""
        at = self._at
        policy = at.policy
        if policy is None or self._held(policy) or (at.transition and at.transition.state == states.REVERTING):
            return
        wished = plan.wishes(policy, at.gateway, at.bad(), at.sets.present)
        self._retune(policy, wished)
        step = plan.next_step(at.sets.present, wished)
        if at.transition is not None:
            wish = wished.get(at.transition.model)
            wanted: frozenset[str] = wish.entry.digests if wish and wish.entry else frozenset()
            target = step.target.id if step else at.sets.present.id
            if not states.superseded_by(at.transition, wanted, target):
                self._adjust(at.transition, wished)
                return
            at.advance(states.SUPERSEDED)
            self._end()
        self._tell_outcomes(wished)
        if step is not None and self._may_begin(step):
            at.transition = at.journal.begin(step.subject, step.target, at.sets.linked_id("current"), policy.generation)
            self.changed.set()

    def _retune(self, policy: Policy, wished: Mapping[str, Wish]) -> None:
        """Seal the shares that the policy has now for the versions that are served; no process is restarted."""
        at = self._at
        after = plan.retuned(at.sets.present, wished)
        current = at.sets.current
        if current is not None and (after != current.models or policy.interval_s != current.interval_s):
            at.sets.seal(after, policy.generation, policy.interval_s)

    def _tell_shares(self) -> None:
        """Make the serving process divide requests as the seal says; it may have read an older one."""
        at = self._at
        process, current = at.serving(), at.sets.current
        if process is None or current is None:
            return
        wanted = (current.models, current.interval_s)
        if process.routed != wanted:
            at.processes.route(process, *wanted)

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
            elif proven and process is not None and held is not None and held.digests == wish.asked.digests:
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

    def _serve_committed(self) -> None:
        """Serve the last good set: the journal knows nothing of the present one."""
        at = self._at
        committed = at.sets.linked("committed")
        if committed is not None and not at.sets.damaged(committed):
            at.sets.switch(at.sets.seal(committed, at.generation, at.interval_s))

    def _end(self) -> None:
        self._at.transition = None
        self._at.journal.forget_old()
        self.changed.set()


def _same(mine: Transition, other: Transition) -> bool:
    return (mine.id, mine.state) == (other.id, other.state)


def _newest_revision(policy: Policy | None) -> int:
    return max((model.revision for model in policy.models), default=0) if policy is not None else 0


def _described(transition: Transition) -> dict[str, object]:
    names = ("model", "revision", "digest", "state", "since", "attempts", "starts", "serving_s", "cause", "detail")
    return {name: getattr(transition, name) for name in names}
