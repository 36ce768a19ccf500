"""What is rendered depends on values alone, and every object is one that Kubernetes and a platform team take."""

import json
import re

import kubernetes_validate
import pytest
from chart_rendering import (
    CHART,
    NAMESPACE,
    VALUE_SETS,
    Object,
    chart,
    identity,
    manifests,
    objects,
    of_kind,
    render,
    values_of,
)
from helm_python.chart import lint

_OURS = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")
_LABELS = {
    *_OURS,
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}
_FOREIGN = (
    "cert-manager.io", "external-secrets.io", "gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com", "ray.io",
)  # fmt: skip
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")

every_set = pytest.mark.parametrize("values", VALUE_SETS)


def _is_foreign(one: Object) -> bool:
    return one["apiVersion"].startswith(_FOREIGN)


@every_set
def test_two_renderings_are_the_same_bytes(values: str) -> None:
    assert manifests(values_of(values)) == manifests(values_of(values))


@every_set
def test_a_rendering_asks_nothing_but_values(values: str) -> None:
    fresh = chart().render(values_of(values), name="oc", namespace=NAMESPACE, is_install=True, revision=1)
    later = chart().render(values_of(values), name="oc", namespace=NAMESPACE, is_upgrade=True, revision=7)
    assert fresh == later


def test_templates_call_nothing_that_looks_around_or_throws_dice() -> None:
    words = re.compile(
        r"\b(lookup|rand\w+|uuidv4|now|date|genCA|gen\w*Cert\w*|genPrivateKey|Capabilities|getHostByName)\b"
    )
    for path in CHART.rglob("templates/**/*"):
        if path.is_file():
            actions = re.findall(
                r"{{-?(.*?)-?}}", re.sub(r"{{-? */\*.*?\*/ *-?}}", "", path.read_text(), flags=re.DOTALL), re.DOTALL
            )
            assert not [action for action in actions if words.search(action)], path


@every_set
def test_lint_has_nothing_to_say(values: str) -> None:
    found = lint(CHART, values_of(values), namespace=NAMESPACE)
    assert "ERROR" not in json.dumps(found)
    assert "WARNING" not in json.dumps(found)


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
@every_set
def test_the_official_schemas_take_every_object(values: str, version: str) -> None:
    for one in objects(values):
        if not _is_foreign(one):
            kubernetes_validate.validate(one, version, strict=True)


@every_set
def test_names_and_label_values_fit(values: str) -> None:
    for one in objects(values):
        assert len(one["metadata"]["name"]) <= 63, identity(one)
        for value in (one["metadata"].get("labels") or {}).values():
            assert re.fullmatch(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?", value)


def test_a_long_release_name_still_gives_names_that_fit() -> None:
    for one in render(values_of("everything"), release="r" * 53):
        assert len(one["metadata"]["name"]) <= 63, identity(one)


@every_set
def test_labels_are_complete(values: str) -> None:
    for one in objects(values):
        if identity(one) != ("ConfigMap", "oc-extra"):
            assert set(one["metadata"]["labels"]) >= _LABELS, identity(one)
            assert one["metadata"]["namespace"] == NAMESPACE


@every_set
def test_no_object_is_a_secret_and_none_is_large(values: str) -> None:
    assert not of_kind(objects(values), "Secret")
    for one in objects(values):
        assert len(json.dumps(one)) < 200_000, identity(one)


@every_set
def test_names_are_unique(values: str) -> None:
    names = [identity(one) for one in objects(values)]
    assert len(names) == len(set(names))


@every_set
def test_the_only_hook_is_the_pod_of_helm_test(values: str) -> None:
    hooks = [(one["kind"], one["metadata"]["annotations"]["helm.sh/hook"]) for one in objects(values)
             if "helm.sh/hook" in (one["metadata"].get("annotations") or {})]  # fmt: skip
    assert hooks == [("Pod", "test")]


@every_set
def test_every_right_is_a_role_of_the_namespace_with_named_verbs(values: str) -> None:
    assert not of_kind(objects(values), "ClusterRole", "ClusterRoleBinding")
    for role in of_kind(objects(values), "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert "secrets" not in rule["resources"]


def test_an_installation_with_default_values_needs_no_foreign_api() -> None:
    assert not [one for one in objects("default") if _is_foreign(one)]
    assert not [one for one in objects("services") if _is_foreign(one)]


@every_set
def test_the_number_of_replicas_is_left_to_a_scaler(values: str) -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in of_kind(objects(values), "HorizontalPodAutoscaler", "ScaledObject")
    }
    for one in of_kind(objects(values), "Deployment"):
        assert ("replicas" in one["spec"]) is (one["metadata"]["name"] not in scaled)


def test_a_changed_setting_restarts_exactly_the_service_it_belongs_to() -> None:
    changed = values_of("services") | {"services": {"training": {"env": {"ONECODE_TRAINING_PARALLEL_RUNS": "3"}}}}
    before = {identity(one): one for one in objects("services")}
    after = {identity(one): one for one in render(changed)}
    assert [name for name in before if before[name] != after[name]] == [("StatefulSet", "oc-onecode-training")]


def test_a_new_version_of_the_chart_alone_restarts_nothing() -> None:
    for one in of_kind(objects("services"), *_WORKLOADS):
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)
