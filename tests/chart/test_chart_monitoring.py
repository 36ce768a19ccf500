"""Alerts and dashboards speak of metrics that exist, and every alert leads to a page that says what to do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from chart_rendering import CHART, NAMESPACE, REPOSITORY, Object, of_kind, render, values_of

_ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
_RULES = [rule for group in _ALERTS["groups"] for rule in group["rules"]]
_DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
_PLATFORM = {
    "up",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}
"""Metrics of Prometheus, cAdvisor and the kubelet, which every cluster with the operator has."""
_WORDS = {
    "sum", "by", "rate", "absent", "changes", "max", "and", "on", "ignoring", "group_left", "topk", "label_values",
    "histogram_quantile",
}  # fmt: skip

_REGISTERED = """
import dataclasses, importlib, json
from prometheus_client import REGISTRY
for module in ("onecode_common.rpc.server", "onecode_rollout.usecases.telemetry"):
    importlib.import_module(module)
from types import SimpleNamespace
from onecode_serving.metrics import ServingCollector
from onecode_standalone.platform_ops import _Pages
Counts = dataclasses.make_dataclass("Counts", [])
names = set()
plane = SimpleNamespace(statistics=lambda model, version: [], routes=dict)
doors = SimpleNamespace(counts=Counts(), present=0, turned_away=0)
made = [ServingCollector(plane, doors), _Pages(SimpleNamespace(children={}))]
for metric in [*REGISTRY.collect(), *(metric for one in made for metric in one.collect())]:
    kinds = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "summary": ["_count", "_sum"]}
    names |= {metric.name + end for end in kinds.get(metric.type, [""])}
print(json.dumps(sorted(names)))
"""


@pytest.fixture(scope="module")
def registered() -> set[str]:
    """Return the names of all metrics that the services register."""
    answer = subprocess.run([sys.executable, "-c", _REGISTERED], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


def _metrics(expression: str) -> set[str]:
    """Return the names of metrics in an expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\b(by|ignoring|on|group_left)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    return {word for word in re.findall(r"[a-z_][a-z0-9_:]*", bare) if word not in _WORDS and word != "job"}


def _expressions() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in _RULES]
    for path in _DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def test_every_metric_that_is_spoken_of_exists(registered: set[str]) -> None:
    for where, expression in _expressions():
        names = _metrics(expression)
        assert names, where
        assert names <= registered | _PLATFORM, where


def test_every_label_that_is_spoken_of_exists() -> None:
    known = {
        "nv_inference_request_failure": {"model", "version"},
        "nv_inference_request_success": {"model", "version"},
        "onecode_rpc_calls_total": {"method", "outcome"},
        "onecode_rollout_reports_refused_total": {"why"},
        "onecode_rollout_reports_total": {"kind"},
    }
    scraped = {"process", "job", "pod", "container", "namespace", "persistentvolumeclaim"}
    for where, expression in _expressions():
        for name, labels in re.findall(r"([a-z_0-9]+)\{([^}]*)\}", re.sub(r'"[^"]*"', '""', expression)):
            used = set(re.findall(r"([a-z_]+)\s*[=!]", labels))
            assert used <= known.get(name, set()) | scraped, where


def test_the_autoscaler_asks_for_a_metric_that_exists(registered: set[str]) -> None:
    values = values_of("services") | {"autoscaling": {"inference": {"kind": "keda", "prometheusUrl": "http://p:9090"}}}
    (one,) = of_kind(render(values), "ScaledObject")
    assert _metrics(one["spec"]["triggers"][0]["metadata"]["query"]) <= registered


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_a_severity_a_wait_and_a_runbook() -> None:
    anchors = _anchors(REPOSITORY / "docs" / "runbooks" / "alerts.md")
    for rule in _RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert re.fullmatch(r"[0-9]+m", rule["for"]), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        url, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert url == "RUNBOOKS"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors, rule["alert"]


def test_every_runbook_belongs_to_an_alert() -> None:
    alerts = {rule["alert"].lower() for rule in _RULES}
    anchors = {
        anchor for anchor in _anchors(REPOSITORY / "docs" / "runbooks" / "alerts.md") if anchor.startswith("onecode")
    }
    assert anchors == alerts


def _switched_on() -> list[Object]:
    return render({"monitoring": {name: {"enabled": True} for name in ("podMonitor", "rules", "dashboards")}})


def test_the_rendered_rules_name_the_release_and_keep_prometheus_own_braces() -> None:
    (one,) = of_kind(_switched_on(), "PrometheusRule")
    text = json.dumps(one)
    assert not re.search(r"\b(NAMESPACE|RELEASE|RUNBOOKS)\b", text)
    assert f'job=\\"{NAMESPACE}/oc-onecode\\"' in text
    assert "{{ $labels.pod }}" in text
    assert len(one["spec"]["groups"][0]["rules"]) == len(_RULES)


def test_the_target_of_the_rules_is_the_pod_monitor() -> None:
    (monitor,) = of_kind(_switched_on(), "PodMonitor")
    assert monitor["metadata"]["name"] == "oc-onecode"
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "ops", "path": "/metrics", "interval": "30s"}]


def test_dashboards_are_whole_json_in_config_maps_that_grafana_finds() -> None:
    maps = of_kind(_switched_on(), "ConfigMap")
    assert len(maps) == len(_DASHBOARDS) == 2
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = one["data"].values()
        board = json.loads(text)
        assert board["uid"].startswith("onecode-")
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
