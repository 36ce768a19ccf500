"""Hold what was told and not yet acknowledged; the newest totals replace older ones, actions are all kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from onecode.edge.v1 import edge_pb2

ACTION = "action"
COUNTERS = "counters"
STATUS = "status"
RESEND_S = 10.0
MAX_ACTIONS = 10_000
"""Oldest ones are dropped beyond; a cloud that is cut off for so long has told its state many times over."""


@dataclass(slots=True)
class Letter:
    """One report on its way.

    Attributes:
        sent: When it last went out, on a monotonic clock; None if it never did.
        attempts: How often it went out.
    """

    kind: str
    report: edge_pb2.Report
    sent: float | None = None
    attempts: int = 0


MAX_REPLACED = 64
"""Replaced reports of counters that are remembered: when one arrives after all, its totals are settled."""


class Outbox:
    """Reports by sequence number, in order."""

    def __init__(self) -> None:
        self._letters: dict[int, Letter] = {}
        self._replaced: dict[int, Letter] = {}

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, kind: str, report: edge_pb2.Report) -> None:
        """Add a report; a status and counters replace what was told before of the same."""
        if kind != ACTION:
            self.drop(kind)
        elif len(self._letters) >= MAX_ACTIONS:
            self._letters.pop(next(iter(self._letters)))
        self._letters[report.sequence] = Letter(kind, report)

    def add(self, kind: str, report: edge_pb2.Report) -> None:
        """Add a further part of what :meth:`put` began."""
        self._letters[report.sequence] = Letter(kind, report)

    def drop(self, kind: str) -> None:
        """Send nothing more of one kind."""
        gone = {number: letter for number, letter in self._letters.items() if letter.kind == kind}
        self._letters = {number: letter for number, letter in self._letters.items() if letter.kind != kind}
        if kind == COUNTERS:
            self._replaced |= gone
            while len(self._replaced) > MAX_REPLACED:
                del self._replaced[next(iter(self._replaced))]

    def due(self, now: float) -> list[Letter]:
        """Return what was never sent, or not acknowledged for long."""
        return [letter for letter in self._letters.values() if letter.sent is None or now - letter.sent >= RESEND_S]

    def acknowledge(self, sequences: Iterable[int]) -> list[edge_pb2.Report]:
        """Remove what arrived and return it; numbers that are not here any more are ignored."""
        found = [self._letters.pop(number, None) or self._replaced.pop(number, None) for number in sequences]
        return [letter.report for letter in found if letter is not None]
