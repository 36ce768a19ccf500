"""Follow the serving processes: what each one serves, whether it answers, what it has counted."""

import base64
import json
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_edge.domain.modelset import ModelSet, to_document
from onecode_edge.domain.observed import Observed
from onecode_edge.layout import Layout
from onecode_edge.unix_http import ask
from onecode_serving.merged import MergedCollector

_log = logging.getLogger(__name__)
_GRACE_S = 10.0
_SILENT_S = 20.0
_QUESTION_S = 2.0
_PROOF_S = 30.0


class SupervisorLine(Protocol):
    """What is asked of the supervisor; see :class:`onecode_edge.adapters.orders.Orders`."""

    def start_serve(self, name: str, set_id: str, gateway: str) -> None:
        """Have a serving process started."""
        ...

    def stop_serve(self, name: str, grace_s: float) -> None:
        """Have it drain and end."""
        ...

    def kill_serve(self, name: str) -> None:
        """Have it killed."""
        ...


@dataclass(slots=True)
class ServeProcess:
    """One serving process, as far as it is known.

    Attributes:
        phase: ``loading``, ``serving``, ``draining`` or ``drained``.
        totals: What each of its versions did since it began.
        heard: When it last answered, by the monotonic clock.
        leaving: It was told to end.
        routed: Shares and interval that it was told last; None if it was told nothing by this sync.
    """

    name: str
    set_id: str
    heard: float
    phase: str = "loading"
    totals: dict[str, Observed] = field(default_factory=dict)
    serving: dict[str, str] = field(default_factory=dict)
    leaving: bool = False
    routed: tuple[ModelSet, int] | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """How a serving process ended.

    Attributes:
        expected: It was told to.
        cause: What it said: ``golden``, ``load``, ``corrupt``, ``port``; empty if it was gone without a word.
        totals: What its versions had done when it was last heard.
    """

    name: str
    set_id: str
    expected: bool
    cause: str
    detail: str
    totals: Mapping[str, Observed]


