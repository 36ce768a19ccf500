"""Find out whether this machine can run a node with containers, so that a red test is never the machine's fault.

``python real_preflight.py`` installs the packages that are missing where it may, starts a node, runs one hardened pod
on it, makes the base image, and ends everything. Exit status 0: it can; 75: it cannot, and each lack is a line.
Nothing of OneCode runs here, so nothing of OneCode can make it fail.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

CANNOT = 75
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
}
"""Programs, and the packages of Debian that bring them."""

_CGROUPS = Path("/sys/fs/cgroup")
_PLUGINS = Path("/usr/lib/cni/bridge")
_REPOSITORY = Path(__file__).resolve().parents[3]
_LEAST_MEMORY, _LEAST_DISK = 10 << 30, 15 << 30
# One of each thing that a node does in namespaces of its own.
_TRIALS = {
    "mounts": "mount -t tmpfs none /mnt",
    "layered mounts": "mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b /mnt/c /mnt/d && "
    "mount -t overlay none -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c /mnt/d",
    "a bridge and a pair of interfaces": "ip link add name b0 type bridge && ip link add v0 type veth peer name v1",
    "nftables": "nft add table inet t",
    "iptables": "iptables -t nat -A POSTROUTING -j ACCEPT",
}
_POD = """
apiVersion: v1
kind: Pod
metadata: {name: trial}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: trial
      image: kube-test.local/pause:1
      imagePullPolicy: Never
      resources: {requests: {memory: 16Mi}, limits: {memory: 16Mi}}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
"""


def lacks() -> Iterator[str]:
    """Yield what is missing; the first of a group ends it, since the rest would follow from it."""
    for group in (_place, _packages, _namespaces, _node, _base):
        found = list(group())
        yield from found
        if found:
            return


def _place() -> Iterator[str]:
    if not os.environ.get("ONECODE_TEST_KUBE"):
        yield "a program that starts nodes: ONECODE_TEST_KUBE is not set"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        yield f"Linux on x86_64 (this is {platform.system()} on {platform.machine()})"
    if os.geteuid() != 0:
        yield f"root (this is user {os.geteuid()})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < _LEAST_MEMORY:
        yield f"memory for every service at once: {_LEAST_MEMORY >> 30} GiB (there are {memory / (1 << 30):.1f})"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < _LEAST_DISK:
        yield f"disk for images: {_LEAST_DISK >> 30} GiB free in {tempfile.gettempdir()} (there are {free >> 30})"


def _packages() -> Iterator[str]:
    def missing() -> list[str]:
        found = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
        return found if _PLUGINS.exists() else [*found, "containernetworking-plugins"]

    wanted = missing()
    if wanted and shutil.which("apt-get"):
        sys.stdout.write(f"installing {' '.join(wanted)}\n")
        sys.stdout.flush()
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-yqq", "--no-install-recommends", *wanted]):
            subprocess.run(["apt-get", *words], env=quiet, stdout=subprocess.DEVNULL, check=False)
    if missing():
        yield f"packages that cannot be installed here: {' '.join(missing())}"


def _namespaces() -> Iterator[str]:
    inside = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc"]
    said = _fails([*inside, "true"])
    if said is not None:
        yield f"mount, network and process namespaces of one's own: {said}"
        return
    for what, script in _TRIALS.items():
        said = _fails([*inside, "sh", "-ec", script])
        if said is not None:
            yield f"{what} in namespaces of one's own: {said}"
    # Where memory is a controller of its own, groups are made below it.
    groups = next((path for path in (_CGROUPS / "memory", _CGROUPS) if path.is_dir()), _CGROUPS)
    trial = groups / f"onecode-preflight-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        yield f"control groups of one's own: {error}"


def _node() -> Iterator[str]:
    tool = os.environ["ONECODE_TEST_KUBE"]
    with tempfile.TemporaryDirectory(prefix="onecode-preflight-") as folder:
        work = f"{folder}/cluster"
        try:
            began = subprocess.run([f"{tool}/up", work, "--real-node"], capture_output=True, text=True, check=False)
            if began.returncode:
                yield f"a node that starts: {began.stderr.strip()[-500:]}"
                return
            facts = json.loads(began.stdout.splitlines()[-1])
            kubectl = [f"{facts['assets']}/kubectl", "--kubeconfig", facts["kubeconfig"]]
            subprocess.run([*kubectl, "apply", "-f", "-"], input=_POD, text=True, capture_output=True, check=True)
            said = _fails([*kubectl, "wait", "pod/trial", "--for=condition=Ready", "--timeout=60s"])
            if said is not None:
                told = subprocess.run([*kubectl, "get", "events"], capture_output=True, text=True, check=False).stdout
                yield f"a node that runs a pod: {said}\n{told[-1500:]}"
        finally:
            subprocess.run([f"{tool}/down", work], capture_output=True, check=False)


def _base() -> Iterator[str]:
    words = [sys.executable, str(_REPOSITORY / "deploy" / "images" / "build.py"), "--base-only"]
    done = subprocess.run(words, env={**os.environ, "ONECODE_BUILDER": "buildah"}, check=False)
    if done.returncode:
        yield "a base image: neither the official one nor Debian's packages can be fetched (see above)"


def _fails(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit status {done.returncode}")


def main(report: Callable[[str], object] = sys.stdout.write) -> int:
    """Print every lack and return the exit status."""
    found = list(lacks())
    for lack in found:
        report(f"no container was started; missing: {lack}\n")
    return CANNOT if found else 0


if __name__ == "__main__":
    sys.exit(main())
