"""What monitoring reads are the server's own counters, in buckets that add up, under our names and Triton's."""

from bisect import bisect_left
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from onecode_common.assignment import BUCKETS
from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.domain.comparison import Findings, Pair
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.execution.statistics import Tally, VersionStatistics
from onecode_serving.listen.peers import ListenCounts
from onecode_serving.metrics import ServingCollector
from onecode_serving.shadow.shadows import ShadowView


def version(number: str, *seconds: float, waiting: int = 0) -> VersionStatistics:
    tally = Tally()
    for one in seconds:
        tally.success += 1
        tally.success_s += one
        tally.total_places[bisect_left(LATENCY_EDGES_US, one * 1e6)] += 1
        tally.queue_places[0] += 1
        tally.ran(2, 0.001, 0.002, 0.003)
    tally.fail = 4
    tally.waiting = waiting
    return tally.view("press", number, 100)


class _Plane:
    def __init__(self, *versions: VersionStatistics) -> None:
        self._versions = list(versions)

    def statistics(self, model: str, version: str) -> list[VersionStatistics]:
        assert (model, version) == ("", "")
        return self._versions

    def routes(self) -> dict[str, Route]:
        arms = (Arm(0, 100, "sha256:2", 2, "candidate"), Arm(100, BUCKETS, "sha256:1", 1, "stable"))
        return {"press": Route("press", "r", 1, "request", "s", arms)}


def scraped(collector: ServingCollector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def of(samples: dict[Any, float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_histograms_are_cumulative_and_named_by_arm() -> None:
    samples = scraped(ServingCollector(_Plane(version("1", 0.00002, 0.004, 0.004, 99.0), version("2", 0.001))))
    labels = {"model": "press", "version": "1", "arm": "stable"}
    name = "onecode_inference_request_seconds"
    assert of(samples, f"{name}_bucket", le="2e-05", **labels) == 1
    assert of(samples, f"{name}_bucket", le="0.003", **labels) == 1
    assert of(samples, f"{name}_bucket", le="0.005", **labels) == 3
    assert of(samples, f"{name}_bucket", le="5.0", **labels) == 3
    assert of(samples, f"{name}_bucket", le="+Inf", **labels) == of(samples, f"{name}_count", **labels) == 4
    assert round(of(samples, f"{name}_sum", **labels), 5) == 99.00802
    assert of(samples, "onecode_inference_compute_seconds_bucket", le="0.002", **labels) == 4
    assert of(samples, "onecode_inference_queue_seconds_count", model="press", version="2", arm="candidate") == 1


def test_a_version_of_no_route_has_no_arm() -> None:
    samples = scraped(ServingCollector(_Plane(version("7", waiting=3))))
    assert of(samples, "onecode_inference_in_flight", model="press", version="7", arm="") == 3


def test_dashboards_for_triton_find_their_names_and_units() -> None:
    samples = scraped(ServingCollector(_Plane(version("1", 0.004, 0.006, waiting=5))))
    found = {name: value for (name, labels), value in samples.items() if name.startswith("nv_")}
    assert found == {
        "nv_inference_request_success": 2,
        "nv_inference_request_failure": 4,
        "nv_inference_count": 4,
        "nv_inference_exec_count": 2,
        "nv_inference_request_duration_us": 10_000,
        "nv_inference_queue_duration_us": 0,
        "nv_inference_compute_input_duration_us": 2_000,
        "nv_inference_compute_infer_duration_us": 4_000,
        "nv_inference_compute_output_duration_us": 6_000,
        "nv_inference_pending_request_count": 5,
    }
    assert of(samples, "nv_inference_count", model="press", version="1") == 4


def test_connections_guards_and_limits_are_counted() -> None:
    doors = SimpleNamespace(counts=ListenCounts(accepted=9, strangers=2), present=3, turned_away=1)
    collector = ServingCollector(_Plane(), doors, lambda: {"h2": ListenCounts(idle=7)}, lambda: {"line-3": 8})
    samples = scraped(collector)
    assert of(samples, "onecode_inference_connections") == 3
    assert of(samples, "onecode_inference_connection_events_total", event="strangers") == 2
    assert of(samples, "onecode_inference_connection_events_total", event="turned_away") == 1
    assert of(samples, "onecode_inference_guard_total", protocol="h2", event="idle") == 7
    assert of(samples, "onecode_inference_limited_total", principal="line-3") == 8


def test_what_shadows_found_adds_up() -> None:
    found = Findings(failed=1, dropped=4)
    found.compared([Pair(same=True, difference=0.0), Pair(same=False, difference=0.3)])
    view = ShadowView(found, seconds=0.5)
    view.runs[0] = 2
    samples = scraped(ServingCollector(_Plane(), shadows=lambda: {"press": view}))
    outcomes = {"same": 1, "different": 1, "failed": 1, "dropped": 4}
    for outcome, number in outcomes.items():
        assert of(samples, "onecode_inference_shadow_total", model="press", outcome=outcome) == number
    name = "onecode_inference_shadow_difference"
    assert of(samples, f"{name}_bucket", model="press", le="0.2") == 1
    assert of(samples, f"{name}_bucket", model="press", le="0.5") == of(samples, f"{name}_count", model="press") == 2
    assert of(samples, f"{name}_sum", model="press") == 0.3
    assert of(samples, "onecode_inference_shadow_seconds_count", model="press") == 2
