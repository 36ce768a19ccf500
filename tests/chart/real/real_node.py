"""Start a node on which containers truly run, give it our images, and use it as a platform team would.

``ONECODE_TEST_KUBE`` names the folder with ``up``, ``down`` and ``control_plane.py``; ``ONECODE_TEST_IMAGES`` the
folder with ``IMAGE.tar`` of each image, as ``make images`` writes them. Everything below goes through helm, kubectl and
``onecode``, which are processes of their own: this process reaches loopback only.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chart_cluster import Cluster

REPOSITORY = Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "deploy" / "helm" / "onecode"
TRAFFIC = Path(__file__).with_name("real_traffic.py")
ONECODE = Path(sys.executable).parent / "onecode"
TAG, REGISTRY = "dev", "localhost"
LIMIT_S = 120.0


@dataclass
class RealNode(Cluster):
    """A control plane with one node that runs containers.

    Attributes:
        loaded: Images that the node has.
    """

    loaded: set[str] = field(default_factory=set)

    @property
    def machine(self) -> str:
        """Address of this machine as pods reach it."""
        server = self.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
        return str(urlsplit(server).hostname)

    def load(self, *images: str) -> list[str]:
        """Give images to the node, which has no registry; return the words that make helm use them.

        A service whose own image was not built runs from the one that holds every service.
        """
        folder = Path(os.environ["ONECODE_TEST_IMAGES"])
        there = {image for image in (*images, "onecode") if (folder / f"{image}.tar").exists()}
        words = []
        for image in set(images) - there:
            words += ["--set-string", f"services.{image}.image.name=onecode"]
            words += ["--set-string", f"services.{image}.env.ONECODE_SERVICE={image}"]
        wanted = sorted((there - self.loaded) & {*images, *(["onecode"] if words or "onecode" in images else [])})
        self._load(folder, wanted)
        return words

    def _load(self, folder: Path, images: list[str]) -> None:
        if not images:
            return
        tool = f"{os.environ['ONECODE_TEST_KUBE']}/control_plane.py"
        archives = [str(folder / f"{image}.tar") for image in images]
        self.run(sys.executable, tool, "load", str(self.work / "cluster"), *archives, limit_s=300)
        self.loaded.update(images)

    def run(
        self, *words: str, text: str | None = None, check: bool = True, limit_s: float = LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a program against the cluster."""
        done = subprocess.run(
            words, env=self.environment, input=text, capture_output=True, text=True, timeout=limit_s, check=False
        )
        if check and done.returncode:
            message = f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            raise AssertionError(message)
        return done

    def secret(self, namespace: str, folder: Path) -> None:
        """Make a Secret of a folder's files, under the folder's name."""
        self.kubectl("-n", namespace, "create", "secret", "generic", folder.name, f"--from-file={folder}")

    def helm(self, action: str, release: str, namespace: str, *words: str, limit_s: float = 300) -> str:
        """Install or upgrade our chart with the images of this tree, and wait until all pods are Ready."""
        settings = [f"imageRegistry={REGISTRY}", "imageNamespace=onecode", f"imageTag={TAG}", "imagePullPolicy=Never"]
        command = ["helm", action, release, str(CHART), "--namespace", namespace, "--wait", f"--timeout={limit_s:.0f}s"]
        for setting in settings:
            command += ["--set-string", setting]
        try:
            return self.run(*command, *words, limit_s=limit_s + 30).stdout
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story_of(namespace)}") from None

    def story_of(self, namespace: str) -> str:
        """Return what happened in a namespace, for a failed test."""
        text = self.kubectl("-n", namespace, "get", "pods", "-o", "wide", check=False).stdout
        text += self.kubectl("-n", namespace, "get", "events", check=False).stdout[-3000:]
        for pod in self.get("pods", "-n", namespace)["items"]:
            name = pod["metadata"]["name"]
            for words in ([], ["--previous"]):
                done = self.kubectl("-n", namespace, "logs", name, "--tail=15", *words, check=False)
                text += f"--- {name} {' '.join(words)}\n{done.stdout}"
        return text

    def address(self, namespace: str, service: str) -> str:
        """Return the cluster's address of a Service."""
        return str(self.get("service", service, "-n", namespace)["spec"]["clusterIP"])

    def pods(self, namespace: str, component: str) -> list[dict[str, Any]]:
        """Return the pods of a component that are not being deleted."""
        label = f"app.kubernetes.io/component={component}"
        found = self.get("pods", "-n", namespace, "-l", label)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def inside(self, namespace: str, pod: str, code: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Python in a pod's container, with the image's interpreter."""
        return self.kubectl("-n", namespace, "exec", pod, "--", "/opt/onecode/bin/python", "-c", code, check=check)

    def kill(self, pod: dict[str, Any]) -> None:
        """End every process of a pod's containers with SIGKILL, as a lack of memory or a crash would."""
        uid = pod["metadata"]["uid"]
        killed = 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                ours = uid in (entry / "cgroup").read_text() and "pause" not in (entry / "cmdline").read_text()
                if ours:
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed += 1
            except OSError:
                continue
        assert killed, f"no process of pod {pod['metadata']['name']} was found on this machine"

    def wait(self, condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
        """Return what the condition returns once it is true."""
        end = time.monotonic() + limit_s
        while not (seen := condition()):
            assert time.monotonic() < end, f"waited {limit_s:.0f} s for {what}"
            time.sleep(0.3)
        return seen


class User:
    """Somebody with the command `onecode` and the administrator's token, outside of the cluster."""

    def __init__(self, node: RealNode, console: str, predict: str, token_file: Path) -> None:
        self.console, self.predict, self.token_file = f"http://{console}:8080", f"http://{predict}:8000", token_file
        self._environment = node.environment

    def onecode(self, *words: object, check: bool = True, limit_s: float = 300) -> Any:
        """Run a command and return its JSON answer."""
        place = ["--server", self.console, "--token-file", str(self.token_file)]
        done = subprocess.run(
            [str(ONECODE), *place, *map(str, words), "-o", "json"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert not check or done.returncode == 0, f"onecode {words}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else {}

    @contextmanager
    def traffic(self, model: str, features: int) -> Iterator[Callable[[], dict[str, Any]]]:
        """Ask for predictions all the while; yields what ends it and returns its counts."""
        words = [sys.executable, str(TRAFFIC), self.predict, str(self.token_file), model, str(features)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "begun"

            def end() -> dict[str, Any]:
                answer, _ = process.communicate("", timeout=60)
                return dict(json.loads(answer))

            yield end
        finally:
            process.kill()
            process.wait()


def why_not() -> str:
    """Return what keeps a real node from running here, or nothing."""
    if not os.environ.get("ONECODE_TEST_KUBE"):
        return "ONECODE_TEST_KUBE is not set: no container was started"
    if not os.environ.get("ONECODE_TEST_IMAGES"):
        return "ONECODE_TEST_IMAGES is not set: `make chart-real` builds images and starts containers"
    if os.geteuid() != 0:
        return "a real node needs root: no container was started"
    return ""


def start_real(work: Path) -> RealNode:
    """Return a running node; skips the test where there cannot be one."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    up = [f"{os.environ['ONECODE_TEST_KUBE']}/up", str(work / "cluster"), "--real-node"]
    answer = subprocess.run(up, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    environment = {
        **os.environ,
        "PATH": f"{found['assets']}:{os.environ['PATH']}",
        "KUBECONFIG": found["kubeconfig"],
        **{f"HELM_{name}_HOME": str(work / "helm") for name in ("CACHE", "CONFIG", "DATA")},
    }
    return RealNode(work, environment)
