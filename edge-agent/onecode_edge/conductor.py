"""Decide, several times a second, what this gateway serves: begin changes, follow them, take them back.

One object holds all of it, behind one lock; downloads and trials happen elsewhere and only tell it how they ended.
Nothing here waits for the cloud.
"""

import threading

from onecode_common.errors import PreconditionError
from onecode_delivery.policy import Policy
from onecode_edge.domain import crashes
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import ModelSet
from onecode_edge.domain.observed import Observed
from onecode_edge.domain.transition import Transition
from onecode_edge.following import (
    follow_probation,
    follow_switch,
    follow_way_back,
    go_back,
    keep_serving,
    switch,
)
from onecode_edge.replanning import Replanner
from onecode_edge.situation import Situation

_LONGEST_STEP_S = 5.0


class Conductor:
    """The gateway's state machine; safe to use from several threads."""

    def __init__(self, situation: Situation) -> None:
        self._at = situation
        self._lock = threading.RLock()
        self._planner = Replanner(situation)
        self._looked = situation.clock.monotonic()

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

    @property
    def changed(self) -> threading.Event:
        """Set when there may be something to download, try, report or sweep."""
        return self._at.changed

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
                self._planner.not_now(following)
            if state in states.ENDS:
                at.end()

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
            self._planner.hold()
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
                named = (model.held | set(model.rollback_to) for model in at.policy.models)
                at.sets.sweep((), frozenset().union(*named))

    def tick(self) -> None:
        """Look at everything once, and do the next thing."""
        with self._lock:
            at = self._at
            now = at.clock.monotonic()
            passed_s, self._looked = min(now - self._looked, _LONGEST_STEP_S), now
            self._follow(passed_s)
            self._leave_others()
            self._planner.replan()
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
            at.end()

    def _leave_others(self) -> None:
        """Let older processes drain once the present set answers, or at once if there is nothing to serve."""
        process = self._at.serving()
        if process is not None:
            self._at.processes.leave(process.name)
        elif not self._at.sets.present.entries:
            self._at.processes.leave("")

    def _tell_shares(self) -> None:
        """Make the serving process divide requests as the seal says; it may have read an older one."""
        at = self._at
        process, current = at.serving(), at.sets.current
        if process is None or current is None:
            return
        wanted = (current.models, current.interval_s)
        if process.routed != wanted:
            at.processes.route(process, *wanted)

    def _serve_committed(self) -> None:
        """Serve the last good set: the journal knows nothing of the present one."""
        at = self._at
        committed = at.sets.linked("committed")
        if committed is not None and not at.sets.damaged(committed):
            at.sets.switch(at.sets.seal(committed, at.generation, at.interval_s))


def _same(mine: Transition, other: Transition) -> bool:
    return (mine.id, mine.state) == (other.id, other.state)


def _described(transition: Transition) -> dict[str, object]:
    names = ("model", "revision", "digest", "state", "since", "attempts", "starts", "serving_s", "cause", "detail")
    return {name: getattr(transition, name) for name in names}
