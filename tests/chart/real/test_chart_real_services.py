"""The shape of a cluster on a node that runs containers: a workload for each service, beside real neighbours."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_neighbours import neighbours
from real_node import ONECODE, REPOSITORY, RealNode, User
from real_readings import readings

# Images of a gigabyte are unpacked, models trained, pods drained.
pytestmark = pytest.mark.timeout(600)

NAMESPACE, RELEASE = "services", "oc"
FULL = f"{RELEASE}-onecode"
DEFINITIONS = REPOSITORY / "deploy" / "helm" / "onecode-crds"
SERVICES = ("console", "inference", "ingestion", "registry", "rollout", "training")
MODEL, OBJECT = "onecode-smoke", "pump-1"
QUICK = ("--set", "probation_seconds=1")


@pytest.fixture(scope="module")
def values(node: RealNode, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Start the neighbours, make every Secret, and return the words for helm."""
    images = node.load(*SERVICES, "edge")
    node.namespace(NAMESPACE)
    folder = tmp_path_factory.mktemp("neighbours")
    for parent in (folder, *list(folder.parents)[:2]):
        parent.chmod(0o755)
    with neighbours(folder, node.machine, keys / "onecode-bus" / "authorization.conf") as beside:
        for secret in (*sorted(keys.iterdir()), *beside.secrets):
            node.secret(NAMESPACE, secret)
        # Cluster-wide, first, and by other people.
        node.run("helm", "install", "crds", str(DEFINITIONS), "--namespace", NAMESPACE, "--wait")
        switches = "deployment=services,objectStore.tls=false,rollout.customResource.enabled=true"
        words = [*images, "--set", switches]
        for name, value in beside.values.items():
            words += ["--set-string", f"{name}={value}"]
        # The node has the two processors of this machine.
        for service in SERVICES:
            words += ["--set-string", f"services.{service}.resources.requests.cpu=100m"]
        yield words


@pytest.fixture(scope="module")
def platform(node: RealNode, keys: Path, values: list[str]) -> Iterator[User]:
    """Install `services` and return somebody who uses it."""
    node.helm("install", RELEASE, NAMESPACE, *values)
    console, predict = (node.address(NAMESPACE, f"{FULL}-{service}") for service in ("console", "inference"))
    yield User(node, console, predict, keys / "onecode-api" / "api-token")
    # Nobody waits for its end: the next ones need what it frees, and the last one ends with the node.
    node.run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE)


@pytest.mark.usefixtures("platform")
def test_every_service_is_ready_by_its_own_probes(node: RealNode) -> None:
    assert node.ready(NAMESPACE) == {**dict.fromkeys(SERVICES, 1), "inference": 2}


@pytest.mark.usefixtures("platform")
def test_helm_test_gets_a_prediction_through_the_service_of_services(node: RealNode) -> None:
    said = node.run("helm", "test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout=180s", limit_s=200).stdout
    assert "answers [8.0, -1.0] to [3.0, 4.0]" in said


