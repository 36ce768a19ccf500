"""Bring the processes of a table to what is wanted of them, and keep them there.

One thread turns: it notices ends, starts what is due, kills what does not stop. A second one probes. Commands
(hold, release, stop all) only say what is wanted and wait until it is so.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from onecode_common.clock import Clock
from onecode_common.errors import NotFoundError, OnecodeError, PreconditionError, UnavailableError
from onecode_standalone.child import STOP_S, Child
from onecode_standalone.home import Home
from onecode_standalone.keeping import Keeper
from onecode_standalone.logfile import rotate, trim
from onecode_standalone.order import stop_waves
from onecode_standalone.probes import probe
from onecode_standalone.proc import kill_family
from onecode_standalone.table import Entry

_log = logging.getLogger(__name__)
_TURN_S = 0.1
_PROBE_STARTING_S = 0.25
_PROBE_READY_S = 2.0
_HOUSEKEEPING_TURNS = 100
_COMMAND_S = 15.0
STOP_ALL_S = 9.0
"""All processes have ended after this, killed if need be."""

OnChange = Callable[[Child], None]


class Supervisor:
    """Starts, watches, restarts and stops the processes of one home.

    Args:
        home: Open and locked.
        entries: The table, in order of need.
        clock: Time of waits and uptimes.
        on_change: Told of each change of state, in the thread that noticed it.
    """

    def __init__(
        self, home: Home, entries: Sequence[Entry], clock: Clock, on_change: OnChange = lambda _child: None
    ) -> None:
        self.home = home
        self.children = {
            entry.name: Child(entry, home.log(entry.name), home.folder("work") / entry.name, clock) for entry in entries
        }
        self.keeper = Keeper(home.root)
        self._entries = list(entries)
        self._clock = clock
        self._on_change = on_change
        self._changed = threading.Condition(threading.RLock())
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._look = threading.Event()
        self._turned = clock.monotonic()
        self._threads = [
            threading.Thread(target=self._turns, name="supervisor", daemon=True),
            threading.Thread(target=self._probes, name="probes", daemon=True),
        ]

    def start(self) -> None:
        """Begin; processes start as soon as what they need is ready."""
        for name in self.children:
            rotate(self.home.log(name))
        self.keeper.start()
        for thread in self._threads:
            thread.start()

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``degraded`` (something wanted is down) or ``stopping``."""
        if self._ending.is_set():
            return "stopping"
        with self._changed:
            wanted = [child for child in self.children.values() if child.state != "held"]
            if all(child.state == "ready" for child in wanted):
                return "ready"
            return "degraded" if all(child.was_ready for child in wanted) else "starting"

    @property
    def idle_s(self) -> float:
        """Seconds since its loop last turned, which it does ten times a second."""
        return self._clock.monotonic() - self._turned

    def wait_for(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Wait until something about the processes is so; return whether it is."""
        with self._changed:
            return self._changed.wait_for(condition, limit_s)

    def hold(self, name: str) -> None:
        """Stop a process and keep it stopped.

        Raises:
            NotFoundError: There is no such entry.
            PreconditionError: Everything is being stopped.
            UnavailableError: It did not end in time, which even a kill can make happen on a stuck disk.
        """
        child = self._child(name)
        with self._changed:
            before, sessions = child.state, _sessions([child])
            child.hold()
            self._notify(child, before)
            if not self._changed.wait_for(lambda: child.state == "held", _COMMAND_S):
                message = f"{name} did not stop within {_COMMAND_S:.0f} s"
                raise UnavailableError(message, code="up.stuck")
        # Its descendants too, also those that have nothing but their session to be known by.
        kill_family(str(self.home.root), name, sessions)

    def release(self, name: str) -> None:
        """Start a process that was stopped; one that runs is left alone.

        Raises:
            NotFoundError: There is no such entry.
            PreconditionError: Everything is being stopped.
        """
        child = self._child(name)
        with self._changed:
            if child.state in ("held", "backoff"):
                before = child.state
                child.release()
                self._notify(child, before)

    def restart(self, name: str) -> None:
        """Stop a process and start it again. Raises as :meth:`hold` does."""
        self.hold(name)
        self.release(name)

    def stop_all(self, limit_s: float = STOP_ALL_S) -> None:
        """End everything in reverse order of need; when this returns nothing of the home runs."""
        self._ending.set()
        self._look.set()
        end = self._clock.monotonic() + limit_s
        with self._changed:
            sessions = _sessions(self.children.values())
        for wave in stop_waves(self._entries):
            members = [self.children[name] for name in wave]
            with self._changed:
                for child in members:
                    before = child.state
                    child.hold(max(0.0, min(STOP_S, end - self._clock.monotonic())))
                    self._notify(child, before)
                self._changed.wait_for(partial(_all_held, members), STOP_S + 1)
        kill_family(str(self.home.root), roots=sessions)
        self.keeper.dismiss()

    def hurry(self) -> None:
        """Kill everything now; :meth:`stop_all` returns soon after."""
        with self._changed:
            sessions = _sessions(self.children.values())
        kill_family(str(self.home.root), roots=sessions)

    def _child(self, name: str) -> Child:
        if self._ending.is_set():
            raise PreconditionError("everything is being stopped", code="up.stopping")
        if name not in self.children:
            message = f"there is no process {name!r}: known are {', '.join(self.children)}"
            raise NotFoundError(message, code="up.process", params={"name": name})
        return self.children[name]

    def _turns(self) -> None:
        turn = 0
        while not (self._ending.is_set() and _all_held(self.children.values())):
            with self._changed:
                for child in self.children.values():
                    before = child.state
                    self._turn(child)
                    self._notify(child, before)
            turn += 1
            self._turned = self._clock.monotonic()
            self.keeper.check()
            if turn % _HOUSEKEEPING_TURNS == 0:
                for name in self.children:
                    trim(self.home.log(name))
            self._ended.wait(_TURN_S)
        self._ended.set()

    def _turn(self, child: Child) -> None:
        child.poll(self.keeper)
        child.press()
        if self._ending.is_set() or child.state not in ("waiting", "backoff") or not child.due():
            return
        if not all(self.children[name].was_ready for name in child.entry.needs if name in self.children):
            return
        if child.entry.prepare is None:
            child.start(self.keeper)
        else:
            child.state = "preparing"
            threading.Thread(target=self._prepare, args=(child,), name=f"prepare-{child.name}", daemon=True).start()

    def _prepare(self, child: Child) -> None:
        prepare = child.entry.prepare
        try:
            learnt = dict(prepare()) if prepare is not None else {}
            reason = ""
        except OnecodeError as error:
            learnt, reason = {}, error.message
        with self._changed:
            if child.state != "preparing":
                return
            if reason:
                child.died(reason)
            else:
                child.learnt = learnt
                child.start(self.keeper)
            self._notify(child, "preparing")

    def _probes(self) -> None:
        while not self._ending.is_set():
            with self._changed:
                asked = [(child, child.pid) for child in self.children.values() if child.pid is not None]
            for child, pid in asked:
                reason = probe(child.entry.probe)
                with self._changed:
                    before = child.state
                    if child.pid == pid and child.probed(reason):
                        self._notify(child, before)
            self._look.wait(_PROBE_READY_S if self.state == "ready" else _PROBE_STARTING_S)
            self._look.clear()

    def _notify(self, child: Child, before: str) -> None:
        if child.state != before:
            _log.debug("%s: %s -> %s %s", child.name, before, child.state, child.reason)
            self._on_change(child)
            if child.state == "starting":
                self._look.set()
        self._changed.notify_all()


def _all_held(children: Iterable[Child]) -> bool:
    return all(child.state == "held" for child in children)


def _sessions(children: Iterable[Child]) -> list[int]:
    return [child.pid for child in children if child.pid is not None]
