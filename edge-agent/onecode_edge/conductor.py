"""Decide, several times a second, what this gateway serves: begin changes, follow them, take them back.

One object holds all of it, behind one lock; downloads and trials happen elsewhere and only tell it how they ended.
Nothing here waits for the cloud.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError, PreconditionError
from onecode_delivery.policy import Policy

from onecode_edge.adapters.journal import Journal
from onecode_edge.adapters.processes import Death, Processes, ServeProcess
from onecode_edge.adapters.sets import Sets
from onecode_edge.domain import crashes, plan
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import EMPTY, ModelSet
from onecode_edge.domain.plan import Wish
from onecode_edge.domain.probation import Observed, verdict
from onecode_edge.domain.transition import Transition

_log = logging.getLogger(__name__)
_DAY_S = 86_400.0
_SAVE_S = 5.0
_LONGEST_STEP_S = 5.0
_RETRY_REFUSED_S = 300.0
_HELD = "held_revision"
_FOREVER = float("inf")


class Conductor:
    """The gateway's state machine.

    Args:
        history: Returns what versions did here since a moment, from the kept counters.
        gateway: This gateway's id.
    """

    def __init__(
        self,
        sets: Sets,
        journal: Journal,
        processes: Processes,
        history: Callable[[frozenset[str], float], Observed],
        clock: Clock,
        gateway: str,
    ) -> None:
        self._sets = sets
        self._journal = journal
        self._processes = processes
        self._history = history
        self._clock = clock
        self._gateway = gateway
        self._lock = threading.RLock()
        self._policy: Policy | None = None
        self._transition: Transition | None = None
        self._deaths: list[float] = []
        self._lost = Observed()
        self._refused: dict[tuple[str, int, str], float] = {}
        self._looked = clock.monotonic()
        self._saved = 0.0
        self.changed = threading.Event()

    # What is asked from outside.

    def recover(self) -> None:
        """Take up the work after a start: what the links name is served, what the journal intends is continued."""
        with self._lock:
            self._processes.poll()
            self._sets.open()
            transition = self._journal.open_transition()
            current = self._sets.present.id if self._sets.current else ""
            if transition is not None:
                sealed = self._sets.sealed(transition.target.id)
                serving = self._processes.of(transition.target.id) is not None
                state = states.after_restart(transition, current, sealed=sealed, serving=serving)
                if state != transition.state:
                    transition = self._journal.advance(transition, state, detail="taken up after a start")
            elif self._sets.current is not None and self._sets.linked_id("committed") != current:
                self._serve_committed()
            self._transition = transition

    def offer(self, policy: Policy) -> None:
        """Take the newest policy; the next :meth:`tick` acts on it."""
        with self._lock:
            self._policy = policy
            self.changed.set()

    def work(self) -> Transition | None:
        """Return the transition if there is something to download or to try for it."""
        with self._lock:
            transition = self._transition
            waits = transition is not None and transition.state in (states.DOWNLOADING, states.VERIFIED)
            return transition if waits else None

    def attempt(self, transition: Transition) -> Transition | None:
        """Note, before it begins, that a trial begins; None if the transition is no longer the same."""
        with self._lock:
            if not self._is(transition) or self._transition is None:
                return None
            self._transition = self._journal.keep(replace(self._transition, attempts=self._transition.attempts + 1))
            return self._transition

    def prepared(self, transition: Transition, state: str, *, cause: str = "", detail: str = "", bad: str = "") -> None:
        """Take the outcome of a download or trial; one that comes too late is dropped.

        Args:
            bad: Version that is never to be tried again.
        """
        with self._lock:
            if not self._is(transition) or self._transition is None:
                return
            if state == states.STAGED:
                self._sets.seal(transition.target, transition.generation, self._interval_s())
            if bad:
                self._journal.mark_bad(bad, cause)
            following = self._journal.advance(self._transition, state, cause=cause, detail=detail)
            if state in (states.REFUSED, states.TIMED_OUT):
                key = (following.model, following.revision, following.digest)
                self._refused[key] = self._clock.monotonic() + _RETRY_REFUSED_S
            self._transition = None if state in states.ENDS else following
            self.changed.set()

    def roll_back(self, reason: str) -> str:
        """Serve what was served before, until the policy has a newer revision; return its name.

        Raises:
            PreconditionError: Nothing was served before, or a way back is being taken.
        """
        with self._lock:
            transition = self._transition
            previous = self._sets.linked("previous")
            if previous is None or not previous.entries or previous.without(self._journal.bad()) != previous:
                message = "there is no earlier set to go back to"
                raise PreconditionError(message, code="edge.no_previous")
            if transition is not None and transition.state == states.REVERTING:
                message = "a way back is being taken already"
                raise PreconditionError(message, code="edge.reverting")
            if transition is not None and transition.state in states.PREPARING:
                self._journal.advance(transition, states.SUPERSEDED, cause="operator")
                transition = None
            newest = max((model.revision for model in self._policy.models), default=0) if self._policy else 0
            self._journal.remember([(_HELD, str(newest))])
            if transition is None:
                subject = self._sets.present.entries[0] if self._sets.present.entries else None
                origin, target = self._sets.linked_id("current"), self._sets.present
                transition = self._journal.begin(subject, target, origin, self._generation(), state=states.SWITCHING)
            self._transition = self._journal.advance(transition, states.REVERTING, cause="operator", detail=reason[:200])
            self._go_back(self._transition)
            return previous.id

    def prove(self) -> tuple[str, dict[str, str]]:
        """Have the serving process answer its golden sets now. Raises UnavailableError if none serves."""
        with self._lock:
            process = self._serving()
        if process is None:
            message = "nothing is served"
            raise PreconditionError(message, code="edge.not_serving")
        return self._processes.prove(process)

    def unready(self) -> str | None:
        """Return why the set that should be served is not, or None; with nothing to serve yet it is None."""
        with self._lock:
            present = self._sets.present
            if not present.entries:
                wanted = self._policy is not None and bool(self._policy.models)
                return "nothing could be installed yet" if wanted and self._transition is not None else None
            if crashes.safe_mode(self._deaths, self._clock.monotonic()):
                return "safe mode: what is to be served ended too often"
            return None if self._serving() is not None else f"set {present.id} is not served yet"

    def describe(self) -> dict[str, object]:
        """Return what people and the cloud are told."""
        with self._lock:
            process = self._serving()
            transition = self._transition
            return {
                "links": {name: self._sets.linked_id(name) for name in ("current", "previous", "committed")},
                "serving": dict(process.serving) if process else {},
                "processes": {one.name: one.phase for one in self._processes.all()},
                "action": None if transition is None else _described(transition),
                "bad": self._journal.bad(),
                "damage": list(self._sets.damage),
                "policy_generation": self._generation(),
            }

    def served(self) -> dict[str, str]:
        """Return the digest that answers for each model, as the serving process says."""
        with self._lock:
            process = self._serving()
            return dict(process.serving) if process else {}

    def kept(self) -> ModelSet:
        """Return the set that is being served."""
        with self._lock:
            return self._sets.present

    def collect(self) -> None:
        """Fetch the counters of the serving processes."""
        with self._lock:
            self._processes.collect()

    # One turn.

    def tick(self) -> None:
        """Look at everything once, and do the next thing."""
        with self._lock:
            now = self._clock.monotonic()
            passed, self._looked = min(now - self._looked, _LONGEST_STEP_S), now
            deaths = [death for death in self._processes.poll() if not death.expected]
            mine = [death for death in deaths if death.set_id == self._sets.present.id]
            self._deaths = crashes.recent(self._deaths, now) + [now for _ in mine]
            transition = self._transition
            if transition is not None and transition.state == states.SWITCHING:
                self._follow_switch(transition, mine)
            elif transition is not None and transition.state == states.PROBATION:
                self._follow_probation(transition, mine, passed)
            elif transition is not None and transition.state == states.REVERTING:
                self._follow_way_back(transition)
            else:
                self._keep_serving(now)
            self._leave_others()
            self._replan()
            if self._transition is not None and self._transition.state == states.STAGED:
                self._switch(self._transition)

    def _keep_serving(self, now: float) -> None:
        if not self._sets.present.entries or self._processes.of(self._sets.present.id) is not None:
            return
        if now >= crashes.next_start(self._deaths, now):
            self._processes.begin(self._sets.present.id)

    def _leave_others(self) -> None:
        """Let older processes drain once the current set answers, or at once if there is nothing to serve."""
        process = self._serving()
        if process is not None:
            self._processes.leave(process.name)
        elif not self._sets.present.entries:
            self._processes.leave("")

    def _switch(self, transition: Transition) -> None:
        self._lost = Observed()
        self._transition = self._journal.advance(transition, states.SWITCHING)
        self._sets.switch(self._sets.seal(transition.target, transition.generation, self._interval_s()))
        self._deaths = []
        if transition.target.entries and self._processes.of(transition.target.id) is None:
            self._processes.begin(transition.target.id)

    def _follow_switch(self, transition: Transition, deaths: list[Death]) -> None:
        process = self._serving()
        if process is not None or not transition.target.entries:
            _, answered = self._proof(process)
            served = answered.get(transition.digest, "")
            self._transition = self._journal.advance(transition, states.PROBATION, served=served)
            return
        late = self._clock.now().timestamp() - transition.since > states.SWITCH_LIMIT_S
        if not self._ended(transition, deaths) and late:
            self._revert(transition, "switch", "the new set did not answer in time")

    def _follow_probation(self, transition: Transition, deaths: list[Death], passed: float) -> None:
        process = self._serving()
        if transition.target.entries and process is None:
            self._ended(transition, deaths)
            return
        transition = replace(transition, serving_s=transition.serving_s + passed)
        self._transition = transition
        new = self._lost + (process.totals.get(transition.digest, Observed()) if process else Observed())
        cause = self._judge(transition, new)
        if cause:
            self._revert(transition, cause, f"{new.errors} of {new.requests} answers were bad")
        elif transition.serving_s >= transition.probation_s:
            self._commit(transition, process, new)
        elif self._clock.monotonic() - self._saved > _SAVE_S:
            self._saved = self._clock.monotonic()
            self._journal.keep(transition)

    def _judge(self, transition: Transition, new: Observed) -> str:
        if not self._fresh(transition) or not new.errors:
            return ""
        before = self._sets.linked("committed") or EMPTY
        since = self._clock.now().timestamp() - _DAY_S
        return verdict(new, self._history(before.digests - {transition.digest}, since))

    def _commit(self, transition: Transition, process: ServeProcess | None, new: Observed) -> None:
        wrong, answered = self._proof(process)
        if wrong and self._fresh(transition):
            self._revert(transition, "golden", wrong)
            return
        if process is not None and not answered:
            return
        self._sets.commit()
        evidence = "traffic" if new.requests else "golden"
        served = answered.get(transition.digest, "")
        self._journal.advance(transition, states.COMMITTED, served=served, evidence=evidence)
        self._end()

    def _ended(self, transition: Transition, deaths: list[Death]) -> bool:
        """Deal with a new set that has no process; return whether the transition went another way."""
        death = deaths[-1] if deaths else None
        if death is not None and death.cause == "corrupt":
            # The files, not the version, are at fault: they are fetched again.
            self._serve_committed()
            self._transition = self._journal.advance(transition, states.DOWNLOADING, detail=death.detail)
            return True
        if death is not None and death.cause in ("golden", "load") and self._fresh(transition):
            self._revert(transition, death.cause, death.detail)
            return True
        if self._processes.of(transition.target.id) is not None:
            return False
        now = self._clock.monotonic()
        if self._fresh(transition) and transition.starts + 1 >= states.MAX_STARTS:
            self._revert(transition, "crash", death.detail if death else "started too often without a commit")
            return True
        if now >= crashes.next_start(self._deaths, now):
            # Counted before it is done, so that a version that takes the machine down with it is counted too.
            self._transition = self._journal.keep(replace(transition, starts=transition.starts + 1))
            self._processes.begin(transition.target.id)
        return False

    def _revert(self, transition: Transition, cause: str, detail: str) -> None:
        fresh = self._fresh(transition)
        if fresh and transition.digest:
            self._journal.mark_bad(transition.digest, cause)
        self._transition = self._journal.advance(transition, states.REVERTING, cause=cause, detail=detail[:400])
        self._go_back(self._transition)

    def _go_back(self, transition: Transition) -> None:
        """Take the way back as far as it goes without waiting; doing it again changes nothing."""
        target = self._way_back(transition)
        running = self._processes.of(self._sets.present.id)
        if running is not None and target.entries and target.digests <= self._sets.present.digests:
            try:
                # What answers now has the good versions too: nobody need wait for the new process.
                self._processes.route(running, target, self._interval_s())
            except OnecodeError as error:
                _log.info("the serving process was not told: %s", error.message)
        if self._sets.linked_id("current") != target.id:
            self._deaths = []
        self._sets.go_back(self._sets.seal(target, transition.generation, self._interval_s()))
        if target.entries and self._processes.of(target.id) is None:
            self._processes.begin(target.id)

    def _follow_way_back(self, transition: Transition) -> None:
        target = self._way_back(transition)
        if self._sets.linked_id("current") != target.id or self._sets.linked_id("committed") != target.id:
            self._go_back(transition)
            return
        process = self._serving()
        late = self._clock.now().timestamp() - transition.since > states.SWITCH_LIMIT_S
        if target.entries and process is None and not late:
            self._keep_serving(self._clock.monotonic())
            return
        entry = target.entry(transition.model)
        served = process.serving.get(entry.name, "") if process and entry else ""
        self._journal.advance(transition, states.ROLLED_BACK, served=served)
        self._end()

    def _way_back(self, transition: Transition) -> ModelSet:
        previous = self._sets.linked("previous")
        if transition.cause == "operator" and previous is not None:
            return previous
        committed = self._sets.linked("committed")
        return plan.revert_target(committed, previous, frozenset(self._journal.bad()))

    def _serve_committed(self) -> None:
        """Serve the last good set; the present one is damaged, or nobody intends it any more."""
        committed = self._sets.linked("committed")
        if committed is None or self._sets.damaged(committed):
            return
        self._sets.switch(self._sets.seal(committed, self._generation(), self._interval_s()))

    # What the policy asks for.

    def _replan(self) -> None:
        """Compare what is served with what the policy asks for, and begin the next change if none is under way."""
        policy, transition = self._policy, self._transition
        if policy is None or self._held(policy) or (transition is not None and transition.state == states.REVERTING):
            return
        wished = plan.wishes(policy, self._gateway, frozenset(self._journal.bad()), self._sets.present)
        self._retune(wished)
        for wish in wished.values():
            if wish.refused:
                self._journal.tell(wish.asked, states.REFUSED, digest=wish.refused, cause="quarantine")
        step = plan.next_step(self._sets.present, wished)
        target = step.target.id if step else self._sets.present.id
        transition = self._transition
        if transition is not None:
            wish = wished.get(transition.model)
            wanted = wish.entry.digests if wish is not None and wish.entry is not None else frozenset()
            if not states.superseded_by(transition, wanted, target):
                self._adjust(transition, wished)
                return
            self._journal.advance(transition, states.SUPERSEDED)
            self._transition = None
        if step is None or not self._may_begin(step):
            return
        origin = self._sets.linked_id("current")
        begun = self._journal.begin(step.subject, step.target, origin, policy.generation)
        self._transition = begun
        self.changed.set()

    def _retune(self, wished: dict[str, Wish]) -> None:
        """Give the versions that are served the shares that the policy has now; no process is restarted."""
        before = self._sets.present
        after = plan.retuned(before, wished)
        policy, current = self._policy, self._sets.current
        if policy is None or current is None:
            return
        if after == before and policy.interval_s == current.interval_s:
            return
        process = self._serving()
        if process is not None:
            self._processes.route(process, after, policy.interval_s)
        self._sets.seal(after, policy.generation, policy.interval_s)
        transition = self._transition
        proven = transition is None or transition.state in states.PREPARING
        if proven and process is not None and self._sets.linked_id("committed") == after.id:
            for entry in plan.newly_held(before, after, wished):
                served = process.serving.get(entry.name, "")
                self._journal.tell(entry, states.COMMITTED, digest=entry.subject.digest, served=served)

    def _adjust(self, transition: Transition, wished: dict[str, Wish]) -> None:
        """Keep the target of a transition in step with new shares and revisions of the same versions."""
        target = plan.retuned(transition.target, wished)
        entry = target.entry(transition.model)
        if target == transition.target or target.id != transition.target.id or entry is None:
            return
        self._transition = self._journal.keep(
            replace(transition, target=target, revision=entry.revision, rollout=entry.rollout)
        )

    def _may_begin(self, step: plan.Step) -> bool:
        if step.subject is None:
            return True
        key = (step.subject.name, step.subject.revision, step.subject.subject.digest)
        return self._clock.monotonic() >= self._refused.get(key, -_FOREVER)

    def _held(self, policy: Policy) -> bool:
        """Return whether an operator went back by hand and no newer revision has come since."""
        held = self._journal.meta(_HELD)
        if not held:
            return False
        if max((model.revision for model in policy.models), default=0) > int(held):
            self._journal.remember([(_HELD, "")])
            return False
        return True

    # Small questions.

    def _is(self, transition: Transition) -> bool:
        mine = self._transition
        return mine is not None and (mine.id, mine.state) == (transition.id, transition.state)

    def _serving(self) -> ServeProcess | None:
        """Return the process that answers with the current set."""
        process = self._processes.of(self._sets.present.id)
        return process if process is not None and process.phase == "serving" else None

    def _fresh(self, transition: Transition) -> bool:
        """Return whether the version on trial was never found good here; only such a one is convicted."""
        committed = self._sets.linked("committed")
        return committed is None or transition.digest not in committed.digests

    def _proof(self, process: ServeProcess | None) -> tuple[str, dict[str, str]]:
        if process is None:
            return "", {}
        try:
            return self._processes.prove(process)
        except OnecodeError as error:
            _log.info("%s could not be asked: %s", process.name, error.message)
            return "", {}

    def _generation(self) -> int:
        if self._policy is not None:
            return self._policy.generation
        return self._sets.current.generation if self._sets.current else 0

    def _interval_s(self) -> int:
        if self._policy is not None:
            return self._policy.interval_s
        return self._sets.current.interval_s if self._sets.current else 60

    def _end(self) -> None:
        self._transition = None
        self._refused.clear()
        self._journal.forget_old()
        self.changed.set()


def _described(transition: Transition) -> dict[str, object]:
    return {
        "model": transition.model,
        "revision": transition.revision,
        "digest": transition.digest,
        "state": transition.state,
        "since": transition.since,
        "attempts": transition.attempts,
        "starts": transition.starts,
        "serving_s": round(transition.serving_s, 1),
        "cause": transition.cause,
        "detail": transition.detail,
    }
