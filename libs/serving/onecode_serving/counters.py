"""Count what each arm did, by interval, so that a report can be sent twice and still counts once.

Totals of an interval only grow; a later report of the same interval replaces the earlier one.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from onecode.edge.v1 import edge_pb2
from onecode_serving.domain.comparison import Findings
from onecode_serving.domain.routing import SHADOW

LATENCY_EDGES_US = (
    20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000,
    15_000, 20_000, 30_000, 50_000, 75_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
)  # fmt: skip
"""Upper edges in microseconds; one more bucket holds what lies above the last."""

MAX_ROWS = 20_000
"""Rows kept when nobody takes them; the oldest intervals go first."""

_MICRO = 1e6


class CounterKey(NamedTuple):
    """What a row of counters is about."""

    model: str
    rollout: str
    revision: int
    digest: str
    role: str


class _RowKey(NamedTuple):
    about: CounterKey
    start: int
    seconds: int


@dataclass(slots=True)
class _Row:
    requests: int = 0
    errors: int = 0
    non_finite: int = 0
    unassigned: int = 0
    different: int = 0
    dropped: int = 0
    largest: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_US) + 1))
    settled: int = -1

    @property
    def events(self) -> int:
        return self.requests + self.unassigned + self.dropped


@dataclass(slots=True)
class Totals:
    """What one version did since this process started."""

    requests: int = 0
    errors: int = 0
    non_finite: int = 0


class Counters:
    """Counters of one process; safe to use from several threads.

    Args:
        interval_s: Length of an interval; its start is a multiple of it.
    """

    def __init__(self, interval_s: int = 60) -> None:
        self._interval_s = interval_s
        self._rows: dict[_RowKey, _Row] = {}
        self._totals: dict[str, Totals] = {}
        self._floor = 0
        self._lock = threading.Lock()

    @property
    def interval_s(self) -> int:
        """Length of an interval."""
        return self._interval_s

    def set_interval(self, interval_s: int) -> None:
        """Count in intervals of another length from now on."""
        with self._lock:
            self._interval_s = max(1, interval_s)

    def record(
        self,
        key: CounterKey,
        now: float,
        seconds: float,
        *,
        bad: bool = False,
        non_finite: bool = False,
        assigned: bool = True,
    ) -> None:
        """Count one answered request.

        Args:
            key: Model, rollout and arm.
            now: Unix seconds.
            seconds: From routing to answer.
            bad: Exception, timeout, non-finite or wrong-shape output.
            non_finite: Part of ``bad``.
            assigned: False where a key was wanted and none came: such a request belongs to no arm.
        """
        place = bisect_left(LATENCY_EDGES_US, seconds * _MICRO)
        with self._lock:
            row = self._row(key, now)
            if not assigned:
                row.unassigned += 1
                return
            row.requests += 1
            row.errors += bad
            row.non_finite += non_finite
            row.latency[place] += 1
            totals = self._totals.setdefault(key.digest, Totals())
            totals.requests += 1
            totals.errors += bad
            totals.non_finite += non_finite

    def record_places(
        self, key: CounterKey, now: float, places: Sequence[tuple[int, int]], *, assigned: bool = True
    ) -> None:
        """Count good answers of one run by the buckets of their latencies: (bucket, how many)."""
        count = sum([many for _, many in places])
        with self._lock:
            row = self._row(key, now)
            if not assigned:
                row.unassigned += count
                return
            row.requests += count
            latency = row.latency
            for place, many in places:
                latency[place] += many
            self._totals.setdefault(key.digest, Totals()).requests += count

    def record_shadow(self, key: CounterKey, now: float, found: Findings) -> None:
        """Count what a shadow was found to say; it is no traffic and counts for no arm.

        Args:
            key: Of the role ``shadow``.
            now: Unix seconds.
            found: Since the last call.
        """
        with self._lock:
            row = self._row(key, now)
            row.requests += found.pairs
            row.errors += found.failed
            row.non_finite += found.non_finite
            row.different += found.different
            row.dropped += found.dropped
            row.largest = max(row.largest, found.largest)

    def add(self, grown: edge_pb2.Counter) -> None:
        """Count what another process of this server has answered since it was asked last."""
        key = _key(grown)
        with self._lock:
            row = self._row(key.about, key.start)
            row.requests += grown.requests
            row.errors += grown.errors
            row.non_finite += grown.non_finite
            row.unassigned += grown.unassigned
            row.different += grown.different
            row.dropped += grown.dropped
            row.largest = max(row.largest, grown.largest_difference)
            for place, count in enumerate(grown.latency.counts):
                row.latency[place] += count
            if key.about.role == SHADOW:
                return
            totals = self._totals.setdefault(grown.digest, Totals())
            totals.requests += grown.requests
            totals.errors += grown.errors
            totals.non_finite += grown.non_finite

    def take(self, now: float) -> list[edge_pb2.Counter]:
        """Return the totals of all intervals, closed or open, that grew since they were settled.

        Taking changes nothing: the same rows come again, grown, until :meth:`settle` is told that they arrived.
        """
        with self._lock:
            self._forget_closed(now)
            return [_message(key, row) for key, row in self._rows.items() if row.events > row.settled]

    def settle(self, arrived: Iterable[edge_pb2.Counter]) -> None:
        """Note that these totals are where they should be; what grew meanwhile is taken again."""
        with self._lock:
            for counter in arrived:
                key = _key(counter)
                row = self._rows.get(key)
                if row is not None:
                    row.settled = max(row.settled, counter.requests + counter.unassigned + counter.dropped)

    def totals(self, digest: str) -> Totals:
        """Return what a version did since this process started."""
        with self._lock:
            found = self._totals.get(digest)
            return Totals(found.requests, found.errors, found.non_finite) if found else Totals()

    def _row(self, about: CounterKey, now: float) -> _Row:
        # An interval that was forgotten is never opened again, whatever the clock does: its totals would shrink.
        second = max(int(now), self._floor + self._interval_s - 1 if int(now) < self._floor else 0)
        start = second - second % self._interval_s
        key = _RowKey(about, start, self._interval_s)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= MAX_ROWS:
                self._rows.pop(min(self._rows, key=lambda old: old.start))
            row = self._rows[key] = _Row()
        return row

    def _forget_closed(self, now: float) -> None:
        gone = [key for key, row in self._rows.items() if row.settled >= row.events and key.start + key.seconds <= now]
        for key in gone:
            self._floor = max(self._floor, key.start + key.seconds)
            del self._rows[key]


def _message(key: _RowKey, row: _Row) -> edge_pb2.Counter:
    about = key.about
    return edge_pb2.Counter(
        model=about.model,
        rollout=about.rollout,
        revision=about.revision,
        digest=about.digest,
        role=about.role,
        interval_start=key.start,
        interval_seconds=key.seconds,
        requests=row.requests,
        errors=row.errors,
        non_finite=row.non_finite,
        unassigned=row.unassigned,
        different=row.different,
        dropped=row.dropped,
        largest_difference=row.largest,
        latency=edge_pb2.LatencyHistogram(counts=row.latency),
    )


def _key(counter: edge_pb2.Counter) -> _RowKey:
    about = CounterKey(counter.model, counter.rollout, counter.revision, counter.digest, counter.role)
    return _RowKey(about, counter.interval_start, counter.interval_seconds)
