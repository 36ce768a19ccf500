"""The chart sets only what the programs know, gives each address where it answers, and opens exactly those arrows."""

import importlib
import inspect
import itertools
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
from chart_rendering import (
    NAMESPACE,
    SERVICES,
    VALUE_SETS,
    Object,
    component,
    containers,
    environment,
    objects,
    of_kind,
    pod_templates,
    render,
    selects,
    values_of,
)

from onecode_client.cli.main import application
from onecode_common.settings import ServiceSettings

every_set = pytest.mark.parametrize("values", VALUE_SETS)
_OTHERS = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED", "NODE_NAME"}
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


def _settings(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"onecode_{service}.settings")
    return next(value for _, value in inspect.getmembers(module, inspect.isclass)
                if issubclass(value, ServiceSettings) and value.service == service)  # fmt: skip


def _pods(values: str) -> dict[str, Object]:
    return {component(pod): pod for _, pod in pod_templates(objects(values))}


@every_set
def test_every_variable_is_a_setting_of_its_service(values: str) -> None:
    for name, pod in _pods(values).items():
        service = {"edge-agent": "edge"}.get(name, name)
        for variable in environment(containers(pod)[0]):
            if variable in _OTHERS:
                continue
            prefix = f"ONECODE_{service.upper()}_"
            assert variable.startswith(prefix), (name, variable)
            assert variable.removeprefix(prefix).lower() in _settings(service).model_fields, variable


