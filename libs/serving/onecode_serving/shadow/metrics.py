"""Tell monitoring what shadows found; the numbers add up over processes and machines."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.domain.comparison import DIFFERENCE_EDGES
from onecode_serving.shadow.shadows import ShadowView

_MICRO = 1e6
_DIFFERENCES = [*map(str, DIFFERENCE_EDGES), "+Inf"]
_SECONDS = [*(str(edge / _MICRO) for edge in LATENCY_EDGES_US), "+Inf"]


def shadow_metrics(views: Mapping[str, ShadowView]) -> Iterator[Metric]:
    """Return the metrics by model."""
    requests = CounterMetricFamily(
        "onecode_inference_shadow", "Requests that a shadow was to be shown.", labels=["model", "outcome"]
    )
    difference = HistogramMetricFamily(
        "onecode_inference_shadow_difference", "Between the answers of stable version and shadow.", labels=["model"]
    )
    seconds = HistogramMetricFamily(
        "onecode_inference_shadow_seconds", "In the shadow's model, of each run.", labels=["model"]
    )
    for model, view in views.items():
        found = view.findings
        for outcome in ("same", "different", "failed", "dropped"):
            requests.add_metric([model, outcome], getattr(found, outcome))
        difference.add_metric([model], _cumulative(_DIFFERENCES, found.places), found.total)
        seconds.add_metric([model], _cumulative(_SECONDS, view.runs), view.seconds)
    yield requests
    yield difference
    yield seconds


def _cumulative(edges: Sequence[str], counts: Sequence[int]) -> list[tuple[str, float]]:
    below, buckets = 0, []
    for edge, count in zip(edges, counts, strict=True):
        below += count
        buckets.append((edge, float(below)))
    return buckets
