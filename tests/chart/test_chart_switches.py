"""Each switch adds exactly its own objects, and nothing else changes but what belongs to it."""

from collections.abc import Mapping
from typing import Any

import pytest
from chart_rendering import Object, identity, of_kind, render, values_of

_HOSTS = {
    "console": "console.test",
    "predict": "predict.test",
    "predictGrpc": "grpc.test",
    "edge": "",
    "distribution": "",
}
_DATABASE = {"database": {"existingSecret": "postgresql"}}

_ADDED: list[tuple[str, Object, set[tuple[str, str]]]] = [
    (
        "route",
        {"network": {"route": {"enabled": True, "gateways": [{"name": "g"}], "hosts": _HOSTS}}},
        {
            ("HTTPRoute", "oc-onecode-console"),
            ("HTTPRoute", "oc-onecode-predict"),
            ("GRPCRoute", "oc-onecode-predict-grpc"),
        },
    ),
    (
        "ingress",
        {"network": {"ingress": {"enabled": True, "hosts": _HOSTS}}},
        {("Ingress", "oc-onecode-http"), ("Ingress", "oc-onecode-grpc")},
    ),
    (
        "certificate",
        {
            "network": {
                "certificate": {"enabled": True, "issuer": {"name": "i"}},
                "ingress": {"enabled": True, "hosts": {"console": "console.test"}},
            }
        },
        {("Certificate", "oc-onecode"), ("Ingress", "oc-onecode-http")},
    ),
    ("rules", {"monitoring": {"rules": {"enabled": True}}}, {("PrometheusRule", "oc-onecode")}),
    (
        "dashboards",
        {"monitoring": {"dashboards": {"enabled": True}}},
        {("ConfigMap", "oc-onecode-dashboard-platform"), ("ConfigMap", "oc-onecode-dashboard-predictions")},
    ),
    ("hpa", {"autoscaling": {"inference": {"kind": "hpa"}}}, {("HorizontalPodAutoscaler", "oc-onecode-inference")}),
    (
        "keda",
        {"autoscaling": {"inference": {"kind": "keda", "prometheusUrl": "http://p:9090"}}},
        {("ScaledObject", "oc-onecode-inference")},
    ),
    (
        "custom-resource",
        {"rollout": {"customResource": {"enabled": True}}},
        {("Role", "oc-onecode-rollout"), ("RoleBinding", "oc-onecode-rollout")},
    ),
    (
        "external-secrets",
        {"externalSecrets": {"enabled": True, "store": {"name": "v"}}},
        {
            ("ExternalSecret", name)
            for name in (
                "onecode-public",
                "onecode-api",
                "onecode-console",
                "onecode-inference",
                "onecode-ingestion",
                "onecode-registry",
                "onecode-rollout",
                "onecode-training",
                "s3",
            )
        },
    ),
    (
        "ray",
        {"training": {"ray": {"mode": "cluster"}}},
        {("RayCluster", "oc-onecode-ray"), ("ServiceAccount", "oc-onecode-ray"), ("NetworkPolicy", "oc-onecode-ray")},
    ),
    (
        "edge",
        {"edgeAgent": {"enabled": True, "existingSecret": "gateways"}},
        {(kind, "oc-onecode-edge-agent") for kind in ("DaemonSet", "Service", "ServiceAccount", "NetworkPolicy")},
    ),
    (
        "extra",
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}}]},
        {("ConfigMap", "oc-x")},
    ),
    ("pod-monitor", {"monitoring": {"podMonitor": {"enabled": True}}}, {("PodMonitor", "oc-onecode")}),
    ("address", {"training": {"ray": {"mode": "address", "address": "ray://ray:10001"}}}, set()),
    ("mlflow", {"mlflow": {"url": "http://mlflow:5000"}}, set()),
]


def _by_identity(values: Mapping[str, Any]) -> dict[tuple[str, str], Object]:
    return {identity(one): one for one in render(values)}


@pytest.mark.parametrize(("values", "added"), [one[1:] for one in _ADDED], ids=[one[0] for one in _ADDED])
def test_a_switch_adds_exactly_its_objects(values: Object, added: set[tuple[str, str]]) -> None:
    without, with_it = _by_identity(values_of("services")), _by_identity(values_of("services") | values)
    assert set(with_it) - set(without) == added
    assert not set(without) - set(with_it)


