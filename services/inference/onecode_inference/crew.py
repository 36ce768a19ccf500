"""Serve with more than one core: whole processes that share the ports, told what to serve by the one that decides.

Each member loads the verified versions from the disk and answers by itself; nothing of a request passes through here.
What members count becomes part of this process's counters, so that the server reports as one source.
"""

import base64
import json
import logging
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from onecode.edge.v1 import edge_pb2
from onecode_common.clock import Clock
from onecode_common.loops import Loop
from onecode_inference.domain.mirror import to_document
from onecode_inference.pooled import Pool, heard, told
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.merged import MergedCollector
from onecode_serving.oip.service import OipService

_log = logging.getLogger(__name__)
_TURN_S = 0.25
_COLLECT_S = 1.0
_ANSWER_S = 60.0
_AGAIN_S = 2.0
_DRAIN_S = 30.0
_FIRST = 0
"""This process, where members are known by their ids."""

Start = Callable[[int], "tuple[subprocess.Popen[bytes], Connection]"]
"""Starts the member of this number, and returns the line to it."""


@dataclass(slots=True)
class Member:
    """One serving process.

    Attributes:
        told: What it serves, as a document.
        seen: What it had counted when it was asked last.
        settled: Whether its last counters are kept here.
    """

    number: int
    process: "subprocess.Popen[bytes]"
    line: Connection
    told: dict[str, Any] = field(default_factory=dict)
    seen: dict[tuple[Any, ...], edge_pb2.Counter] = field(default_factory=dict)
    settled: bool = False


class Ours(NamedTuple):
    """What this process has and adds the others' share to.

    Attributes:
        plane: What it serves; the others follow it.
        counters: Where their counts go.
        metrics: Where their metrics go.
        service: Answers for all of them when it is asked for statistics.
    """

    plane: DataPlane
    counters: Counters
    metrics: MergedCollector
    service: OipService


