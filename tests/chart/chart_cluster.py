"""Start a real control plane for tests, and talk to it with helm and kubectl.

``ONECODE_TEST_KUBE`` names a folder with the programs ``up`` and ``down``: ``up WORK_DIR --volumes N`` prints one line
of JSON with ``kubeconfig`` and ``assets`` (a folder with ``helm`` and ``kubectl``), ``down WORK_DIR`` ends what it
started. Nodes are fake: the tag of an image decides whether its pod becomes ready (``broken``: never).
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

LIMIT_S = 120


@dataclass
class Cluster:
    """A running control plane.

    Attributes:
        work: Folder of everything.
        environment: For helm and kubectl.
    """

    work: Path
    environment: dict[str, str]
    namespaces: list[str] = field(default_factory=list)

    def run(self, *words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program against the cluster."""
        done = subprocess.run(
            words, env=self.environment, input=text, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        if check and done.returncode:
            message = f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            raise AssertionError(message)
        return done

    def kubectl(self, *words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl."""
        return self.run("kubectl", *words, text=text, check=check)

    def get(self, *words: str) -> Any:
        """Return what ``kubectl get`` answers, as a document."""
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl("apply", "--server-side", "-f", "-", text=yaml.safe_dump_all(objects))

    def namespace(self, name: str) -> str:
        """Return a new namespace that takes restricted pods only, and only pods that say what they need."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            },
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "all", "namespace": name},
                "spec": {"hard": {"requests.cpu": "40", "requests.memory": "80Gi", "limits.memory": "80Gi"}},
            },
        )
        self.namespaces.append(name)
        return name

    def ready(self, namespace: str) -> dict[str, int]:
        """Return how many pods of each component are ready."""
        counts: dict[str, int] = {}
        for pod in self.get("pods", "-n", namespace)["items"]:
            conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
            if conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                name = pod["metadata"]["labels"]["app.kubernetes.io/component"]
                counts[name] = counts.get(name, 0) + 1
        return counts


def start(work: Path) -> Cluster:
    """Return a control plane; skips the test where there is no program to start one."""
    tool = os.environ.get("ONECODE_TEST_KUBE")
    if not tool:
        more = " (KUBEBUILDER_ASSETS alone has no controllers)" if os.environ.get("KUBEBUILDER_ASSETS") else ""
        pytest.skip(f"ONECODE_TEST_KUBE is not set{more}: nothing was installed on a real API server")
    answer = subprocess.run(
        [f"{tool}/up", str(work / "cluster"), "--volumes", "100"], capture_output=True, text=True, check=True
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    environment = {
        **os.environ,
        "PATH": f"{found['assets']}:{os.environ['PATH']}",
        "KUBECONFIG": found["kubeconfig"],
        **{f"HELM_{name}_HOME": str(work / "helm") for name in ("CACHE", "CONFIG", "DATA")},
    }
    return Cluster(work, environment)


def stop(cluster: Cluster) -> None:
    """End the control plane."""
    subprocess.run([f"{os.environ['ONECODE_TEST_KUBE']}/down", str(cluster.work / "cluster")], check=True)