@pytest.mark.parametrize("values", ["services", "production", "everything"])
@pytest.mark.parametrize("service", [*SERVICES, "edge"])
def test_a_service_reads_its_settings_from_the_chart(
    values: str, service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pod = _pods(values).get({"edge": "edge-agent"}.get(service, service))
    if pod is None:
        return
    (tmp_path / "url").write_text("postgresql+psycopg://who@where/what")
    for name, value in environment(containers(pod)[0]).items():
        monkeypatch.setenv(name, value.replace("/etc/onecode/database/", f"{tmp_path}/"))
    settings = _settings(service).load()
    assert settings.ops_address == "0.0.0.0:7402"
    assert settings.log_format == "json"


def _option_names(command: str) -> dict[str, Any]:
    commands: Any = typer.main.get_command(application())
    return {option: parameter for parameter in commands.commands[command].params for option in parameter.opts}


@pytest.mark.parametrize("values", ["default", "services"])
def test_every_argument_is_an_option_of_its_command(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        arguments = containers(pod)[0].get("args")
        if arguments:
            options = [word for word in arguments if word.startswith("--")]
            assert set(options) <= set(_option_names(arguments[0])), label


def test_gateways_are_told_the_service_where_no_other_address_is_given() -> None:
    (pod,) = [pod for _, pod in pod_templates(objects("default")) if component(pod) == "platform"]
    pairs = dict(itertools.pairwise(containers(pod)[0]["args"]))
    assert pairs["--edge-url"] == f"http://oc-onecode.{NAMESPACE}.svc:8081"
    assert pairs["--distribution-url"] == f"http://oc-onecode.{NAMESPACE}.svc:7411"


def test_the_platform_in_one_pod_is_told_where_others_find_it() -> None:
    found = render({"public": {"edgeUrl": "https://edge.test", "distributionUrl": "https://models.test"}})
    (pod,) = [pod for _, pod in pod_templates(found) if component(pod) == "platform"]
    arguments = containers(pod)[0]["args"]
    pairs = dict(itertools.pairwise(arguments))
    assert pairs["--listen"] == "0.0.0.0"
    assert pairs["--ops-address"] == "0.0.0.0:7402"
    assert pairs["--edge-url"] == "https://edge.test"
    assert pairs["--distribution-url"] == "https://models.test"
    assert pairs["--console-url"] == "http://localhost:8080"
    mounts = [mount["mountPath"] for mount in containers(pod)[0]["volumeMounts"]]
    assert any(pairs["--home"].startswith(f"{mount}/") for mount in mounts)


@every_set
def test_every_file_that_a_setting_names_lies_in_a_mount(values: str) -> None:
    for name, pod in _pods(values).items():
        container = containers(pod)[0]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        texts = [*environment(container).values(), *container.get("args", ())]
        for text in texts:
            path = text.partition("credentials=")[2].partition("&")[0] or text
            if path.startswith("/") and not path.startswith("//"):
                assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), (name, path)


def _named_peers(values: str) -> set[tuple[str, str, int]]:
    """Return (from, to, port) of every setting that names a Service of the release."""
    services = {one["metadata"]["name"]: one for one in of_kind(objects(values), "Service")}
    found = set()
    for name, pod in _pods(values).items():
        container = containers(pod)[0]
        for text in [*environment(container).values(), *container.get("args", ())]:
            parts = urlsplit(text if "://" in text else f"//{text}")
            try:
                host, port = (parts.hostname or "").removesuffix(f".{NAMESPACE}.svc"), parts.port
            except ValueError:
                continue
            if host in services and port:
                selector = services[host]["spec"]["selector"]
                assert port in {one["port"] for one in services[host]["spec"]["ports"]}
                found.add((name, selector["app.kubernetes.io/component"], port))
    return found


def _allowed(values: str, direction: str, key: str) -> set[tuple[str, str, int]]:
    """Return the arrows between pods of the release that policies allow, seen from one end."""
    found = set()
    for policy in of_kind(objects(values), "NetworkPolicy"):
        mine = policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for rule in policy["spec"].get(direction) or ():
            for peer in rule.get(key) or ():
                other = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component")
                for port in rule.get("ports", [{"port": 0}]):
                    if other:
                        pair = (other, mine) if direction == "ingress" else (mine, other)
                        found.add((*pair, port["port"]))
    return found


# Told to gateways, not called by the service itself.
_TOLD = {("registry", "registry", 7401), ("rollout", "registry", 7401), ("rollout", "rollout", 8081)} | {
    ("platform", "platform", 7411), ("platform", "platform", 8081)
}  # fmt: skip
# Not settings: where an enrolled agent is told to fetch; Ray finds itself.
_LEARNT = {("edge-agent", "registry", 7401), ("edge-agent", "rollout", 8081), ("ray", "ray", 0), ("training", "ray", 0)}


@every_set
def test_the_open_arrows_are_those_that_settings_name(values: str) -> None:
    named = _named_peers(values) - _TOLD
    opened = _allowed(values, "egress", "to")
    assert named <= opened
    assert opened - named <= _LEARNT


@every_set
def test_every_arrow_is_open_at_both_ends(values: str) -> None:
    assert _allowed(values, "egress", "to") == _allowed(values, "ingress", "from")


@every_set
def test_every_pod_is_under_deny_and_under_a_policy_of_its_own(values: str) -> None:
    policies = of_kind(objects(values), "NetworkPolicy")
    for label, pod in pod_templates(objects(values)):
        mine = [
            one["spec"]
            for one in policies
            if selects(one["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"])
        ]
        assert len(mine) == 2, label
        assert {"ingress", "egress"} & set(mine[0] if len(mine[0]) == 2 else mine[1]) == set(), label
        for spec in mine:
            assert spec["policyTypes"] == ["Ingress", "Egress"], label


@every_set
def test_the_api_server_may_be_asked_only_by_pods_with_a_token(values: str) -> None:
    asking = {
        policy["metadata"]["labels"]["app.kubernetes.io/component"]
        for policy in of_kind(objects(values), "NetworkPolicy")
        for rule in policy["spec"].get("egress") or ()
        if 6443 in {port["port"] for port in rule.get("ports", ())}
    }
    with_token = {name for name, pod in _pods(values).items() if pod["spec"]["automountServiceAccountToken"]}
    assert asking == with_token


def test_only_public_faces_are_open_to_everybody() -> None:
    opened = {}
    for policy in of_kind(objects("services"), "NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or ():
            if "from" not in rule:
                opened[policy["metadata"]["labels"]["app.kubernetes.io/component"]] = {p["port"] for p in rule["ports"]}
    assert opened == {"console": {8080}, "inference": {8000, 8001}, "rollout": {8081}, "registry": {7401}}


def test_neighbours_are_reached_at_the_ports_of_their_addresses() -> None:
    ports: dict[str, set[int]] = {}
    for policy in of_kind(objects("everything"), "NetworkPolicy"):
        name = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        for rule in policy["spec"].get("egress") or ():
            if not any("podSelector" in peer for peer in rule.get("to") or ()):
                ports.setdefault(name, set()).update(port["port"] for port in rule.get("ports", ()))
    everywhere = {53, 4317}
    assert ports["registry"] == everywhere | {4333, 443, 5433}
    assert ports["console"] == everywhere | {4333, 5433}
    assert ports["inference"] == everywhere | {4333, 4318}
    assert ports["rollout"] == everywhere | {4333, 5433, 443, 6443}
    assert ports["smoke-test"] == everywhere
    assert ports["edge-agent"] == everywhere | {443, 8443, 4318}


@every_set
def test_the_ops_port_is_open_to_prometheus_only_where_it_is_wanted(values: str) -> None:
    wanted = values_of(values).get("monitoring", {}).get("podMonitor", {}).get("enabled", False)
    for policy in of_kind(objects(values), "NetworkPolicy"):
        rules = [
            rule
            for rule in policy["spec"].get("ingress") or ()
            if {"protocol": "TCP", "port": 7402} in rule.get("ports", ())
        ]
        name = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        assert len(rules) == int(wanted and name not in ("network", "smoke-test", "ray"))
        assert all(rule["from"] for rule in rules)


def test_only_workloads_know_where_they_run() -> None:
    for one in of_kind(objects("everything"), *_WORKLOADS):
        for name, value in environment(containers(one["spec"]["template"])[0]).items():
            assert "KUBERNETES" not in name + value
