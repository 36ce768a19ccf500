"""Hold what is known at one moment: what is served, what is intended, which processes run."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_delivery.policy import Policy
from onecode_edge.adapters.journal import Journal
from onecode_edge.adapters.processes import Processes, ServeProcess
from onecode_edge.adapters.sets import Sets
from onecode_edge.domain.modelset import ModelSet
from onecode_edge.domain.observed import Observed
from onecode_edge.domain.transition import Transition

_log = logging.getLogger(__name__)
_INTERVAL_S = 60


class Situation:
    """The conductor's knowledge; used under its lock only.

    Args:
        history: Returns what versions did here since a moment, from the kept counters.
        gateway: This gateway's id.

    Attributes:
        policy: The newest accepted one.
        deaths: When processes of the present set ended unasked in the last minutes, by the monotonic clock.
        lost: What the version on trial did in processes that are gone.
        changed: Set with each new state; whoever waits for work clears it.
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
        self.sets = sets
        self.journal = journal
        self.processes = processes
        self.history = history
        self.clock = clock
        self.gateway = gateway
        self.policy: Policy | None = None
        self.deaths: list[float] = []
        self.lost = Observed()
        self.changed = threading.Event()
        self._transition: Transition | None = None
        self._entered = clock.monotonic()

    @property
    def transition(self) -> Transition | None:
        """The change that is under way."""
        return self._transition

    @transition.setter
    def transition(self, value: Transition | None) -> None:
        if value is None or self._transition is None or value.state != self._transition.state:
            self._entered = self.clock.monotonic()
            self.changed.set()
        self._transition = value

    def end(self) -> None:
        """Note that the transition has ended."""
        self.transition = None
        self.journal.forget_old()

    @property
    def state_s(self) -> float:
        """Seconds since the transition entered its state, or since this process began."""
        return self.clock.monotonic() - self._entered

    def advance(
        self, state: str, *, cause: str = "", detail: str = "", served: str = "", evidence: str = "", bad: str = ""
    ) -> Transition:
        """Take the transition to its next state, in the journal and here."""
        if self._transition is None:
            message = f"there is no transition to take to {state}"
            raise ValueError(message)
        following = self.journal.advance(
            self._transition, state, cause=cause, detail=detail, served=served, evidence=evidence, bad=bad
        )
        self.transition = following
        return following

    def keep(self, transition: Transition, **changes: object) -> Transition:
        """Store changes of a transition that stays in its state."""
        self.transition = self.journal.keep(replace(transition, **changes))  # type: ignore[arg-type]
        return self.transition

    def serving(self) -> ServeProcess | None:
        """Return the process that answers with the present set."""
        process = self.processes.of(self.sets.present.id)
        return process if process is not None and process.phase == "serving" else None

    def fresh(self, transition: Transition) -> bool:
        """Return whether the version on trial was never found good here; only such a one is convicted."""
        committed = self.sets.linked("committed")
        return committed is None or transition.digest not in committed.answering

    def proof(self, process: ServeProcess | None) -> tuple[str, dict[str, str]]:
        """Return what a process answers wrong (nothing if it cannot be asked) and with which digests it answers."""
        if process is None:
            return "", {}
        try:
            return self.processes.prove(process)
        except OnecodeError as error:
            _log.info("%s could not be asked: %s", process.name, error.message)
            return "", {}

    def bad(self) -> frozenset[str]:
        """Return the versions in quarantine."""
        return frozenset(self.journal.bad())

    def begin_process(self, models: ModelSet) -> None:
        """Have a set served, unless it is empty or has a process."""
        if models.entries and self.processes.of(models.id) is None:
            self.processes.begin(models.id)

    @property
    def generation(self) -> int:
        """Generation of the policy that is followed."""
        if self.policy is not None:
            return self.policy.generation
        return self.sets.current.generation if self.sets.current else 0

    @property
    def interval_s(self) -> int:
        """Length of a counting interval."""
        if self.policy is not None:
            return self.policy.interval_s
        return self.sets.current.interval_s if self.sets.current else _INTERVAL_S
