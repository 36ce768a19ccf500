"""On a real API server every shape becomes ready under `restricted` and a quota, is upgraded, and leaves its data."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_cluster import Cluster
from chart_rendering import (
    CHART,
    HELM,
    VALUE_SETS,
    Object,
    chart,
    component,
    objects,
    of_kind,
    pod_templates,
    values_file,
)
from kept_releases import kept

_FOREIGN = {
    "cert-manager.io/v1": ["Certificate"],
    "external-secrets.io/v1": ["ExternalSecret"],
    "gateway.networking.k8s.io/v1": ["HTTPRoute", "GRPCRoute"],
    "keda.sh/v1alpha1": ["ScaledObject"],
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule"],
    "ray.io/v1": ["RayCluster"],
}


_ROLLOUT: Object = {
    "apiVersion": "onecode.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "pump", "namespace": "default"},
    "spec": {
        "model": "pump",
        "version": 3,
        "segments": ["cloud", "line-1"],
        "steps": [{"share": 10_000, "manualGate": False}],
    },
}


def _definition(group: str, version: str, kind: str) -> Object:
    plural = f"{kind.lower()}s"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        # The API server asks who allowed a name below k8s.io.
        "metadata": {"name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "unapproved, test"}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Cluster:
    """Return the control plane with the foreign kinds that the chart can render, from small schemas of our own."""
    kinds = [(*api.split("/"), kind) for api, kinds in _FOREIGN.items() for kind in kinds]
    cluster.apply(*[_definition(*one) for one in kinds])
    cluster.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "onecode-serving"},
            "value": 1,
        }
    )
    names = [f"crd/{kind.lower()}s.{group}" for group, _, kind in kinds]
    if cluster.kubectl("get", "crd/modelrollouts.onecode.dev", check=False).returncode:
        _, definitions = _previous()
        cluster.run("helm", "install", "onecode-crds", str(definitions), "-n", "default")
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/modelrollouts.onecode.dev")
        cluster.apply(_ROLLOUT)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return cluster


def _previous() -> tuple[Path, Path]:
    """Return the packaged charts of the newest release that is kept: the platform's and that of its definitions."""
    folder = kept()[-1]
    return folder / f"onecode-{folder.name}.tgz", folder / f"onecode-crds-{folder.name}.tgz"


def _previous_values(values: str) -> list[str]:
    """Return the options for a set of values as it was at that release."""
    return ["-f", str(kept()[-1] / f"values-{values}.yaml")] if values != "default" else []


def _install(kube: Cluster, namespace: str, *more: str, values: str = "default") -> None:
    file = values_file(values)
    words = ["-f", str(file)] if file else []
    kube.run("helm", "install", "oc", str(CHART), "-n", namespace, "--wait", "--timeout", "90s", *words, *more)


