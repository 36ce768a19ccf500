"""Show the metrics of several processes as those of one server: every one of them is made to add up."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Document = Sequence[Any]
"""All metrics of one process, as JSON: of each its name, text, type and samples; of a sample name, labels, value."""

_GAUGE = "gauge"


def document_of(collector: Collector) -> list[Any]:
    """Return all metrics of a collector, to be told to another process."""
    return [
        [one.name, one.documentation, one.type, [[sample.name, sample.labels, sample.value] for sample in one.samples]]
        for one in collector.collect()
    ]


class MergedCollector(Collector):
    """Tells the sums of several processes; may be told of them and asked in any threads.

    What a process that has ended counted stays in the sums, so that they only grow; its gauges go.

    Args:
        own: Of this process; None if it answers no requests itself.
        ask: Called before the sums are told: the time to call :meth:`take`.
    """

    def __init__(self, own: Collector | None = None, ask: Callable[[], None] = lambda: None) -> None:
        self._own = own
        self._ask = ask
        self._lock = threading.Lock()
        self._present: dict[str, Document] = {}
        self._ended: Document = ()

    def take(self, process: str, document: Document) -> None:
        """Note what a process has counted until now."""
        with self._lock:
            self._present[process] = document

    def end(self, process: str) -> None:
        """Note that a process is no more; one that was never heard of passes."""
        with self._lock:
            left = [one for one in self._present.pop(process, ()) if one[2] != _GAUGE]
            if left:
                self._ended = [
                    [one.name, one.documentation, one.type, [[*sample[:3]] for sample in one.samples]]
                    for one in _summed([self._ended, left])
                ]

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask processes that do not run yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as they are now."""
        self._ask()
        own = document_of(self._own) if self._own is not None else ()
        with self._lock:
            documents = [own, self._ended, *self._present.values()]
        yield from _summed(documents)


def _summed(documents: Iterable[Document]) -> list[Metric]:
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for document in documents:
        for name, text, kind, samples in document:
            families.setdefault(name, Metric(name, text, kind))
            sums = values.setdefault(name, {})
            for sample, labels, value in samples:
                key = (sample, tuple(labels.items()))
                sums[key] = sums.get(key, 0.0) + value
    for name, sums in values.items():
        for (sample, labels), value in sums.items():
            families[name].add_sample(sample, dict(labels), value)
    return list(families.values())
