"""Follow a change of versions from the switch to its end: committed, or the way back."""

import logging
from dataclasses import replace

from onecode_common.errors import OnecodeError
from onecode_edge.adapters.processes import Death, ServeProcess
from onecode_edge.domain import crashes, plan
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import ModelSet
from onecode_edge.domain.observed import Observed
from onecode_edge.domain.transition import Transition
from onecode_edge.situation import Situation
from onecode_serving.domain.probation import COMMIT, REVERT, Baseline, Judgement, Observation, judge

_log = logging.getLogger(__name__)
_DAY_S = 86_400.0
_SAVE_EVERY_S = 5.0


def switch(at: Situation, transition: Transition) -> None:
    """Serve the staged set from now on; the old process answers until the new one does."""
    at.lost = Observed()
    at.deaths = []
    at.advance(states.SWITCHING)
    at.sets.switch(at.sets.seal(transition.target, transition.generation, at.interval_s))
    at.begin_process(transition.target)


def follow_switch(at: Situation, transition: Transition, deaths: list[Death]) -> None:
    """Wait until the new set answers."""
    process = at.serving()
    if process is not None or not transition.target.entries:
        _, answered = at.proof(process)
        at.advance(states.PROBATION, served=answered.get(transition.digest, ""))
    elif not _absent(at, transition, deaths) and at.state_s > states.SWITCH_LIMIT_S:
        revert(at, transition, "switch", "the new set did not answer in time")


def follow_probation(at: Situation, transition: Transition, deaths: list[Death], passed_s: float) -> None:
    """Count the seconds that the new set serves, judge what it does, and commit it when they are enough."""
    process = at.serving()
    if transition.target.entries and process is None:
        _absent(at, transition, deaths)
        return
    saved_s = transition.serving_s
    transition = replace(transition, serving_s=saved_s + passed_s)
    at.transition = transition
    new = at.lost + (process.totals.get(transition.digest, Observed()) if process else Observed())
    found = _judged(at, transition, new)
    if found.kind == REVERT:
        revert(at, transition, found.cause, found.detail)
    elif found.kind == COMMIT:
        _commit(at, transition, process, found.evidence)
    elif saved_s // _SAVE_EVERY_S != transition.serving_s // _SAVE_EVERY_S:
        at.keep(transition)


def revert(at: Situation, transition: Transition, cause: str, detail: str) -> None:
    """Convict the version on trial, if it is new here, and take the way back."""
    bad = transition.digest if at.fresh(transition) else ""
    go_back(at, at.advance(states.REVERTING, cause=cause, detail=detail[:400], bad=bad))


def go_back(at: Situation, transition: Transition) -> None:
    """Take the way back as far as it goes without waiting; doing it again changes nothing."""
    target = way_back(at, transition)
    running = at.processes.of(at.sets.present.id)
    if running is not None and target.entries and target.digests <= at.sets.present.digests:
        try:
            # What answers now has the good versions too: nobody need wait for the new process.
            at.processes.route(running, target, at.interval_s)
        except OnecodeError as error:
            _log.info("the serving process was not told: %s", error.message)
    if at.sets.linked_id("current") != target.id:
        at.deaths = []
    at.sets.go_back(at.sets.seal(target, transition.generation, at.interval_s))
    at.begin_process(target)


def follow_way_back(at: Situation, transition: Transition) -> bool:
    """Return whether the gateway serves again what it served before, which ends the transition."""
    target = way_back(at, transition)
    if {at.sets.linked_id("current"), at.sets.linked_id("committed")} != {target.id}:
        go_back(at, transition)
        return False
    process = at.serving()
    if target.entries and process is None and at.state_s <= states.SWITCH_LIMIT_S:
        keep_serving(at)
        return False
    entry = target.entry(transition.model)
    at.advance(states.ROLLED_BACK, served=process.serving.get(entry.name, "") if process and entry else "")
    return True


def way_back(at: Situation, transition: Transition) -> ModelSet:
    """Return the set to go back to; the same one each time."""
    previous = at.sets.linked("previous")
    if transition.cause == "operator" and previous is not None:
        return previous
    return plan.revert_target(at.sets.linked("committed"), previous, at.bad())


def keep_serving(at: Situation) -> None:
    """Start a process for the present set where there is none, unless it ended too often just now."""
    if at.clock.monotonic() >= crashes.next_start(at.deaths, at.clock.monotonic()):
        at.begin_process(at.sets.present)


def _judged(at: Situation, transition: Transition, new: Observed) -> Judgement:
    if not at.fresh(transition):
        # It was found good here before: only its time has to pass.
        new = Observed(new.requests)
    committed = at.sets.linked("committed")
    baseline = Baseline(exists=committed is not None)
    if new.errors and committed is not None:
        old = at.history(committed.digests - {transition.digest}, at.clock.now().timestamp() - _DAY_S)
        baseline = Baseline(old.requests, old.errors, old.non_finite)
    observation = Observation(
        serving_s=transition.serving_s, requests=new.requests, errors=new.errors, non_finite=new.non_finite
    )
    return judge(observation, baseline, transition.probation_s)


def _commit(at: Situation, transition: Transition, process: ServeProcess | None, evidence: str) -> None:
    wrong, answered = at.proof(process)
    if wrong and at.fresh(transition):
        revert(at, transition, "golden", wrong)
        return
    if process is not None and not answered:
        # It could not be asked; the next turn asks again.
        return
    at.sets.commit()
    served = answered.get(transition.digest, "")
    at.advance(states.COMMITTED, served=served, evidence=evidence)


def _absent(at: Situation, transition: Transition, deaths: list[Death]) -> bool:
    """Deal with a new set that does not answer; return whether the transition took another way."""
    death = deaths[-1] if deaths else None
    fresh = at.fresh(transition)
    if death is not None and death.cause == "corrupt":
        # The files, not the version, are at fault: what is whole is served, and they are fetched again.
        at.sets.open()
        at.advance(states.DOWNLOADING, detail=death.detail)
        return True
    if death is not None and fresh and death.cause in ("golden", "load"):
        revert(at, transition, death.cause, death.detail)
        return True
    if at.processes.of(transition.target.id) is not None:
        return False
    if death is not None and death.cause == "port":
        at.begin_process(transition.target)
        return False
    if fresh and transition.starts + 1 >= states.MAX_STARTS:
        revert(at, transition, "crash", death.detail if death else "started too often without a commit")
        return True
    if at.clock.monotonic() >= crashes.next_start(at.deaths, at.clock.monotonic()):
        # Counted before it is done, so that a version that takes the machine down with it is counted too.
        at.keep(transition, starts=transition.starts + 1)
        at.begin_process(transition.target)
    return False