class Crew:
    """The other processes of this server, as a part of the program.

    Args:
        ours: Of this process.
        start: Starts one.
        number: How many.
        clock: For waits.
    """

    name = "processes"

    def __init__(self, ours: Ours, start: Start, number: int, clock: Clock) -> None:
        self._plane = ours.plane
        self._counters = ours.counters
        self._metrics = ours.metrics
        self._service = ours.service
        self._pool = Pool()
        self._start = start
        self._number = number
        self._clock = clock
        self._members: dict[int, Member] = {}
        self._not_before: dict[int, float] = {}
        self._collected = 0.0
        self._loop = Loop(self.name, self._turn, idle_s=_TURN_S)

    def start(self) -> None:
        """Begin to start and to follow them."""
        self._loop.start()

    def stop(self) -> None:
        """Have all of them drain at once, and take their last counts."""
        self._loop.stop()
        members = list(self._members.values())
        for member in members:
            self._quietly(member, lambda member: _send(member, {"stop": True, "settled": member.settled}))
        for member in members:
            self._quietly(member, lambda member: self._take(member, _answer(member)))
            try:
                member.process.wait(_DRAIN_S)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
            member.line.close()

    def ready(self) -> str | None:
        """Return how many do not serve yet, or None."""
        serving = sum(bool(member.told) for member in self._members.values())
        return None if serving == self._number else f"{serving} of {self._number} further processes serve"

    def _turn(self, stopping: threading.Event) -> bool:
        self._reap()
        wanted = self._document()
        now = self._clock.monotonic()
        collect = now >= self._collected + _COLLECT_S
        for number in range(1, self._number + 1):
            if stopping.is_set():
                return False
            member = self._members.get(number) or self._begin(number, now)
            if member is not None:
                self._follow(member, wanted, collect=collect)
        if collect:
            self._collected = now
            self._pool.take(_FIRST, self._plane.statistics("", ""))
            self._service.others = self._pool.others(_FIRST)
        return False

    def _document(self) -> dict[str, Any]:
        table = self._plane.state.table
        return to_document(
            routes=table.routes,
            installed=table.versions,
            missing=table.missing,
            hidden=table.hidden,
            reason=table.reason,
            interval_s=self._counters.interval_s,
        )

    def _begin(self, number: int, now: float) -> Member | None:
        if now < self._not_before.get(number, 0.0):
            return None
        self._not_before[number] = now + _AGAIN_S
        member = self._members[number] = Member(number, *self._start(number))
        _log.info("process %d of this server is %d", number, member.process.pid)
        return member

    def _follow(self, member: Member, wanted: dict[str, Any], *, collect: bool) -> None:
        """Have it serve what is wanted, and fetch its counts; a member that does not answer is replaced."""
        try:
            # Nobody is sent to a process that cannot answer: it listens when the first state is in force.
            if member.told != wanted and (member.told or wanted["reason"] is None):
                answer = _ask(member, {"serve": wanted})
                if answer.get("error"):
                    _log.warning("process %d does not follow: %s", member.number, answer["error"])
                    return
                member.told = wanted
            if collect and member.told:
                others = told(self._pool.others(member.process.pid))
                self._take(member, _ask(member, {"take": True, "settled": member.settled, "others": others}))
        except (OSError, EOFError, ValueError) as error:
            _log.warning("process %d does not answer and is replaced: %r", member.number, error)
            member.process.kill()

    def _take(self, member: Member, answer: dict[str, Any]) -> None:
        batch = edge_pb2.CounterBatch.FromString(base64.b64decode(answer["counters"]))
        for row in batch.counters:
            key = (row.model, row.rollout, row.revision, row.digest, row.role, row.interval_start, row.interval_seconds)
            self._counters.add(_grown(row, member.seen.get(key)))
            member.seen[key] = row
        member.settled = True
        self._metrics.take(str(member.process.pid), answer["metrics"])
        self._pool.take(member.process.pid, heard(answer["statistics"]))
        for model in answer["hidden"]:
            self._plane.unload(model)
        for model in answer["shown"]:
            self._plane.show(model)
        open_rows = {key for key in member.seen if key[5] + 2 * key[6] > self._clock.now().timestamp()}
        member.seen = {key: row for key, row in member.seen.items() if key in open_rows}

    def _reap(self) -> None:
        for number, member in list(self._members.items()):
            if member.process.poll() is not None:
                _log.error("process %d of this server ended with status %s", number, member.process.returncode)
                self._metrics.end(str(member.process.pid))
                self._pool.end(member.process.pid)
                member.line.close()
                del self._members[number]

    def _quietly(self, member: Member, what: Callable[[Member], None]) -> None:
        try:
            what(member)
        except (OSError, EOFError, ValueError) as error:
            _log.warning("process %d does not answer: %r", member.number, error)
            member.process.kill()


def _ask(member: Member, question: dict[str, Any]) -> dict[str, Any]:
    _send(member, question)
    return _answer(member)


def _send(member: Member, question: dict[str, Any]) -> None:
    member.line.send_bytes(json.dumps(question).encode())


def _answer(member: Member) -> dict[str, Any]:
    if not member.line.poll(_ANSWER_S):
        message = f"no answer within {_ANSWER_S:.0f} s"
        raise TimeoutError(message)
    answer: dict[str, Any] = json.loads(member.line.recv_bytes())
    return answer


def _grown(row: edge_pb2.Counter, before: edge_pb2.Counter | None) -> edge_pb2.Counter:
    """Return what came since; totals of an interval only grow."""
    grown = edge_pb2.Counter()
    grown.CopyFrom(row)
    if before is not None:
        grown.requests -= before.requests
        grown.errors -= before.errors
        grown.non_finite -= before.non_finite
        grown.unassigned -= before.unassigned
        grown.different -= before.different
        grown.dropped -= before.dropped
        counts = [one - other for one, other in zip(row.latency.counts, before.latency.counts, strict=True)]
        grown.latency.CopyFrom(edge_pb2.LatencyHistogram(counts=counts))
    return grown