_CHANGED: dict[str, set[str]] = {
    "route": set(),
    "ingress": set(),
    "certificate": set(),
    "rules": set(),
    "dashboards": set(),
    "external-secrets": set(),
    "extra": set(),
    "mlflow": {"StatefulSet/oc-onecode-registry", "NetworkPolicy/oc-onecode-registry"},
    "custom-resource": {"StatefulSet/oc-onecode-rollout", "NetworkPolicy/oc-onecode-rollout"},
    "address": {"StatefulSet/oc-onecode-training", "NetworkPolicy/oc-onecode-training"},
    "ray": {"StatefulSet/oc-onecode-training", "NetworkPolicy/oc-onecode-training"},
    "edge": {"NetworkPolicy/oc-onecode-rollout", "NetworkPolicy/oc-onecode-registry"},
    "keda": {"Deployment/oc-onecode-inference"},
    "hpa": {"Deployment/oc-onecode-inference"},
}


@pytest.mark.parametrize("name", _CHANGED)
def test_a_switch_changes_nothing_else(name: str) -> None:
    values = next(one[1] for one in _ADDED if one[0] == name)
    without, with_it = _by_identity(values_of("services")), _by_identity(values_of("services") | values)
    changed = {"/".join(key) for key in without if without[key] != with_it[key]}
    assert changed == _CHANGED[name]


def test_the_policies_can_be_left_out() -> None:
    assert not of_kind(render({"network": {"policy": {"enabled": False}}}), "NetworkPolicy")


def test_the_smoke_test_can_be_left_out() -> None:
    assert not of_kind(render({"smokeTest": {"enabled": False}}), "Pod")


def test_a_database_makes_deployments_of_those_who_keep_nothing_else() -> None:
    names = {identity(one) for one in render(values_of("services") | _DATABASE)}
    assert {("Deployment", "oc-onecode-rollout"), ("Deployment", "oc-onecode-console")} < names
    assert {("StatefulSet", f"oc-onecode-{service}") for service in ("ingestion", "training", "registry")} < names


def test_a_folder_of_the_node_is_used_only_where_it_is_asked_for() -> None:
    edge = {"edgeAgent": {"enabled": True, "existingSecret": "g", "hostPath": "/var/lib/onecode-edge"}}
    (one,) = of_kind(render(edge), "DaemonSet")
    home = next(volume for volume in one["spec"]["template"]["spec"]["volumes"] if volume["name"] == "home")
    assert home["hostPath"] == {"path": "/var/lib/onecode-edge", "type": "DirectoryOrCreate"}


def test_routes_and_ingress_lead_to_the_faces_and_open_no_inner_path() -> None:
    found = render(values_of("everything"))
    paths = {
        one["metadata"]["name"]: one["spec"]["rules"][0]["matches"][0]["path"]["value"]
        for one in of_kind(found, "HTTPRoute")
    }
    assert paths == {"oc-console": "/", "oc-predict": "/v2", "oc-edge": "/edge", "oc-distribution": "/distribution"}
    services = {
        one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]} for one in of_kind(found, "Service")
    }
    for route in of_kind(found, "HTTPRoute", "GRPCRoute"):
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        assert backend["port"] in services[backend["name"]]
    for ingress in of_kind(found, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"]["port"]["number"] in services[path["backend"]["service"]["name"]]


def test_one_certificate_names_every_host() -> None:
    (one,) = of_kind(render(values_of("everything")), "Certificate")
    assert one["spec"]["dnsNames"] == sorted(
        f"{name}.example.test" for name in ("console", "predict", "grpc", "edge", "models")
    )


def test_one_host_may_carry_several_faces() -> None:
    hosts = dict.fromkeys(("console", "predict", "edge", "distribution"), "one.test")
    (one,) = of_kind(render({"network": {"ingress": {"enabled": True, "hosts": hosts}}}), "Ingress")
    (rule,) = one["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} == {"/", "/v2", "/edge", "/distribution"}


def test_the_ray_cluster_is_made_of_the_shape_of_every_pod() -> None:
    (one,) = of_kind(render(values_of("everything")), "RayCluster")
    groups = [one["spec"]["headGroupSpec"], *one["spec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == "registry.example.test/mirror/onecode/training:0.1.0"
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
