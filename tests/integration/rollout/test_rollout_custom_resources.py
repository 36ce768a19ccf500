"""ModelRollout objects on a real API server, followed by a real rollout process.

``ONECODE_TEST_KUBE`` names a folder whose program ``up`` starts an API server; without it nothing of this is run.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onecode.rollout.v1 import rollout_pb2 as pb

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "onecode-crds"
NAMESPACE = "line"


class Cluster:
    """An API server with our definition installed by Helm."""

    def __init__(self, tool: Path, work: Path) -> None:
        self._tool, self._work = tool, work
        started = subprocess.run([tool / "up", work, "--api-only"], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        document = json.loads(started.stdout.splitlines()[-1])
        self.kubeconfig, self._assets = Path(document["kubeconfig"]), Path(document["assets"])
        self._pid = int(document["pids"]["kube-apiserver"])
        self.helm("install", "crds", CHART)
        self.kubectl("create", "namespace", NAMESPACE)
        wait_until(lambda: self.refusal("get", "modelrollouts") == "", "the definition to be served")

    def helm(self, *words: object) -> str:
        """Run Helm."""
        return self._run("helm", *words)

    def kubectl(self, *words: object, stdin: str = "") -> str:
        """Run kubectl in the namespace of the tests; fail where it fails."""
        return self._run("kubectl", "-n", NAMESPACE, *words, stdin=stdin)

    def refusal(self, *words: object, stdin: str = "") -> str:
        """Run kubectl and return what it complains of."""
        done = self._start("kubectl", "-n", NAMESPACE, *words, stdin=stdin)
        return done.stderr if done.returncode else ""

    def apply(self, name: str, spec: dict[str, Any], *words: object) -> None:
        """Apply an object."""
        self.kubectl("apply", *words, "-f", "-", stdin=manifest(name, spec))

    def patch(self, name: str, **spec: Any) -> None:
        """Change an object's spec."""
        self.kubectl("patch", "modelrollout", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name: str) -> dict[str, Any]:
        """Return an object's status; empty where there is none, or nobody answers."""
        done = self._start("kubectl", "-n", NAMESPACE, "get", "modelrollout", name, "-o", "json")
        found: dict[str, Any] = json.loads(done.stdout).get("status", {}) if done.returncode == 0 else {}
        return found

    def kill(self) -> None:
        """Kill the API server."""
        os.kill(self._pid, signal.SIGKILL)

    def start_again(self) -> None:
        """Start the API server that was killed; another program may have its port for a minute."""
        program = [sys.executable, str(self._tool / "control_plane.py"), "restart", str(self._work), "kube-apiserver"]
        end = time.monotonic() + 120
        while (done := subprocess.run(program, capture_output=True, text=True, check=False)).returncode != 0:
            assert time.monotonic() < end, done.stderr
            time.sleep(2)
        self._pid = int(json.loads(done.stdout.splitlines()[-1])["pids"]["kube-apiserver"])

    def down(self) -> None:
        """End its processes."""
        subprocess.run([self._tool / "down", self._work], check=True, capture_output=True)

    def _run(self, program: str, *words: object, stdin: str = "") -> str:
        done = self._start(program, *words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _start(self, program: str, *words: object, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._assets / program, *(str(word) for word in words)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )


def manifest(name: str, spec: dict[str, Any]) -> str:
    """Return an object as JSON."""
    return json.dumps(
        {"apiVersion": "onecode.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": name}, "spec": spec}
    )


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s for {what}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tool = os.environ.get("ONECODE_TEST_KUBE")
    if not tool:
        pytest.skip("ONECODE_TEST_KUBE is not set: ModelRollout objects were not tried on a real API server")
    found = Cluster(Path(tool), tmp_path_factory.mktemp("kube") / "cluster")
    yield found
    found.down()


@pytest.fixture(scope="module")
def platform(new_platform: Callable[[], Any], cluster: Cluster) -> Iterator[Any]:
    """A running rollout that follows objects."""
    found = new_platform()
    found.settings = {
        "CUSTOM_RESOURCES": "true",
        "CUSTOM_RESOURCES_NAMESPACE": NAMESPACE,
        "KUBECONFIG_FILE": str(cluster.kubeconfig),
    }
    found.start()
    assert found.bus.wait_connected(10)
    yield found
    found.stop()