class Processes:
    """All serving processes of the agent. Methods are called by one thread; facts arrive by :meth:`heard` from another.

    Args:
        collect: Called with each process's counters, and must keep them.
        gateway: Id that decides routes by gateway.

    Attributes:
        metrics: Sums over the processes, asked for when they are read; in any thread.
    """

    def __init__(
        self,
        layout: Layout,
        line: SupervisorLine,
        clock: Clock,
        collect: Callable[[list[pb.Counter], str], None],
        gateway: str,
    ) -> None:
        self._layout = layout
        self._line = line
        self._clock = clock
        self._collect = collect
        self.gateway = gateway
        self.metrics = MergedCollector(ask=self._measure_all)
        self._facts: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._running: dict[str, ServeProcess] = {}
        self.known = threading.Event()

    def heard(self, fact: Mapping[str, Any]) -> None:
        """Take a fact of the supervisor; it is looked at in the next :meth:`poll`."""
        self._facts.put(fact)
        if fact["is"] == "serves":
            self.known.set()

    def all(self) -> list[ServeProcess]:
        """Return the processes that run."""
        return list(self._running.values())

    def of(self, set_id: str) -> ServeProcess | None:
        """Return the process that serves a set, or will; a serving one first."""
        mine = [one for one in self._running.values() if one.set_id == set_id and not one.leaving]
        return min(mine, key=lambda one: one.phase != "serving", default=None)

    def begin(self, set_id: str) -> None:
        """Have a process started for a set."""
        name = f"serve-{secrets.token_hex(4)}"
        self._running[name] = ServeProcess(name, set_id, self._clock.monotonic())
        self._line.start_serve(name, set_id, self.gateway)

    def leave(self, keep: str) -> None:
        """Let every process end but the one of this name; each finishes what it has in hand."""
        for process in self._running.values():
            if process.name != keep and not process.leaving:
                process.leaving = True
                self._line.stop_serve(process.name, _GRACE_S)

    def poll(self) -> list[Death]:
        """Look after every process, and return which have ended since the last time."""
        deaths = self._deaths()
        for process in self.all():
            try:
                self._look(process)
            except OnecodeError:
                silent = self._clock.monotonic() - process.heard
                if silent > _SILENT_S:
                    _log.error("%s has not answered for %.0f s and is killed", process.name, silent)
                    self._line.kill_serve(process.name)
                    process.heard = self._clock.monotonic()
        return deaths

    def route(self, process: ServeProcess, models: ModelSet, interval_s: int) -> None:
        """Give a process new shares for the versions that it has.

        Raises:
            UnavailableError: It does not answer.
        """
        self._ask(process, "POST /v1/routes", {"models": to_document(models), "interval_s": interval_s})
        process.routed = (models, interval_s)

    def prove(self, process: ServeProcess) -> tuple[str, dict[str, str]]:
        """Have a process answer its golden sets; return what is wrong (or nothing) and its answering digests.

        Raises:
            UnavailableError: It does not answer.
        """
        answer = self._ask(process, "POST /v1/prove", {}, _PROOF_S)
        versions: dict[str, Any] = answer["versions"]
        wrong = [f"{digest}: {one['detail']}" for digest, one in versions.items() if not one["passed"]]
        return "; ".join(wrong), {digest: str(one["answered"]) for digest, one in versions.items()}

    def collect(self) -> None:
        """Fetch and keep the counters of every process."""
        for process in self.all():
            if process.phase == "loading":
                continue
            try:
                self._take(process)
            except OnecodeError as error:
                _log.info("counters of %s wait: %s", process.name, error.message)

    def _look(self, process: ServeProcess) -> None:
        answer = self._ask(process, "GET /v1/status", None)
        process.heard = self._clock.monotonic()
        process.phase = str(answer["phase"])
        process.leaving = process.leaving or process.phase.startswith("drain")
        process.serving = dict(answer["serving"])
        process.totals = {digest: Observed(*totals) for digest, totals in answer["totals"].items()}
        if process.phase == "drained":
            self._take(process)
            self._measure(process)

    def _take(self, process: ServeProcess) -> None:
        answer = self._ask(process, "POST /v1/counters", {})
        batch = pb.CounterBatch.FromString(base64.b64decode(answer["batch"]))
        if batch.counters:
            self._collect(list(batch.counters), process.name)
        # Settled only now: what this process could not keep is taken again.
        self._ask(process, "POST /v1/settle", {"batch": answer["batch"]})

    def _measure_all(self) -> None:
        for process in self.all():
            try:
                self._measure(process)
            except OnecodeError as error:
                _log.debug("metrics of %s stay as they were: %s", process.name, error.message)

    def _measure(self, process: ServeProcess) -> None:
        self.metrics.take(process.name, self._ask(process, "GET /v1/metrics", None)["families"])

    def _ask(
        self, process: ServeProcess, line: str, body: Mapping[str, object] | None, timeout_s: float = _QUESTION_S
    ) -> dict[str, Any]:
        return ask(self._layout.serve_socket(process.name), line, body, timeout_s=timeout_s)

    def _deaths(self) -> list[Death]:
        found = []
        while not self._facts.empty():
            fact = self._facts.get()
            if fact["is"] == "serves":
                self._adopt(fact["serves"])
            elif (process := self._running.pop(str(fact["serve"]), None)) is not None:
                found.append(self._death(process, int(fact["status"])))
        return found

    def _adopt(self, serves: list[dict[str, Any]]) -> None:
        """Take over processes that outlived an earlier sync."""
        for one in serves:
            process = ServeProcess(str(one["serve"]), str(one["set"]), self._clock.monotonic())
            self._running[process.name] = process

    def _death(self, process: ServeProcess, status: int) -> Death:
        said = self._layout.run / f"{process.name}.failed"
        cause = detail = ""
        try:
            document = json.loads(said.read_bytes())
            cause, detail = str(document["cause"]), str(document["detail"])
        except (OSError, ValueError, KeyError):
            detail = f"ended with status {status}"
        self.metrics.end(process.name)
        for path in (said, self._layout.serve_socket(process.name)):
            path.unlink(missing_ok=True)
        _log.info("%s of set %s has ended: %s %s", process.name, process.set_id, cause, detail)
        return Death(process.name, process.set_id, process.leaving, cause, detail, process.totals)