def _expected(values: str, nodes: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in of_kind(objects(values), "Deployment", "StatefulSet", "DaemonSet"):
        name = component(one["spec"]["template"])
        found[name] = nodes if one["kind"] == "DaemonSet" else one["spec"].get("replicas", 1)
    return found


@pytest.mark.parametrize("values", VALUE_SETS)
def test_every_shape_becomes_ready_is_tested_and_leaves_only_its_claims(kube: Cluster, values: str) -> None:
    namespace = kube.namespace(f"shape-{values}")
    _install(kube, namespace, values=values)
    nodes = len(kube.get("nodes")["items"])
    assert kube.ready(namespace) == _expected(values, nodes)
    kube.run("helm", "test", "oc", "-n", namespace, "--timeout", "60s")
    claims = {one["metadata"]["name"] for one in kube.get("pvc", "-n", namespace)["items"]}
    kube.run("helm", "uninstall", "oc", "-n", namespace, "--wait", "--timeout", "60s")
    assert {one["metadata"]["name"] for one in kube.get("pvc", "-n", namespace)["items"]} == claims
    left = kube.kubectl(
        "get", "all,cm,sa,netpol,pdb,ingress,role,rolebinding", "-n", namespace, "-o", "name"
    ).stdout.split()
    # The pod of `helm test` is a hook, which uninstalling leaves alone.
    assert {name for name in left if "oc" in name} <= {"pod/oc-onecode-smoke-test", "pod/oc-smoke-test"}


def _images(kube: Cluster, namespace: str) -> set[str]:
    found = kube.get("deployment,statefulset", "-n", namespace)["items"]
    return {one["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] for one in found}


def _identities(kube: Cluster, namespace: str) -> dict[str, str]:
    found = kube.get("statefulset,deployment,pvc,service", "-n", namespace)["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in found}


@pytest.mark.parametrize("values", ["default", "services"])
def test_a_release_lives_through_upgrade_failed_upgrade_and_rollback(kube: Cluster, values: str) -> None:
    """From the chart that was released, with the values of that time, to this one and back."""
    namespace, released, now = kube.namespace(f"life-{values}"), kept()[-1].name, chart().version
    words = _previous_values(values)
    upgrade = ["helm", "upgrade", "oc", str(CHART), "-n", namespace, "--wait", *words]
    kube.run("helm", "install", "oc", str(_previous()[0]), "-n", namespace, "--wait", "--timeout", "90s", *words)
    first = _identities(kube, namespace)
    assert _images(kube, namespace) == {released} != {now}

    kube.run(*upgrade, "--timeout", "60s")
    assert _images(kube, namespace) == {now}
    second = _identities(kube, namespace)
    assert {name: second.get(name) for name in first} == first, "nothing is made anew, nothing is taken away"

    failed = kube.run(*upgrade, "--timeout", "8s", "--rollback-on-failure", "--set", "imageTag=broken", check=False)
    assert failed.returncode != 0
    assert _images(kube, namespace) == {now}
    ready = ["--for=condition=Ready", "--timeout=60s", "-l", "app.kubernetes.io/component!=smoke-test"]
    kube.kubectl("wait", "pods", "-n", namespace, *ready)
    assert kube.ready(namespace) == _expected(values, 0)
    history = json.loads(kube.run("helm", "history", "oc", "-n", namespace, "-o", "json").stdout)
    assert [one["status"] for one in history][-2:] == ["failed", "deployed"]

    kube.run("helm", "rollback", "oc", "1", "-n", namespace, "--wait", "--timeout", "60s")
    assert _images(kube, namespace) == {released}
    assert _identities(kube, namespace) == first


def test_an_object_lives_through_an_upgrade_of_its_definition(kube: Cluster) -> None:
    """It was made under the definition that was released; this one is then put in its place, and taken back."""
    name = ["modelrollout", _ROLLOUT["metadata"]["name"], "-n", "default"]
    before = kube.get(*name)["metadata"]["uid"]
    for words in (["upgrade", "onecode-crds", str(HELM / "onecode-crds")], ["rollback", "onecode-crds", "1"]):
        kube.run("helm", *words, "-n", "default")
        after = kube.get(*name)
        assert after["metadata"]["uid"] == before
        assert after["spec"] | _ROLLOUT["spec"] == after["spec"]
    kube.run("helm", "upgrade", "onecode-crds", str(HELM / "onecode-crds"), "-n", "default")
    kube.apply(_ROLLOUT)


def test_the_shape_is_kept_on_claims_that_were_left(kube: Cluster) -> None:
    namespace = kube.namespace("again")
    _install(kube, namespace)
    before = kube.get("pvc", "home-oc-onecode-0", "-n", namespace)
    kube.run("helm", "uninstall", "oc", "-n", namespace, "--wait")
    _install(kube, namespace)
    after = kube.get("pvc", "home-oc-onecode-0", "-n", namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["volumeName"] == before["spec"]["volumeName"]


def test_an_autoscaler_is_not_fought_by_an_upgrade(kube: Cluster) -> None:
    namespace = kube.namespace("scaled")
    hpa = ["--set", "autoscaling.inference.kind=hpa", "--set", "autoscaling.inference.max=5"]
    _install(kube, namespace, *hpa, values="services")
    kube.kubectl("scale", "deployment/oc-onecode-inference", "-n", namespace, "--replicas=4")
    words = ["-f", str(values_file("services"))]
    kube.run("helm", "upgrade", "oc", str(CHART), "-n", namespace, "--wait", "--timeout", "60s", *words, *hpa)
    assert kube.get("deployment", "oc-onecode-inference", "-n", namespace)["spec"]["replicas"] == 4


def _token(kube: Cluster, namespace: str, account: str) -> str:
    return kube.kubectl("create", "token", account, "-n", namespace).stdout.strip()


def _allowed(kube: Cluster, token: str, namespace: str) -> set[tuple[str, str]]:
    """Return which of the questions the API server answers with yes to the bearer; all in one request of kubectl."""
    reviews = []
    for verb, resource in _QUESTIONS:
        name, _, below = resource.partition("/")
        plural, _, group = name.partition(".")
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "subresource": below}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        reviews.append(review | {"spec": {"resourceAttributes": asked}})
    text = yaml.safe_dump_all(reviews)
    words = ("create", "--validate=false", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}", "--token", token)
    answers = _bare(kube).kubectl(*words, text=text).stdout.split()
    return {one for one, answer in zip(_QUESTIONS, answers, strict=True) if answer == "true"}


def _bare(kube: Cluster) -> Cluster:
    """Return the same server without anybody's credentials."""
    path = kube.work / "bare-kubeconfig"
    if not path.exists():
        document: Any = yaml.safe_load(Path(kube.environment["KUBECONFIG"]).read_text())
        document["users"] = [{"name": one["name"], "user": {}} for one in document["users"]]
        path.write_text(yaml.safe_dump(document))
    return Cluster(kube.work, {**kube.environment, "KUBECONFIG": str(path)})


_RIGHTS = {
    ("get", "modelrollouts.onecode.dev"), ("list", "modelrollouts.onecode.dev"), ("watch", "modelrollouts.onecode.dev"),
    ("patch", "modelrollouts.onecode.dev/status"),
}  # fmt: skip
_ASKED = (
    "modelrollouts.onecode.dev",
    "modelrollouts.onecode.dev/status",
    "secrets",
    "pods",
    "leases.coordination.k8s.io",
)
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
_QUESTIONS = [(verb, resource) for resource in _ASKED for verb in _VERBS]


def test_every_account_may_do_exactly_what_its_role_says(kube: Cluster) -> None:
    namespace, other = kube.namespace("rights"), kube.namespace("rights-elsewhere")
    _install(kube, namespace, "--set", "rollout.customResource.enabled=true", values="services")
    accounts = {pod["spec"]["serviceAccountName"] for _, pod in pod_templates(objects("services"))}
    token = _token(kube, namespace, "oc-onecode-rollout")
    assert _allowed(kube, token, namespace) == _RIGHTS
    assert not _allowed(kube, token, other)
    for account in sorted(accounts - {"oc-onecode-rollout"}):
        assert not _allowed(kube, _token(kube, namespace, account), namespace), account


def test_a_secret_is_refused_to_the_only_account_with_a_token(kube: Cluster) -> None:
    token = _token(kube, "rights", "oc-onecode-rollout")
    refused = _bare(kube).kubectl("get", "secrets", "-n", "rights", "--token", token, check=False)
    assert "forbidden" in refused.stderr.lower()


def _spread(kube: Cluster, namespace: str) -> list[str]:
    zones = {
        one["metadata"]["name"]: one["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for one in kube.get("nodes")["items"]
    }
    pods = kube.get("pods", "-n", namespace, "-l", "app.kubernetes.io/component=inference")["items"]
    return sorted(zones[pod["spec"]["nodeName"]] for pod in pods)


def test_three_replicas_lie_in_three_zones_and_only_one_may_be_taken_at_a_time(kube: Cluster) -> None:
    namespace = kube.namespace("budget")
    _install(kube, namespace, "--set", "services.inference.replicas=3", values="services")
    assert len(set(_spread(kube, namespace))) == 3
    pods = kube.get("pods", "-n", namespace, "-l", "app.kubernetes.io/component=inference")["items"]
    nodes = [one["metadata"]["name"] for one in kube.get("nodes")["items"]]
    kube.kubectl("cordon", *nodes)  # what is evicted cannot come back meanwhile
    try:
        answers = [_evict(kube, namespace, pod["metadata"]["name"]) for pod in pods[:2]]
    finally:
        kube.kubectl("uncordon", *nodes)
    assert answers[0] == ""
    assert "disruption budget" in answers[1]
    kube.kubectl("rollout", "status", "deployment/oc-onecode-inference", "-n", namespace, "--timeout=60s")
    node = kube.get("pods", "-n", namespace, "-l", "app.kubernetes.io/component=inference")["items"][0]["spec"][
        "nodeName"
    ]
    try:
        chosen = "--pod-selector=app.kubernetes.io/component=inference"
        kube.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", chosen)
        kube.kubectl("rollout", "status", "deployment/oc-onecode-inference", "-n", namespace, "--timeout=60s")
    finally:
        kube.kubectl("uncordon", node)


def _evict(kube: Cluster, namespace: str, pod: str) -> str:
    """Return the API server's refusal, or an empty text."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    done = kube.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(body), check=False)
    return done.stderr if done.returncode else ""


def test_a_folder_of_the_node_is_refused_where_the_namespace_is_restricted(kube: Cluster) -> None:
    namespace = kube.namespace("node-folder")
    file = kube.work / "edge.yaml"
    file.write_text(
        yaml.safe_dump({"edgeAgent": {"enabled": True, "existingSecret": "g", "hostPath": "/var/lib/onecode-edge"}})
    )
    kube.run("helm", "install", "oc", str(CHART), "-n", namespace, "-f", str(file))
    one = [
        "daemonset/oc-onecode-edge-agent",
        "-n",
        namespace,
        "--for=jsonpath={.status.desiredNumberScheduled}=3",
        "--timeout=30s",
    ]
    kube.kubectl("wait", *one)
    assert kube.ready(namespace).get("edge-agent") is None
