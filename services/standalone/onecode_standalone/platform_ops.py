"""Answer an operator's tools for the whole platform: one port, as if it were one process."""

import http.client
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from onecode_common.ops import OpsServer
from onecode_standalone.supervisor import Supervisor

FACES = ("console", "inference", "rollout", "registry")
"""Processes that answer people, programs or gateways; one that answers is a reason to send requests here."""

_STUCK_S = 30.0
_TIMEOUT_S = 2.0


def platform_ops(address: str, supervisor: Supervisor) -> OpsServer:
    """Return the server of health and metrics of all processes."""
    registry = CollectorRegistry()
    registry.register(_Pages(supervisor))
    first = _First(supervisor)
    return OpsServer(address, first.reason, lambda: supervisor.idle_s < _STUCK_S, registry)


class _First:
    """Ready from the first time that everything was, as long as one face answers."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._was_ready = False

    def reason(self) -> str | None:
        state = self._supervisor.state
        self._was_ready = self._was_ready or state == "ready"
        if state == "stopping" or not self._was_ready:
            return state
        states = {name: child.state for name, child in self._supervisor.children.items() if name in FACES}
        return None if "ready" in states.values() else f"none of {', '.join(states)} answers"


class _Pages(Collector):
    """The metrics of every process under its name, and whether it is ready."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is shows when it is asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the supervisor's own and everybody else's."""
        ready = GaugeMetricFamily("onecode_process_ready", "Whether a process is ready.", labels=("process",))
        restarts = CounterMetricFamily("onecode_process_restarts", "Unwanted ends of a process.", labels=("process",))
        pages = {}
        for name, child in self._supervisor.children.items():
            ready.add_metric((name,), 1.0 if child.state == "ready" else 0.0)
            restarts.add_metric((name,), float(child.restarts))
            if child.state == "ready" and child.entry.probe.startswith("http"):
                with suppress(OSError, http.client.HTTPException):
                    pages[name] = _page(child.entry.probe)
        yield ready
        yield restarts
        yield from merged(pages)


def merged(pages: Mapping[str, str]) -> list[Metric]:
    """Return the families of all pages, each sample with the label ``process``.

    Args:
        pages: In Prometheus' text format, by process.
    """
    found: dict[str, Metric] = {}
    for process, page in pages.items():
        for family in text_string_to_metric_families(page):
            kept = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                kept.samples.append(sample._replace(labels={**sample.labels, "process": process}))
    return list(found.values())


def _page(probe: str) -> str:
    parts = urlsplit(probe)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
