"""Build the images with whichever builder works here, also where no registry can be reached.

``python deploy/images/build.py [IMAGE ...]`` builds all images, or those named. docker and podman leave them in
their own store; buildah keeps a store of its own in the cache folder, from which ``--save`` exports. The base is
Python's official image; where it cannot be pulled, Debian's packages make one (``debootstrap``, as root, once).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lock import EXTRAS, ROOT

OFFICIAL = "docker.io/library/python:3.11-slim-bookworm"
OWN = "localhost/onecode-base:bookworm"
CACHE = Path(os.environ.get("ONECODE_IMAGES_CACHE") or Path.home() / ".cache" / "onecode-images")

_PACKAGES = "python3,python3-venv,ca-certificates"
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
        return _works([*self._prefix, *(("images", "-q") if self.name == "buildah" else ("image", "inspect")), image])

    def pulls(self, image: str) -> bool:
        """Return whether the image could be pulled."""
        return _works([*self._prefix, "pull", "--quiet", image], _PULL_S)

    def build(self, image: str, tag: str, base: str, facts: dict[str, str]) -> None:
        """Build one image.

        Args:
            image: Which.
            tag: What to call it.
            base: Image below it, in the store.
            facts: Further build arguments.
        """
        words = ["build", "--file", "deploy/Dockerfile", "--tag", tag]
        for name, value in {"BASE": base, "SERVICE": image, **facts}.items():
            words += ["--build-arg", f"{name}={value}"]
        with _pip_configuration() as (file, folders):
            words += ["--secret", f"id=pip,src={file}"]
            if self.name != "docker":
                words += ["--ignorefile", "deploy/Dockerfile.dockerignore", "--pull=never"]
                for folder in folders:
                    words += ["--volume", f"{folder}:{folder}:ro"]
            if self.name == "buildah":
                words[0] = "bud"
                words += ["--isolation", "chroot"]
            self.run(*words, ".", cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, stderr=subprocess.STDOUT)

    def add_base(self, archive: Path) -> None:
        """Make the base from the files of a root directory."""
        if self.name != "buildah":
            self.run("import", str(archive), OWN)
            return
        container = self.run("from", "scratch")
        self.run("add", "--quiet", container, str(archive), "/")
        self.run("commit", "--quiet", "--rm", container, OWN)

    def save(self, tag: str, file: Path, name: str) -> None:
        """Export an image as an archive that `docker load` and containerd read.

        Args:
            tag: What it is called here.
            file: Where to.
            name: What it is called in the archive.
        """
        file.unlink(missing_ok=True)
        if self.name == "buildah":
            self.run("push", "--quiet", tag, f"docker-archive:{file}:{name}")
            return
        self.run("tag", tag, name)
        self.run("save", "--output", str(file), name)

    def read(self, tag: str, path: str) -> str:
        """Return a file of an image."""
        if self.name == "buildah":
            container = self.run("from", "--pull-never", tag)
            try:
                return (Path(self.run("mount", container)) / path.lstrip("/")).read_text(encoding="utf-8")
            finally:
                self.run("rm", container)
        return self.run("run", "--rm", "--entrypoint", "/bin/cat", tag, path)


def main() -> int:
    """Build, report, export; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(EXTRAS))
    parser.add_argument("--base", default="", help=f"image below ours; default: {OFFICIAL}, or one made here")
    parser.add_argument("--tag", default="dev", help="tag of the images")
    parser.add_argument("--name", default="localhost/onecode", help="registry and path in the names of the images")
    parser.add_argument("--save", type=Path, help="folder for IMAGE.tar of each")
    asked = parser.parse_args()
    unknown = [image for image in asked.images if image not in EXTRAS]
    if unknown:
        parser.error(f"there is no image {unknown[0]!r}: known are {', '.join(EXTRAS)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    builder = _found()
    if builder is None:
        sys.stderr.write("none of docker, podman and buildah works here; on Debian: apt-get install buildah\n")
        return 1
    base = asked.base or _base(builder)
    if not base:
        return 1
    facts = {"VERSION": _version(), "REVISION": _revision()}
    for image in asked.images or EXTRAS:
        began, tag = time.monotonic(), f"{asked.name}/{image}:{asked.tag}"
        try:
            builder.build(image, tag, base, facts)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{error.stdout}\n{image} could not be built with {builder.name}\n")
            return 1
        sizes = json.loads(builder.read(tag, "/usr/share/onecode/sizes.json"))
        if asked.save is not None:
            asked.save.mkdir(parents=True, exist_ok=True)
            builder.save(tag, asked.save / f"{image}.tar", tag)
        text = ", ".join(
            f"{name.replace('_', ' ')} {sizes[name] / 1e6:.0f} MB" for name in ("packages", "with_bytecode")
        )
        sys.stdout.write(f"{tag}: {text}, {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
    return 0


def _found() -> Builder | None:
    wanted = os.environ.get("ONECODE_BUILDER")
    for name in (wanted,) if wanted else ("docker", "podman", "buildah"):
        if shutil.which(name) and _works([name, "version" if name == "buildah" else "info"]):
            return Builder(name, CACHE)
    return None


def _base(builder: Builder) -> str:
    """Return the name of a base in the builder's store, or nothing after having said what is missing."""
    for image in (OWN, OFFICIAL):
        if builder.has(image):
            return image
    if builder.pulls(OFFICIAL):
        return OFFICIAL
    if not shutil.which("debootstrap") or os.geteuid() != 0:
        sys.stderr.write(
            f"{OFFICIAL} cannot be pulled. Name another base with --base, or become root and install what makes\n"
            "one of Debian's packages: apt-get install debootstrap\n"
        )
        return ""
    sys.stdout.write(f"{OFFICIAL} cannot be pulled: making {OWN} of Debian's packages (once, about a minute)\n")
    sys.stdout.flush()
    builder.add_base(_debian(CACHE / "base.tar"))
    return OWN


def _debian(archive: Path) -> Path:
    if archive.exists():
        return archive
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        root = Path(folder) / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - found on the path
        for leftover in ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/locale", "usr/share/man"):
            shutil.rmtree(root / leftover, ignore_errors=True)
            (root / leftover).mkdir()
        with tarfile.open(Path(folder) / "base.tar", "w") as tar:
            tar.add(root, "/")
        (Path(folder) / "base.tar").replace(archive)
    return archive


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
    for scheme, found in re.findall(r"(file://)?(/[^\s']+)", " ".join(values.values())):
        # An index of files names what lies beside it.
        path = Path(found).parent if scheme or Path(found).is_file() else Path(found)
        folders |= {path} if path.exists() else set()
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as file:
        file.write("[global]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()))
        file.flush()
        yield Path(file.name), sorted(folders)


def _overlay_works(folder: Path) -> bool:
    """Return whether layers can be mounted; if not, each is copied whole, which is slow and large."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for part in ("lower", "upper", "work", "merged"):
            (Path(name) / part).mkdir()
        layers = f"lowerdir={name}/lower,upperdir={name}/upper,workdir={name}/work"
        if not _works(["mount", "-t", "overlay", "overlay", "-o", layers, f"{name}/merged"]):
            return False
        subprocess.run(["umount", f"{name}/merged"], check=True)  # noqa: S603, S607 - as root, in our own folder
        return True


def _works(command: list[str], limit_s: float = 30) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=limit_s)  # noqa: S603 - found on the path
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _version() -> str:
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "0.0.0"


def _revision() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=False, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
