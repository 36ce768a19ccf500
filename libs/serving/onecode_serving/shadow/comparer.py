"""Collect live runs of one version, show them to its candidate one at a time, and count what that finds."""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from onecode_common.errors import OnecodeError
from onecode_serving.counters import CounterKey
from onecode_serving.domain.comparison import Findings, Pair, compare
from onecode_serving.domain.cost import TURN_S, moved
from onecode_serving.execution.lane import Lane
from onecode_serving.execution.run import Ran
from onecode_serving.shadow.copies import Copy, copy_of, size_of_run
from onecode_serving.version import FAILED, NON_FINITE, WRONG_OUTPUT

QUEUE = 64
"""Runs of one model that may wait for spare time; more are dropped and counted."""

QUEUE_BYTES = 4 << 20
"""Bytes of their inputs and outputs."""

REQUEST_S = 50e-3
"""A single request that the candidate is expected to take longer for is not shown to it, one of one row excepted."""

PAUSE_S = 0.1
"""After a run that failed the next one waits: a broken candidate must not fill the log."""

_FAULTS = frozenset({FAILED, NON_FINITE, WRONG_OUTPUT})


class Shown(NamedTuple):
    """What the candidate made of a copy: pairs, or an error; and how many seconds it ran."""

    copy: Copy
    pairs: list[Pair]
    error: OnecodeError | None
    seconds: float


class Comparer:
    """One model's stable version and its shadow; used by the loop's thread, :meth:`show` by another.

    Args:
        about: What its counts are about.
        stable: Where live requests run.
        candidate: Whose version is shown them.
        told: Called when there is something to show.

    Attributes:
        findings: Since somebody took them last.
        ended: Nothing is shown any more.
    """

    def __init__(self, about: CounterKey, stable: Lane, candidate: Lane, told: Callable[[], None]) -> None:
        self.about = about
        self.stable = stable
        self.candidate = candidate
        self.findings = Findings()
        self.ended = False
        self._told = told
        self._cost = candidate.cost
        self._copies: deque[Copy] = deque()
        self._bytes = 0
        self._not_before = 0.0

    @property
    def waiting(self) -> int:
        """Copies that wait for spare time."""
        return len(self._copies)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that they hold."""
        return self._bytes

    def offer(self, ran: Ran) -> None:
        """Take a copy of a run whose answers have gone out, if there is room."""
        size = size_of_run(ran)
        if not size:
            return
        if len(self._copies) >= QUEUE or self._bytes + size > QUEUE_BYTES:
            self.findings.dropped += len(ran.jobs)
            return
        self._copies.append(copy_of(ran, size))
        self._bytes += size
        self._told()

    def take(self, now: float) -> Copy | None:
        """Return the requests of the next run: as many as take 2 ms, or a single one; None if none is to be shown now.

        Args:
            now: Monotonic seconds.
        """
        if now < self._not_before:
            return None
        cost, limit = self._cost, self.candidate.version.limit
        while self._copies:
            copy = self._copies.popleft()
            self._bytes -= copy.size
            count, rows = 1, copy.rows[0]
            while count < len(copy.rows) and rows + copy.rows[count] <= limit:
                rows += copy.rows[count]
                if cost.of(rows) > TURN_S:
                    break
                count += 1
            if count < len(copy.rows):
                self._return(copy.part(count, len(copy.rows)))
            if count > 1 or copy.rows[0] == 1 or cost.of(copy.rows[0]) <= REQUEST_S:
                return copy.part(0, count)
            self.findings.dropped += 1
        return None

    def show(self, copy: Copy) -> Shown:
        """Run the candidate on a copy and compare; in another thread."""
        began = time.monotonic()
        version = self.candidate.version
        try:
            outputs = version.run(copy.feeds())
        except OnecodeError as error:
            return Shown(copy, [], error, time.monotonic() - began)
        seconds = time.monotonic() - began
        pairs = compare(self.stable.version.contract, copy.outputs, version.contract, outputs, copy.rows)
        return Shown(copy, pairs, None, seconds)

    def settle(self, shown: Shown, now: float) -> None:
        """Count what a run found; of one that failed each request is shown alone, to find those that are to blame."""
        copy, error = shown.copy, shown.error
        if error is None:
            self._cost = moved(self._cost, sum(copy.rows), shown.seconds)
            self.findings.compared(shown.pairs)
            return
        self._not_before = now + PAUSE_S
        if error.code not in _FAULTS or self.ended:
            # A version that has left the memory has not failed.
            self.findings.dropped += len(copy.rows)
        elif len(copy.rows) > 1:
            for place in reversed(range(len(copy.rows))):
                self._return(copy.part(place, place + 1))
        else:
            self.findings.failed += 1
            self.findings.non_finite += error.code == NON_FINITE

    def end(self) -> None:
        """Let go of all that waits."""
        self.ended = True
        self.findings.dropped += sum(len(copy.rows) for copy in self._copies)
        self._copies.clear()
        self._bytes = 0

    def _return(self, copy: Copy) -> None:
        self._copies.appendleft(copy)
        self._bytes += copy.size