class Story:
    """One object of a model of its own, and the members that answer for it."""

    def __init__(self, cluster: Cluster, members: Any) -> None:
        self.cluster, self.members = cluster, members
        self.name = f"{members.model}-v2"
        self.rollout_id = f"{NAMESPACE}:{self.name}"

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Return the spec of version 2."""
        where = ["cloud", self.members.segment]
        return {"model": self.members.model, "version": 2, "segments": where, "preset": "fast", **changes}

    def wait(self, state: str) -> dict[str, Any]:
        """Let the members act until the status tells a state."""

        def told() -> bool:
            self.members.tick()
            return self.cluster.status(self.name).get("state") == state

        wait_until(told, f"{self.name} to be {state}: {self.cluster.status(self.name)}")
        return self.cluster.status(self.name)

    def state(self) -> str:
        """Return what the database says."""
        return str(self.members.platform.get(self.rollout_id).state)


@pytest.fixture
def story(cluster: Cluster, members: Any, release_first: Callable[[], None]) -> Story:
    """A model whose version 1 is served."""
    release_first()
    return Story(cluster, members)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def test_an_object_is_created_promoted_and_reads_well(story: Story) -> None:
    story.cluster.apply(story.name, story.spec())
    running = story.wait("Running")
    assert (running["progress"], running["share"], running["stableVersion"]) == ("1/5", "5%", 1)
    header, row = story.cluster.kubectl("get", "modelrollouts", story.name).splitlines()
    assert header.split() == ["NAME", "MODEL", "VERSION", "STATE", "STEP", "SHARE", "READY", "AGE"]
    assert row.split()[:7] == [story.name, story.members.model, "2", "Running", "1/5", "5%", "False"]
    stub = story.members.platform.stub
    stub.PromoteRollout(pb.PromoteRolloutRequest(rollout_id=story.rollout_id, reason="a test", force=True))
    done = story.wait("Succeeded")
    assert conditions(done)["Ready"] == ("True", "Succeeded")
    assert done["observedGeneration"] == 1
    story.cluster.kubectl("wait", "modelrollout", story.name, "--for=condition=Ready", "--timeout=5s")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"model": "m", "version": 0, "segments": ["cloud"]}, "spec.version: Invalid value: 0"),
        ({"model": "m", "version": 1, "segments": []}, "spec.segments"),
        ({"model": "m", "version": 1, "segments": ["a", "a"]}, 'Duplicate value: "a"'),
        ({"model": "m", "version": 1, "segments": ["a"], "preset": "slow"}, 'supported values: "standard"'),
        ({"model": "m", "version": 1, "segments": ["a"], "steps": [{"share": 100}]}, "must have the share 10000"),
        (
            {"model": "m", "version": 1, "segments": ["a"], "steps": [{"share": 10_000}, {"share": 10_000}]},
            "two steps of spec.steps have the same share",
        ),
        ({"model": "m", "version": 1, "segments": ["a"], "advanceTo": 6}, "larger than the number of steps"),
        ({"model": "m", "version": 1, "segments": ["a"], "pause": True}, 'unknown field "spec.pause"'),
    ],
)
def test_a_spec_that_cannot_be_is_refused_by_the_api_server(cluster: Cluster, spec: dict[str, Any], said: str) -> None:
    assert said in cluster.refusal("create", "-f", "-", stdin=manifest("wrong", spec))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 3}, "spec.version cannot be changed: an object is one rollout of one version"),
        ({"model": "other"}, "spec.model cannot be changed"),
        ({"segments": ["cloud", "more"]}, "spec.segments cannot be changed"),
        ({"preset": "cautious"}, "spec.unit and spec.preset cannot be changed"),
        ({"steps": [{"share": 10_000}]}, "spec.steps cannot be changed"),
        ({"shadowSeconds": 60}, "spec.shadowSeconds cannot be changed"),
        ({"advanceTo": 1}, "spec.advanceTo only grows"),
        ({"withdrawn": False}, "spec.withdrawn stays true"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_the_api_server(
    cluster: Cluster, change: dict[str, Any], said: str
) -> None:
    spec = {"model": "fixed", "version": 1, "segments": ["cloud"], "advanceTo": 2, "withdrawn": True}
    cluster.apply("fixed", spec)
    patch = json.dumps({"spec": change})
    assert said in cluster.refusal("patch", "modelrollout", "fixed", "--type=merge", "-p", patch)


def test_an_object_can_ask_for_a_shadow_first(story: Story) -> None:
    story.cluster.apply(story.name, story.spec(shadowSeconds=600))
    seen = story.wait("Running")
    assert (seen["progress"], seen["share"]) == ("0/5", "0%")
    assert "shadow" in seen["message"]
    story.cluster.apply(story.name, story.spec(shadowSeconds=600, withdrawn=True))
    story.wait("RolledBack")


def test_pausing_going_on_and_withdrawing_by_the_object(story: Story) -> None:
    story.cluster.apply(story.name, story.spec())
    story.wait("Running")
    story.cluster.patch(story.name, paused=True)
    assert conditions(story.wait("Paused"))["Stalled"] == ("True", "PausedOperator")
    # The database is the truth, and hears at once; a status is written every ten seconds at most.
    story.cluster.patch(story.name, paused=False)
    wait_until(lambda: story.state() == "running", "the rollout to go on")
    story.cluster.patch(story.name, withdrawn=True)
    done = story.wait("RolledBack")
    assert conditions(done)["Ready"] == ("False", "RolledBackOperator")
    assert story.state() == "rolled_back"


def test_what_the_registry_does_not_know_is_refused_by_a_condition(story: Story) -> None:
    story.cluster.apply(story.name, story.spec(version=77))
    refused = story.wait("Refused")
    assert conditions(refused)["Accepted"][0] == "False"
    assert "no version" in refused["message"]


def test_git_owns_the_spec_and_we_the_status(story: Story) -> None:
    words = ("--server-side", "--field-manager=gitops")
    story.cluster.apply(story.name, story.spec(), *words)
    story.wait("Running")
    story.cluster.apply(story.name, story.spec(paused=True), *words)
    story.wait("Paused")
    story.cluster.apply(story.name, story.spec(paused=True), *words)
    found = story.cluster.kubectl("get", "modelrollout", story.name, "-o", "json", "--show-managed-fields")
    managers = {one["manager"]: set(one["fieldsV1"]) for one in json.loads(found)["metadata"]["managedFields"]}
    assert managers == {"gitops": {"f:spec"}, "onecode-rollout": {"f:status"}}


def test_deleting_pauses_and_the_same_object_goes_on(story: Story) -> None:
    story.cluster.apply(story.name, story.spec())
    story.wait("Running")
    story.cluster.kubectl("delete", "modelrollout", story.name)
    wait_until(lambda: story.state() == "paused", "the rollout to be paused")
    story.cluster.apply(story.name, story.spec())
    story.wait("Running")
    assert story.state() == "running"


def test_the_status_converges_though_the_api_server_and_the_process_are_killed(story: Story) -> None:
    story.cluster.apply(story.name, story.spec())
    story.wait("Running")
    platform = story.members.platform
    story.cluster.kill()
    platform.stub.PauseRollout(pb.PauseRolloutRequest(rollout_id=story.rollout_id, reason="while nobody looks"))
    platform.kill()
    story.cluster.start_again()
    story.cluster.patch(story.name, paused=True)
    platform.start()
    story.wait("Paused")
    platform.kill()
    platform.start()
    story.cluster.kill()
    story.cluster.start_again()
    story.cluster.patch(story.name, paused=False)
    wait_until(lambda: story.state() == "running", "the rollout to go on")
    story.wait("Running")
    assert story.state() == "running"
    decisions = platform.stub.ExplainRollout(pb.ExplainRolloutRequest(rollout_id=story.rollout_id)).decisions
    assert [one.kind for one in decisions] == ["create", "start", "pause", "resume"]


def test_a_version_that_is_too_old_for_the_api_server_leads_to_a_new_list(cluster: Cluster) -> None:
    from onecode_rollout.adapters.kubernetes_resources import KubernetesResources

    cluster.apply("relisted", {"model": "m", "version": 1, "segments": ["cloud"], "paused": True})
    resources = KubernetesResources(NAMESPACE, cluster.kubeconfig)
    # Compaction makes such a version old; one that the server never had is refused in the same way.
    resources._objects, resources._version = {}, "1"
    resources.start()
    try:
        wait_until(lambda: "relisted" in {one.wish.name for one in resources.seen() or ()}, "a new list")
    finally:
        resources.stop()


def test_the_definition_stays_when_its_chart_is_uninstalled(cluster: Cluster) -> None:
    cluster.helm("uninstall", "crds")
    assert "modelrollouts.onecode.dev" in cluster.kubectl("get", "crd", "-o", "name")
    cluster.helm("install", "crds", CHART, "--take-ownership")
