"""Make docker, podman and buildah one thing to the rest: something that builds, keeps and exports images."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lock import ROOT

_PULL_S = 60


class Builder:
    """One of docker, podman and buildah.

    Args:
        name: Which.
        folder: For the store of buildah.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._prefix = [name]
        if name == "buildah":
            driver = "overlay" if _overlay_works(folder) else "vfs"
            store = ["--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", driver]
            self._prefix += store

    def run(self, *words: str, **more: object) -> str:
        """Run one of its commands and return what it prints."""
        done = subprocess.run([*self._prefix, *words], check=True, stdout=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload]  # noqa: S603 - found on the path
        return str(done.stdout).strip()

    def has(self, image: str) -> bool:
        """Return whether the image is in its store."""
        return works([*self._prefix, *(("images", "-q") if self.name == "buildah" else ("image", "inspect")), image])

    def pulls(self, image: str) -> bool:
        """Return whether the image could be pulled."""
        return works([*self._prefix, "pull", "--quiet", image], _PULL_S)

    def build(self, tag: str, facts: dict[str, str], architecture: str) -> str:
        """Build one image and return what the build printed.

        Args:
            tag: What to call it.
            facts: Build arguments.
            architecture: ``amd64`` or ``arm64``; empty: that of this machine.
        """
        words = ["build", "--file", "deploy/Dockerfile", "--tag", tag]
        for name, value in facts.items():
            words += ["--build-arg", f"{name}={value}"]
        if architecture:
            words += ["--platform", f"linux/{architecture}"]
        with _pip_configuration() as (file, folders):
            words += ["--secret", f"id=pip,src={file}"]
            if self.name == "docker":
                words += ["--progress", "plain"]
            else:
                words += ["--ignorefile", "deploy/Dockerfile.dockerignore", "--pull=never"]
                for folder in folders:
                    words += ["--volume", f"{folder}:{folder}:ro"]
            if self.name == "buildah":
                words[0] = "bud"
                words += ["--isolation", "chroot"]
            environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
            return self.run(*words, ".", cwd=ROOT, env=environment, stderr=subprocess.STDOUT)

    def add_base(self, archive: Path, name: str, architecture: str) -> None:
        """Make an image of the files of a root directory."""
        if self.name != "buildah":
            platform = ("--platform", f"linux/{architecture}") if architecture else ()
            self.run("import", *platform, str(archive), name)
            return
        words = ("--arch", architecture) if architecture else ()
        container = self.run("from", *words, "scratch")
        self.run("add", "--quiet", container, str(archive), "/")
        self.run("commit", "--quiet", "--rm", container, name)

    def identity(self, tag: str) -> str:
        """Return ``sha256:…`` of the image's configuration, which names every layer; a push does not change it."""
        if self.name == "buildah":
            return self.run("inspect", "--type", "image", "--format", "{{.FromImageID}}", tag)
        return self.run("image", "inspect", "--format", "{{.Id}}", tag).removeprefix("sha256:")

    def save(self, tag: str, file: Path) -> None:
        """Export an image as an archive that `docker load` and containerd read."""
        file.unlink(missing_ok=True)
        if self.name == "buildah":
            self.run("push", "--quiet", tag, f"docker-archive:{file}:{tag}")
            return
        self.run("save", "--output", str(file), tag)

    def push(self, tag: str, *, plain: bool) -> str:
        """Push an image under its name and return the digest by which its registry knows it.

        Args:
            tag: Its name, registry and all.
            plain: Whether the registry speaks HTTP, or shows a certificate that nobody signed.
        """
        if self.name == "docker":
            self.run("push", "--quiet", tag)
            found = self.run("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag).splitlines()
            name = tag.rpartition(":")[0]
            return next(line.partition("@")[2] for line in found if line.startswith(f"{name}@"))
        with tempfile.NamedTemporaryFile("r", prefix="digest-") as file:
            tls = ("--tls-verify=false",) if plain else ()
            self.run("push", "--quiet", *tls, "--digestfile", file.name, tag, f"docker://{tag}")
            return file.read().strip()


def found(folder: Path) -> Builder | None:
    """Return the builder that ``ONECODE_BUILDER`` names, or the first that works here."""
    wanted = os.environ.get("ONECODE_BUILDER")
    for name in (wanted,) if wanted else ("docker", "podman", "buildah"):
        if shutil.which(name) and works([name, "version" if name == "buildah" else "info"]):
            return Builder(name, folder)
    return None


def works(command: list[str], limit_s: float = 30) -> bool:
    """Return whether a program runs and is content."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=limit_s)  # noqa: S603 - found on the path
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _overlay_works(folder: Path) -> bool:
    """Return whether layers can be mounted; if not, each is copied whole, which is slow and large."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for part in ("lower", "upper", "work", "merged"):
            (Path(name) / part).mkdir()
        layers = f"lowerdir={name}/lower,upperdir={name}/upper,workdir={name}/work"
        if not works(["mount", "-t", "overlay", "overlay", "-o", layers, f"{name}/merged"]):
            return False
        subprocess.run(["umount", f"{name}/merged"], check=True)  # noqa: S603, S607 - as root, in our own folder
        return True


@contextmanager
def _pip_configuration() -> Iterator[tuple[Path, list[Path]]]:
    """Yield a file with pip's configuration of this machine, and the folders that it names."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    ).stdout
    values = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        # What the environment sets wins, as with pip itself; it is listed first.
        values.setdefault(key.rpartition(".")[2], value.strip("'\""))
    folders = set()
    for scheme, named in re.findall(r"(file://)?(/[^\s']+)", " ".join(values.values())):
        # An index of files names what lies beside it.
        path = Path(named).parent if scheme or Path(named).is_file() else Path(named)
        folders |= {path} if path.exists() else set()
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as file:
        file.write("[global]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))
        file.flush()
        yield Path(file.name), sorted(folders)
