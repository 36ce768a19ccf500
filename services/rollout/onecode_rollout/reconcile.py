"""Bring the world to where the rows say it should be: read, decide, act, record; again and again.

Nothing is remembered between two turns, so that a kill at any moment changes nothing but the time.
"""

import logging
import threading
from dataclasses import replace

from onecode_common.errors import ConflictError, NotFoundError, OnecodeError, PreconditionError, UnavailableError
from onecode_common.loops import Loop
from onecode_rollout.domain.controller import decide
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.situation import weigh
from onecode_rollout.ports import Ports
from onecode_rollout.usecases import starts
from onecode_rollout.usecases.policies import Policies
from onecode_rollout.usecases.situations import load, note_exposure
from onecode_rollout.usecases.transitions import Transitions

_log = logging.getLogger(__name__)
_PUBLISH_IDLE_S = 1.0
_COMPARE_S = 30.0
_HOUSEKEEPING_S = 600.0
_KEEP_S = 86_400
_AFTER_REFUSAL_S = 2.0


class Controller:
    """Moves every open rollout as far as the evidence allows."""

    def __init__(self, ports: Ports, transitions: Transitions, idle_s: float) -> None:
        self._ports = ports
        self._transitions = transitions
        self._tidied = 0.0
        self.loop = Loop("controller", self._turn, idle_s=idle_s)

    def step_all(self) -> bool:
        """Take one decision for each open rollout where one is due; return whether any was taken."""
        with self._ports.records.transaction() as rows:
            ids = [one.rollout_id for one in rows.rollouts.open_ones()]
        moved = False
        for rollout_id in ids:
            try:
                moved = self._step(rollout_id) or moved
            except ConflictError as error:
                # A person was faster; the next turn looks at what came of it.
                _log.info("rollout %s: %s", rollout_id, error)
        return moved

    def _step(self, rollout_id: str) -> bool:
        with self._ports.records.transaction() as rows:
            rollout = rows.rollouts.get(rollout_id)
            if rollout is None:
                return False
            if rollout.state == "scheduled":
                return starts.start(rows, self._transitions, rollout) is not rollout
            situation = load(rows, rollout, self._ports.clock.now().timestamp())
            note_exposure(rows, situation)
            weighed = weigh(situation)
            move = decide(situation, weighed[1])
            if move is None:
                return False
            after = self._transitions.apply(rows, rollout, move, situation=situation, weighed=weighed)
            _log.info("rollout %s: %s → %s (%s) %s", rollout_id, rollout.state, after.state, move.rule, move.sentence)
            return True

    def _turn(self, stopping: threading.Event) -> bool:
        moved = self.step_all()
        now = self._ports.clock.monotonic()
        if now - self._tidied >= _HOUSEKEEPING_S and not stopping.is_set():
            self._tidied = now
            with self._ports.records.transaction() as rows:
                rows.reports.forget(self._ports.clock.now().timestamp() - _KEEP_S)
        return moved


class Publisher:
    """Brings policies and champions to the registry, for as long as it takes."""

    def __init__(self, ports: Ports, policies: Policies) -> None:
        self._ports = ports
        self._policies = policies
        self._compared = float("-inf")
        self.loop = Loop("publisher", self._turn, idle_s=_PUBLISH_IDLE_S)

    def _turn(self, stopping: threading.Event) -> bool:
        try:
            self._policies.resign_when_old()
            while self._policies.publish() and not stopping.is_set():
                pass
            now = self._ports.clock.monotonic()
            if now - self._compared >= _COMPARE_S and not stopping.is_set():
                self._policies.compare_with_registry()
                self._compared = now
            self.move_champions()
        except UnavailableError as error:
            _log.info("the registry does not answer, trying again: %s", error)
        except OnecodeError as error:
            _log.warning("the registry refuses, trying again: %s", error)
            stopping.wait(_AFTER_REFUSAL_S)
        return False

    def move_champions(self) -> None:
        """Move the alias of each model to the version that was released last.

        Raises:
            UnavailableError: The registry does not answer.
        """
        with self._ports.records.transaction() as rows:
            wanted = rows.rollouts.alias_wanted()
            newest = {one.plan.model: rows.rollouts.latest_success(one.plan.model) for one in wanted}
        for rollout in wanted:
            last = newest[rollout.plan.model]
            overtaken = last is not None and last.rollout_id != rollout.rollout_id
            self._note(rollout, "given_up" if overtaken else self._moved(rollout))

    def _moved(self, rollout: Rollout) -> str:
        try:
            self._ports.registry.move_champion(rollout.plan.model, rollout.plan.candidate)
        except ConflictError:
            # Somebody moved it in between: compare and set again in the next turn.
            return "wanted"
        except (NotFoundError, PreconditionError) as error:
            _log.warning("the champion of %s stays: %s", rollout.plan.model, error)
            return "given_up"
        return "moved"

    def _note(self, rollout: Rollout, alias: str) -> None:
        if alias == rollout.alias:
            return
        with self._ports.records.transaction() as rows:
            now_kept = rows.rollouts.get(rollout.rollout_id)
            if now_kept is not None:
                rows.rollouts.save(replace(now_kept, alias=alias))
