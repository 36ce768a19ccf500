"""Every pod that the chart renders anywhere keeps the same rules: restricted, bounded, probed, and ended with care."""

import re
from fractions import Fraction

import pytest
from chart_rendering import (
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

from onecode_inference.settings import InferenceSettings
from onecode_serving.data_plane import LONGEST_DEADLINE_S
from onecode_standalone.supervisor import STOP_ALL_S

_VOLUMES = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_SHORT_LIVED = ("smoke-test", "ray")
_UNITS = {"": 1, "m": Fraction(1, 1000), "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
every_set = pytest.mark.parametrize("values", VALUE_SETS)

_STOPS_IN_S = {"inference": LONGEST_DEADLINE_S, "platform": STOP_ALL_S, "training": 20, "edge-agent": 10}
"""What a process may need after SIGTERM; everybody else finishes within ten seconds."""


def quantity(text: object) -> Fraction:
    matched = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert matched, text
    return Fraction(matched[1]) * _UNITS[matched[2]]


@every_set
def test_pods_and_containers_are_restricted(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, label
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, label
        assert "runAsUser" not in spec["securityContext"], label
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), label
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, label
            assert not [port for port in container.get("ports", ()) if "hostPort" in port], label


@every_set
def test_volumes_are_of_harmless_kinds_and_bounded(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        names = {volume["name"] for volume in pod["spec"]["volumes"]}
        claimed = {"home"} if label.startswith("StatefulSet/") else set()
        for volume in pod["spec"]["volumes"]:
            kind = (set(volume) - {"name"}).pop()
            assert kind in _VOLUMES, label
            assert kind != "emptyDir" or volume["emptyDir"]["sizeLimit"], label
            assert kind != "secret" or volume["secret"]["defaultMode"] == 0o440, label
        for container in containers(pod):
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            assert mounts == names | (claimed & mounts), label
            assert "tmp" in mounts, label


@every_set
def test_every_container_asks_for_what_it_may_use(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        for container in containers(pod):
            resources = container["resources"]
            assert quantity(resources["requests"]["cpu"]) > 0, label
            assert resources["limits"]["memory"] == resources["requests"]["memory"], label
            assert ("cpu" in resources["limits"]) is (component(pod) == "inference"), label


@every_set
def test_shared_memory_fits_into_the_pods_memory(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        shared = [volume["emptyDir"]["sizeLimit"] for volume in pod["spec"]["volumes"]
                  if volume.get("emptyDir", {}).get("medium") == "Memory"]  # fmt: skip
        for size in shared:
            assert quantity(size) * 4 <= quantity(containers(pod)[0]["resources"]["limits"]["memory"]), label


@every_set
def test_probes_ask_the_ops_port_three_different_questions(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        (container,) = containers(pod)
        if component(pod) in _SHORT_LIVED:
            continue
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        assert {probe["httpGet"]["port"] for probe in probes} == {"ops"}, label
        assert [probe["httpGet"]["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"], label
        assert len({(probe["periodSeconds"], probe["failureThreshold"]) for probe in probes}) == 3, label
        assert {"name": "ops", "containerPort": 7402, "protocol": "TCP"} in container["ports"], label


@every_set
def test_start_and_stop_have_time_enough(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        (container,) = containers(pod)
        if component(pod) in _SHORT_LIVED:
            continue
        startup = container["startupProbe"]
        long = component(pod) in ("inference", "platform")
        assert startup["periodSeconds"] * startup["failureThreshold"] >= (300 if long else 120), label
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > pause + _STOPS_IN_S.get(component(pod), 10), label


@pytest.mark.parametrize("seconds", [20, 45, 600])
def test_inference_drains_within_the_grace_period_that_it_is_given(seconds: int) -> None:
    found = render(values_of("services") | {"services": {"inference": {"gracePeriodSeconds": seconds}}})
    (pod,) = [pod for _, pod in pod_templates(found) if component(pod) == "inference"]
    (container,) = containers(pod)
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    given = {name.removeprefix("ONECODE_INFERENCE_").lower(): value for name, value in environment(container).items()}
    settings = InferenceSettings.model_validate({name: given[name] for name in ("drain_notice_s", "drain_grace_s")})
    assert settings.drain_notice_s >= pause
    assert settings.drain_grace_s >= (LONGEST_DEADLINE_S if seconds >= 45 else 5)
    assert pause + settings.drain_notice_s + settings.drain_grace_s < pod["spec"]["terminationGracePeriodSeconds"]


@every_set
def test_a_token_is_mounted_exactly_where_a_role_is_bound(values: str) -> None:
    bound = {subject["name"] for one in of_kind(objects(values), "RoleBinding") for subject in one["subjects"]}
    for label, pod in pod_templates(objects(values)):
        assert pod["spec"]["automountServiceAccountToken"] is (pod["spec"]["serviceAccountName"] in bound), label
        assert pod["spec"]["enableServiceLinks"] is False, label
    for account in of_kind(objects(values), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@every_set
def test_every_component_has_an_account_of_its_own(values: str) -> None:
    accounts = {one["metadata"]["name"] for one in of_kind(objects(values), "ServiceAccount")}
    used = {(component(pod), pod["spec"]["serviceAccountName"]) for _, pod in pod_templates(objects(values))}
    assert {name for _, name in used} == accounts
    assert len(used) == len(accounts)


@every_set
def test_secrets_come_as_files_never_as_variables(values: str) -> None:
    for label, pod in pod_templates(objects(values)):
        for container in containers(pod):
            assert "envFrom" not in container, label
            for one in container.get("env", ()):
                assert set(one) == {"name", "value"} or one["valueFrom"].keys() == {"fieldRef"}, label


@every_set
def test_a_budget_stands_exactly_where_there_are_several_replicas(values: str) -> None:
    budgets = of_kind(objects(values), "PodDisruptionBudget")
    several = [one for one in of_kind(objects(values), "Deployment") if one["spec"].get("replicas", 2) > 1]
    assert len(budgets) == len(several)
    for budget in budgets:
        selector = budget["spec"]["selector"]["matchLabels"]
        assert sum(selects(selector, one["spec"]["template"]["metadata"]["labels"]) for one in several) == 1
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_set
def test_every_service_selects_exactly_one_workload_and_names_its_ports(values: str) -> None:
    workloads = of_kind(objects(values), *_WORKLOADS)
    for service in of_kind(objects(values), "Service"):
        selector = service["spec"]["selector"]
        chosen = [one for one in workloads if selects(selector, one["spec"]["template"]["metadata"]["labels"])]
        assert len(chosen) == 1, service["metadata"]["name"]
        named = {port["name"]: port["containerPort"] for port in containers(chosen[0]["spec"]["template"])[0]["ports"]}
        for port in service["spec"]["ports"]:
            assert named[port["targetPort"]] == port["port"]
            assert port["targetPort"] != "ops"


@every_set
def test_one_writer_never_gets_company(values: str) -> None:
    for one in of_kind(objects(values), *_WORKLOADS):
        claims = one["kind"] == "StatefulSet"
        if claims:
            assert one["spec"]["replicas"] == 1
            assert one["spec"]["podManagementPolicy"] == "Parallel"
            assert one["spec"]["persistentVolumeClaimRetentionPolicy"] == {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            }
        elif one["kind"] == "Deployment" and "strategy" in one["spec"]:
            single = component(one["spec"]["template"]) == "rollout"
            expected = {"type": "Recreate"} if single else {
                "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}  # fmt: skip
            assert one["spec"]["strategy"] == expected


def test_replicas_are_spread_over_zones_and_hosts() -> None:
    for one in of_kind(objects("production"), "Deployment"):
        spec = one["spec"]["template"]["spec"]
        (constraint,) = spec["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]


def _pods(values: Object) -> dict[str, Object]:
    return {component(pod): pod for _, pod in pod_templates(render(values))}


_HATCHES: dict[str, object] = {
    "podLabels": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]}}},
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    "env": {"TZ": "UTC"},
    "gracePeriodSeconds": 77,
    "startupSeconds": 600,
    "tmpSize": "3Gi",
}  # fmt: skip


@pytest.mark.parametrize("name", [*SERVICES, "single", "edgeAgent"])
def test_every_hatch_of_a_workload_lands_in_its_pod_and_no_other(name: str) -> None:
    base = {} if name == "single" else values_of("services")
    base["edgeAgent"] = {"enabled": True, "existingSecret": "gateways"}
    plain = _pods(base)
    if name in ("single", "edgeAgent"):
        base[name] = base.get(name, {}) | _HATCHES
    else:
        base["services"] = {name: _HATCHES}
    pods = _pods(base)
    mine = {"single": "platform", "edgeAgent": "edge-agent"}.get(name, name)
    assert {other for other in pods if pods[other] != plain[other]} == {mine}
    spec, metadata = pods[mine]["spec"], pods[mine]["metadata"]
    for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName"):
        assert spec[key] == _HATCHES[key]
    assert spec["terminationGracePeriodSeconds"] == 77
    assert metadata["labels"]["a"] == metadata["annotations"]["a"] == "b"
    assert {"name": "ca", "configMap": {"name": "ca"}} in spec["volumes"]
    container = spec["containers"][0]
    assert {"name": "ca", "mountPath": "/ca"} in container["volumeMounts"]
    assert {"name": "TZ", "value": "UTC"} in container["env"]
    assert container["startupProbe"]["failureThreshold"] == 300


def test_the_group_of_volumes_can_be_left_to_the_platform() -> None:
    chosen = _pods(values_of("services") | {"workload": {"fsGroup": None}})
    assert not [pod for pod in chosen.values() if "fsGroup" in pod["spec"]["securityContext"]]


def test_a_gpu_is_asked_for_and_limited() -> None:
    values = {"single": {"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}}}
    resources = containers(_pods(values)["platform"])[0]["resources"]
    assert resources["limits"] == {"memory": "4Gi", "nvidia.com/gpu": 1}
    assert resources["requests"]["nvidia.com/gpu"] == 1


def test_an_existing_claim_is_used_instead_of_a_new_one() -> None:
    found = render({"single": {"storage": {"existingClaim": "mine"}}})
    (one,) = of_kind(found, "StatefulSet")
    assert "volumeClaimTemplates" not in one["spec"]
    assert {"name": "home", "persistentVolumeClaim": {"claimName": "mine"}} in one["spec"]["template"]["spec"][
        "volumes"
    ]
