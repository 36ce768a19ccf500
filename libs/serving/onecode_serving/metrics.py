"""Tell monitoring what the model server does, read from its counters when somebody asks: nothing is paid per request.

Histograms have the same buckets everywhere, so that they add up over replicas. The names that dashboards for Triton
read are served as well, with its meaning and units.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.domain.routing import Route
from onecode_serving.execution.statistics import Histogram, VersionStatistics
from onecode_serving.shadow.metrics import shadow_metrics
from onecode_serving.shadow.shadows import ShadowView

_PER_SECOND_US = 1_000_000
_LABELS = ("model", "version", "arm")
_EDGES = [*(str(edge / _PER_SECOND_US) for edge in LATENCY_EDGES_US), "+Inf"]

_TRITON: Sequence[tuple[str, str, Callable[[VersionStatistics], float]]] = (
    ("nv_inference_request_success", "Requests answered.", lambda one: one.success.number),
    ("nv_inference_request_failure", "Requests refused or failed.", lambda one: one.fail.number),
    ("nv_inference_count", "Rows run.", lambda one: one.inference_count),
    ("nv_inference_exec_count", "Runs of the model.", lambda one: one.execution_count),
    ("nv_inference_request_duration_us", "Microseconds from arrival to answer.", lambda one: one.success.ns / 1e3),
    ("nv_inference_queue_duration_us", "Microseconds in line.", lambda one: one.queue.ns / 1e3),
    ("nv_inference_compute_input_duration_us", "Microseconds of joining.", lambda one: one.compute_input.ns / 1e3),
    ("nv_inference_compute_infer_duration_us", "Microseconds in the model.", lambda one: one.compute_infer.ns / 1e3),
    ("nv_inference_compute_output_duration_us", "Microseconds of cutting.", lambda one: one.compute_output.ns / 1e3),
)

_HISTOGRAMS: Sequence[tuple[str, str, Callable[[VersionStatistics], Histogram]]] = (
    ("onecode_inference_request_seconds", "From arrival to answer.", lambda one: one.total),
    ("onecode_inference_queue_seconds", "From arrival to the run of the model.", lambda one: one.queued),
    ("onecode_inference_compute_seconds", "In the model, of each run.", lambda one: one.computed),
)


class Plane(Protocol):
    """What is read of the data plane."""

    def statistics(self, model: str, version: str) -> list[VersionStatistics]:
        """Return what every version did, if both names are empty."""
        ...

    def routes(self) -> Mapping[str, Route]:
        """Return what is served by model."""
        ...


class Doors(Protocol):
    """What is read of the listener."""

    @property
    def counts(self) -> Any:
        """A dataclass of numbers that only grow."""
        ...

    @property
    def present(self) -> int:
        """Connections now."""
        ...

    @property
    def turned_away(self) -> int:
        """Connections refused because their address, or the house, has its share."""
        ...


class ServingCollector(Collector):
    """Makes the metrics of one server; register it once.

    Args:
        plane: Whose versions.
        doors: Whose connections; None: none are told.
        guards: Returns by protocol the counts of its engines, dataclasses of numbers that only grow.
        limited: Returns by principal the requests that its limits turned away.
        shadows: Returns by model what versions said that answer nobody.
        traces: Returns by event the predictions that were worth a span.
    """

    def __init__(
        self,
        plane: Plane,
        doors: Doors | None = None,
        guards: Callable[[], Mapping[str, Any]] = dict,
        limited: Callable[[], Mapping[str, int]] = dict,
        shadows: Callable[[], Mapping[str, ShadowView]] = dict,
        traces: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._plane = plane
        self._doors = doors
        self._guards = guards
        self._limited = limited
        self._shadows = shadows
        self._traces = traces

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask a server that is not put together yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all metrics as they are now."""
        statistics = self._plane.statistics("", "")
        arms = _arms(self._plane.routes())
        yield from _histograms(statistics, arms)
        yield _in_flight(statistics, arms)
        yield from _triton(statistics)
        if self._doors is not None:
            yield from _connections(self._doors)
        yield _events("onecode_inference_guard", "What engines refused or ended.", "protocol", self._guards())
        yield _numbers("onecode_inference_limited", "Requests that a limit turned away.", "principal", self._limited())
        yield _numbers("onecode_inference_traces", "Predictions that were worth a span.", "event", self._traces())
        yield from shadow_metrics(self._shadows())


def _arms(routes: Mapping[str, Route]) -> dict[tuple[str, str], str]:
    """Return the role of each version that a route names."""
    return {(route.model, str(arm.release)): arm.role for route in routes.values() for arm in route.arms}


def _labels(one: VersionStatistics, arms: Mapping[tuple[str, str], str]) -> list[str]:
    return [one.model, one.version, arms.get((one.model, one.version), "")]


def _histograms(
    statistics: Sequence[VersionStatistics], arms: Mapping[tuple[str, str], str]
) -> Iterator[HistogramMetricFamily]:
    for name, text, read in _HISTOGRAMS:
        family = HistogramMetricFamily(name, text, labels=_LABELS)
        for one in statistics:
            histogram = read(one)
            family.add_metric(_labels(one, arms), _cumulative(histogram.counts), histogram.total_s)
        yield family


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    below, buckets = 0, []
    for edge, count in zip(_EDGES, counts, strict=True):
        below += count
        buckets.append((edge, float(below)))
    return buckets


def _in_flight(statistics: Sequence[VersionStatistics], arms: Mapping[tuple[str, str], str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("onecode_inference_in_flight", "Requests that wait or run.", labels=_LABELS)
    for one in statistics:
        family.add_metric(_labels(one, arms), one.waiting)
    return family


def _triton(statistics: Sequence[VersionStatistics]) -> Iterator[Metric]:
    for name, text, read in _TRITON:
        # The library would append "_total" to the name of a counter.
        family = Metric(name, text, "unknown")
        for one in statistics:
            family.add_sample(name, {"model": one.model, "version": one.version}, read(one))
        yield family
    pending = GaugeMetricFamily(
        "nv_inference_pending_request_count", "Requests that wait or run.", labels=["model", "version"]
    )
    for one in statistics:
        pending.add_metric([one.model, one.version], one.waiting)
    yield pending


def _connections(doors: Doors) -> Iterator[Metric]:
    yield GaugeMetricFamily("onecode_inference_connections", "Connections now.", value=doors.present)
    events = CounterMetricFamily(
        "onecode_inference_connection_events", "What happened to connections.", labels=["event"]
    )
    for one in dataclasses.fields(doors.counts):
        events.add_metric([one.name], getattr(doors.counts, one.name))
    events.add_metric(["turned_away"], doors.turned_away)
    yield events


def _events(name: str, text: str, label: str, counts: Mapping[str, Any]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label, "event"])
    for kind, counted in counts.items():
        for one in dataclasses.fields(counted):
            family.add_metric([kind, one.name], getattr(counted, one.name))
    return family


def _numbers(name: str, text: str, label: str, counted: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for one, number in counted.items():
        family.add_metric([one], number)
    return family
