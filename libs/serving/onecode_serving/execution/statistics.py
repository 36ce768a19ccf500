"""Tally what each version did, as the protocol's statistics and the metrics want it: counters that only grow."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

from onecode_serving.counters import LATENCY_EDGES_US

SPANS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip
"""Names of the times that are kept of each version."""

_NS = 1e9
_US = 1e6


class Span(NamedTuple):
    """How often something happened and how long it took in all, in nanoseconds."""

    number: int
    ns: int


class BatchStat(NamedTuple):
    """Runs of one batch size (rows) and the time of their three parts."""

    size: int
    compute_input: Span
    compute_infer: Span
    compute_output: Span


@dataclass(frozen=True, slots=True)
class Histogram:
    """Requests by bucket of :data:`~onecode_serving.counters.LATENCY_EDGES_US`, the last one open, and their sum."""

    counts: tuple[int, ...]
    total_s: float


@dataclass(frozen=True, slots=True)
class VersionStatistics:
    """What one version did since it was installed.

    Attributes:
        last_inference_ms: Unix milliseconds of the last run; 0 before the first.
        inference_count: Rows that were run.
        execution_count: Runs.
        success: Requests answered, from arrival to answer; those from the cache are among them.
        fail: Requests refused or failed.
        waiting: Requests that wait or run now.
        total: Arrival to answer of answered requests.
        queued: Arrival to run, alike.
        computed: Time in the model, of runs, not of requests.
    """

    model: str
    version: str
    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: Span
    fail: Span
    queue: Span
    compute_input: Span
    compute_infer: Span
    compute_output: Span
    cache_hit: Span
    cache_miss: Span
    batches: tuple[BatchStat, ...]
    memory_bytes: int
    waiting: int
    total: Histogram
    queued: Histogram
    computed: Histogram


def added(one: VersionStatistics, other: VersionStatistics) -> VersionStatistics:
    """Return what one version did in two processes."""
    sizes = sorted({batch.size for batch in (*one.batches, *other.batches)})
    changes: dict[str, Any] = {
        "last_inference_ms": max(one.last_inference_ms, other.last_inference_ms),
        "batches": tuple(_batch(size, (*one.batches, *other.batches)) for size in sizes),
    }
    for name in ("inference_count", "execution_count", "memory_bytes", "waiting"):
        changes[name] = getattr(one, name) + getattr(other, name)
    for name in SPANS:
        changes[name] = _both(getattr(one, name), getattr(other, name))
    for name in ("total", "queued", "computed"):
        left, right = getattr(one, name), getattr(other, name)
        counts = tuple(map(int.__add__, left.counts, right.counts))
        changes[name] = Histogram(counts, left.total_s + right.total_s)
    return replace(one, **changes)


def to_document(one: VersionStatistics) -> dict[str, Any]:
    """Return the values as JSON."""
    return asdict(one)


def from_document(document: Mapping[str, Any]) -> VersionStatistics:
    """Return the values of such JSON."""
    batches = [BatchStat(size, *(Span(*span) for span in spans)) for size, *spans in document["batches"]]
    places = {
        name: Histogram(tuple(document[name]["counts"]), document[name]["total_s"])
        for name in ("total", "queued", "computed")
    }
    spans = {name: Span(*document[name]) for name in SPANS}
    return VersionStatistics(**{**document, **places, **spans, "batches": tuple(batches)})


def _both(one: Span, other: Span) -> Span:
    return Span(one.number + other.number, one.ns + other.ns)


def _batch(size: int, found: Sequence[BatchStat]) -> BatchStat:
    parts = [one[1:] for one in found if one.size == size]
    return BatchStat(size, *(reduce(_both, spans) for spans in zip(*parts, strict=True)))


class Tally:
    """The growing counters of one version; written by the loop's thread only, read by any."""

    __slots__ = (
        "batches", "cache_hit_s", "cache_hits", "cache_miss_s", "cache_misses", "fail", "fail_s", "infer_places",
        "infer_s", "input_s", "last_s", "output_s", "queue_places", "queue_s", "rows", "runs", "success", "success_s",
        "total_places", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rows = self.runs = self.success = self.fail = self.waiting = self.cache_hits = self.cache_misses = 0
        self.queue_s = self.input_s = self.infer_s = self.output_s = self.success_s = self.fail_s = 0.0
        self.cache_hit_s = self.cache_miss_s = self.last_s = 0.0
        self.total_places = [0] * (len(LATENCY_EDGES_US) + 1)
        self.queue_places = [0] * (len(LATENCY_EDGES_US) + 1)
        self.infer_places = [0] * (len(LATENCY_EDGES_US) + 1)
        self.batches: dict[int, list[float]] = {}

    def ran(self, rows: int, input_s: float, infer_s: float, output_s: float) -> None:
        """Add one run of this many rows and the seconds of its parts."""
        self.rows += rows
        self.runs += 1
        self.input_s += input_s
        self.infer_s += infer_s
        self.infer_places[bisect_left(LATENCY_EDGES_US, infer_s * _US)] += 1
        self.output_s += output_s
        batch = self.batches.get(rows)
        if batch is None:
            batch = self.batches[rows] = [0, 0.0, 0.0, 0.0]
        batch[0] += 1
        batch[1] += input_s
        batch[2] += infer_s
        batch[3] += output_s

    def view(self, model: str, version: str, memory_bytes: int) -> VersionStatistics:
        """Return the counters as values."""
        return VersionStatistics(
            model=model,
            version=version,
            last_inference_ms=int(self.last_s * 1000),
            inference_count=self.rows,
            execution_count=self.runs,
            success=_span(self.success, self.success_s),
            fail=_span(self.fail, self.fail_s),
            queue=_span(self.success, self.queue_s),
            compute_input=_span(self.success - self.cache_hits, self.input_s),
            compute_infer=_span(self.success - self.cache_hits, self.infer_s),
            compute_output=_span(self.success - self.cache_hits, self.output_s),
            cache_hit=_span(self.cache_hits, self.cache_hit_s),
            cache_miss=_span(self.cache_misses, self.cache_miss_s),
            batches=tuple(
                BatchStat(size, *(_span(int(one[0]), seconds) for seconds in one[1:]))
                for size, one in sorted(self.batches.copy().items())
            ),
            memory_bytes=memory_bytes,
            waiting=self.waiting,
            total=Histogram(tuple(self.total_places), self.success_s),
            queued=Histogram(tuple(self.queue_places), self.queue_s),
            computed=Histogram(tuple(self.infer_places), self.infer_s),
        )


def _span(count: int, seconds: float) -> Span:
    return Span(max(0, count), int(seconds * _NS))