def test_a_csv_becomes_a_version_across_the_services(platform: User, tmp_path: Path) -> None:
    platform.onecode("data", "upload", readings(tmp_path), "--name", "pump", "--target", "state")
    recipe = (REPOSITORY / "examples" / "recipes" / "anomaly-quick.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(recipe.replace("target: anomaly", "target: state"))
    words = ("-f", tmp_path / "recipe.yaml", "--data", "pump", "--model", "pump", "--wait")
    assert platform.onecode("train", "start", *words)["state"] == "RUN_STATE_SUCCEEDED"
    assert platform.onecode("model", "show", "pump", 1)["release"] == 1


def test_a_rolling_update_of_inference_loses_no_request(node: RealNode, platform: User, values: list[str]) -> None:
    before = uids(node)
    with platform.traffic(MODEL, 2) as end:
        # From now on, so that nobody turns it back in passing.
        values += ["--set-string", "services.inference.podLabels.turn=two"]
        node.helm("upgrade", RELEASE, NAMESPACE, *values)
        # Helm is content once the new ones are ready; the old ones are still finishing what they have.
        node.wait(lambda: not before & uids(node), "the old pods to have ended")
        counts = end()
    assert len(uids(node)) == 2
    assert (counts["new"]["bad"], counts["kept"]["bad"]) == ([], [])
    assert counts["new"]["good"] > 100
    assert counts["kept"]["good"] > 100


def test_an_object_becomes_a_release_and_each_service_is_killed_in_the_middle_of_it(
    node: RealNode, platform: User
) -> None:
    # A minute of probation lies ahead when the last of them has died.
    spec = {"model": "pump", "version": 1, "segments": ["cloud"], "preset": "fast"}
    name = {"name": OBJECT, "namespace": NAMESPACE}
    node.apply({"apiVersion": "onecode.dev/v1alpha1", "kind": "ModelRollout", "metadata": name, "spec": spec})
    started = node.wait(lambda: status(node).get("rolloutId"), "the object to become a release")
    assert platform.onecode("rollout", "show", started)["state"] in ("running", "promoting")
    for service in ("rollout", "registry", "inference", "console", "ingestion", "training"):
        for pod in node.pods(NAMESPACE, service):
            node.kill(pod)
    all_back(node)
    for service in SERVICES:
        for pod in node.pods(NAMESPACE, service):
            last = pod["status"]["containerStatuses"][0]["lastState"]
            assert last["terminated"]["exitCode"] == 137, pod["metadata"]["name"]


@pytest.mark.usefixtures("platform")
def test_the_memory_limit_ends_who_wants_more(node: RealNode) -> None:
    pod = node.pods(NAMESPACE, "inference")[0]
    limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert limit == "768Mi"
    code = "import os; open('/proc/self/oom_score_adj', 'w').write('1000'); b = bytearray(2 << 30); print(len(b))"
    tried = node.inside(NAMESPACE, pod["metadata"]["name"], code, check=False)
    assert tried.returncode == 137
    assert tried.stdout == ""


def test_an_agent_serves_what_the_policy_of_its_segment_says(
    node: RealNode, platform: User, values: list[str], tmp_path: Path
) -> None:
    name = node.get("nodes")["items"][0]["metadata"]["name"]
    platform.onecode("segment", "create", "line-1")
    made = platform.onecode("gateway", "create", name, "--segment", "line-1", "--accept")
    tokens = tmp_path / "onecode-gateways"
    tokens.mkdir()
    (tokens / name).write_text(made["token"])
    node.secret(NAMESPACE, tokens)
    more = {
        "edgeAgent.existingSecret": "onecode-gateways",
        "edgeAgent.apiTokensSecret": "onecode-inference",
        "edgeAgent.rootSha256": made["root_sha256"],
        "edgeAgent.resources.requests.cpu": "100m",
    }
    words = [word for pair in more.items() for word in ("--set-string", "=".join(pair))]
    node.helm("upgrade", RELEASE, NAMESPACE, *values, "--set", "edgeAgent.enabled=true", *words, limit_s=120)
    start = ("--model", f"{MODEL}:1", "--segment", "line-1", "--rollout-id", "ro_line", *QUICK)
    platform.onecode("rollout", "start", *start)
    assert ended(node, platform, "ro_line")["state"] == "succeeded"
    agent = User(node, "", node.address(NAMESPACE, f"{FULL}-edge-agent"), platform.token_file)
    assert answered(agent) > 10
    # The token was good for one enrolment: the next pod is the same gateway, by what lies on the claim.
    (pod,) = node.pods(NAMESPACE, "edge-agent")
    node.kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=true")
    heard = platform.onecode("gateway", "show", name)["last_heard"]
    node.wait(lambda: node.ready(NAMESPACE).get("edge-agent"), "the next pod of the agent")
    assert answered(agent) > 10
    node.wait(lambda: platform.onecode("gateway", "show", name)["last_heard"] != heard, "the agent to report")


def test_the_story_completes_and_the_object_tells_so(node: RealNode, platform: User) -> None:
    assert ended(node, platform, status(node)["rolloutId"])["state"] == "succeeded"
    # Written by the process that was started after the kill, with the token and the rights that the chart gives.
    node.kubectl("-n", NAMESPACE, "wait", f"modelrollout/{OBJECT}", "--for=condition=Ready", "--timeout=60s")
    columns = node.kubectl("-n", NAMESPACE, "get", "modelrollouts", "--no-headers").stdout.split()
    assert columns[:4] == [OBJECT, "pump", "1", "Succeeded"]
    answer = platform.onecode("predict", "pump", "--file", rows_file(node))
    digest = platform.onecode("model", "show", "pump", 1)["digest"]
    assert answer["parameters"]["onecode_model_digest"] == digest


def test_uninstall_and_install_again_with_other_keys_keep_every_record_and_release(
    node: RealNode, platform: User, values: list[str], keys: Path, tmp_path: Path
) -> None:
    before = records(platform)
    node.run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    node.run(str(ONECODE), "keys", "rotate", str(keys.parent), str(tmp_path / "keys"), "root", "signing", "fleet")
    for name in ("public", "registry", "rollout"):
        node.kubectl("-n", NAMESPACE, "delete", "secret", f"onecode-{name}")
        node.secret(NAMESPACE, tmp_path / "keys" / "secrets" / f"onecode-{name}")
    node.helm("install", RELEASE, NAMESPACE, *values)
    platform.console = f"http://{node.address(NAMESPACE, f'{FULL}-console')}:8080"
    platform.predict = f"http://{node.address(NAMESPACE, f'{FULL}-inference')}:8000"
    assert records(platform) == before
    # Ready means that inference has followed the new root to policies and models that the new keys have signed.
    assert answered(platform) > 10


def all_back(node: RealNode) -> None:
    """Wait until every container was started again and is ready."""

    def look() -> bool:
        pods = [pod for service in SERVICES for pod in node.pods(NAMESPACE, service)]
        states = [pod["status"]["containerStatuses"][0] for pod in pods]
        return all(state["restartCount"] and state["ready"] for state in states)

    node.wait(look, "everything to be back")


def answered(agent: User) -> int:
    """Ask for a second; return how many answers came, all of them good."""
    with agent.traffic(MODEL, 2) as end:
        time.sleep(1)
        counts = end()
    assert counts["new"]["bad"] == []
    return int(counts["new"]["good"])


def status(node: RealNode) -> dict[str, Any]:
    """Return what the object says of its release."""
    return dict(node.get("modelrollout", OBJECT, "-n", NAMESPACE).get("status", {}))


def uids(node: RealNode) -> set[str]:
    """Return every pod of inference, those that are ending too."""
    label = "app.kubernetes.io/component=inference"
    return {pod["metadata"]["uid"] for pod in node.get("pods", "-n", NAMESPACE, "-l", label)["items"]}


def records(platform: User) -> list[Any]:
    """Return what must outlive an installation."""
    return [platform.onecode(*words) for words in (("model", "list"), ("data", "list"), ("rollout", "list"))]


def ended(node: RealNode, platform: User, rollout: str) -> dict[str, Any]:
    """Return a rollout once it has ended; while the console is away it is asked again."""

    def look() -> dict[str, Any]:
        found = platform.onecode("rollout", "show", rollout, check=False)
        return found if found.get("state") in ("succeeded", "failed", "rolled_back", "aborted") else {}

    return dict(node.wait(look, f"rollout {rollout} to end", 240))


def rows_file(node: RealNode) -> Path:
    """Write one row to predict."""
    file = node.work / "row.csv"
    file.write_text("a,b,c\n0.5,0.5,0.5\n")
    return file
