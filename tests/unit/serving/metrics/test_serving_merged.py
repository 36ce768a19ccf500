"""The metrics of several processes read as those of one server, whoever comes and goes."""

import json
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from onecode_serving.merged import MergedCollector, document_of


class Process(Collector):
    """One process with a metric of each kind."""

    def __init__(self, number: float, *models: str) -> None:
        self.number = number
        self.models = models

    def collect(self) -> Iterator[Metric]:
        counter = CounterMetricFamily("calls", "Calls.", labels=["model"])
        seconds = HistogramMetricFamily("seconds", "Seconds.", labels=["model"])
        plain = Metric("nv_count", "As Triton names it.", "unknown")
        for model in self.models:
            counter.add_metric([model], self.number)
            seconds.add_metric([model], [("1.0", self.number), ("+Inf", 2 * self.number)], 3 * self.number)
            plain.add_sample("nv_count", {"model": model}, self.number)
        yield GaugeMetricFamily("open", "Open.", value=self.number)
        yield counter
        yield seconds
        yield plain

    def document(self) -> list[object]:
        return list(json.loads(json.dumps(document_of(self))))


def scraped(collector: Collector) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_sums_read_as_one_process_does() -> None:
    merged = MergedCollector(Process(1, "a", "b"))
    assert scraped(merged) == scraped(Process(1, "a", "b"))
    merged.take("1", Process(4, "a", "b").document())
    merged.take("1", Process(5, "a", "b").document())
    merged.take("2", Process(10, "a", "b").document())
    assert scraped(merged) == scraped(Process(16, "a", "b"))
    assert scraped(MergedCollector()) == ""


def test_what_one_process_alone_knows_is_there() -> None:
    merged = MergedCollector()
    merged.take("1", Process(2, "a").document())
    merged.take("2", Process(3, "b").document())
    text = scraped(merged)
    assert 'calls_total{model="a"} 2.0' in text
    assert 'calls_total{model="b"} 3.0' in text
    assert "open 5.0" in text


def test_an_ended_process_leaves_what_it_counted_and_no_gauges() -> None:
    merged = MergedCollector()
    merged.end("0")
    for process, number in (("1", 2), ("2", 3)):
        merged.take(process, Process(number, "a").document())
        merged.end(process)
    merged.take("3", Process(5, "a").document())
    text = scraped(merged)
    assert 'calls_total{model="a"} 10.0' in text
    assert 'seconds_bucket{le="+Inf",model="a"} 20.0' in text
    assert "open 5.0" in text
    merged.end("3")
    assert "open" not in scraped(merged)


def test_whoever_is_asked_is_asked_before_the_sums_are_told() -> None:
    merged = MergedCollector(ask=lambda: merged.take("1", Process(7, "a").document()))
    assert "open 7.0" in scraped(merged)
