"""Each switch adds exactly its own objects, and nothing else changes but what belongs to it."""

from collections.abc import Mapping
from typing import Any

import pytest
from chart_rendering import (
    Object,
    chart,
    containers,
    environment,
    identity,
    of_kind,
    pod_templates,
    render,
    values_of,
)

from onecode_inference.settings import InferenceSettings

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
        {
            (kind, "oc-onecode-edge-agent")
            for kind in ("DaemonSet", "Service", "ServiceAccount", "NetworkPolicy", "PersistentVolumeClaim")
        },
    ),
    (
        "extra",
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}}]},
        {("ConfigMap", "oc-x")},
    ),
    ("pod-monitor", {"monitoring": {"podMonitor": {"enabled": True}}}, {("PodMonitor", "oc-onecode")}),
    ("address", {"training": {"ray": {"mode": "address", "address": "ray://ray:10001"}}}, set()),
    ("mlflow", {"mlflow": {"url": "http://mlflow:5000"}}, set()),
    ("traces", {"monitoring": {"traces": {"otlpEndpoint": "http://collector:4318"}}}, set()),
]


def _by_identity(values: Mapping[str, Any]) -> dict[tuple[str, str], Object]:
    return {identity(one): one for one in render(values)}


@pytest.mark.parametrize(("values", "added"), [one[1:] for one in _ADDED], ids=[one[0] for one in _ADDED])
def test_a_switch_adds_exactly_its_objects(values: Object, added: set[tuple[str, str]]) -> None:
    without, with_it = _by_identity(values_of("services")), _by_identity(values_of("services") | values)
    assert set(with_it) - set(without) == added
    assert not set(without) - set(with_it)


_CHANGED: dict[str, set[str]] = {
    # Callers then come from few addresses.
    "route": {"Deployment/oc-onecode-inference"},
    "ingress": {"Deployment/oc-onecode-inference"},
    "certificate": {"Deployment/oc-onecode-inference"},
    "rules": set(),
    "dashboards": set(),
    "external-secrets": set(),
    "extra": set(),
    "mlflow": {"StatefulSet/oc-onecode-registry", "NetworkPolicy/oc-onecode-registry"},
    "traces": {"Deployment/oc-onecode-inference", "NetworkPolicy/oc-onecode-inference"},
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


def _agent_home(**values: object) -> tuple[Object, Object, list[Object]]:
    """Return the agent's volume, its mount, and the claims that the chart makes for it."""
    found = render({"edgeAgent": {"enabled": True, "existingSecret": "g", **values}})
    (one,) = of_kind(found, "DaemonSet")
    pod = one["spec"]["template"]["spec"]
    mounts = pod["containers"][0]["volumeMounts"]
    volume, mount = (next(part for part in parts if part["name"] == "home") for parts in (pod["volumes"], mounts))
    return volume, mount, of_kind(found, "PersistentVolumeClaim")


def test_each_node_keeps_its_identity_in_its_own_folder_of_a_claim_that_outlives_the_release() -> None:
    volume, mount, (claim,) = _agent_home(storage={"accessMode": "ReadWriteMany"})
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert mount["subPathExpr"] == "$(NODE_NAME)"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_claim_that_is_there_is_used_instead() -> None:
    volume, mount, claims = _agent_home(storage={"existingClaim": "mine"})
    assert (volume["persistentVolumeClaim"], mount["subPathExpr"]) == ({"claimName": "mine"}, "$(NODE_NAME)")
    assert claims == []


def test_a_folder_of_the_node_is_used_only_where_it_is_asked_for() -> None:
    volume, mount, claims = _agent_home(hostPath="/var/lib/onecode-edge")
    assert volume["hostPath"] == {"path": "/var/lib/onecode-edge", "type": "DirectoryOrCreate"}
    assert "subPathExpr" not in mount
    assert claims == []


_FEW_ADDRESSES: list[Object] = [
    {"network": {"route": {"enabled": True, "gateways": [{"name": "g"}], "hosts": _HOSTS}}},
    {"network": {"ingress": {"enabled": True, "hosts": _HOSTS}}},
    {"workload": {"service": {"type": "LoadBalancer"}}},
]


@pytest.mark.parametrize("shape", ["default", "services"])
@pytest.mark.parametrize("values", _FEW_ADDRESSES, ids=["route", "ingress", "balancer"])
def test_callers_behind_few_addresses_are_not_refused_as_one(shape: str, values: Object) -> None:
    name = "ONECODE_INFERENCE_MAX_CONNECTIONS_PER_ADDRESS"

    def bounds(given: Object) -> list[str]:
        pods = [pod for _, pod in pod_templates(render(given))]
        return [found[name] for pod in pods if name in (found := environment(containers(pod)[0]))]

    assert bounds(values_of(shape)) == []
    assert bounds(values_of(shape) | values) == [str(InferenceSettings.model_fields["max_connections"].default)]


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
        assert container["image"] == f"registry.example.test/mirror/onecode/training:{chart().version}"
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
