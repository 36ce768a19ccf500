"""Build the images with whichever builder works here, also where no registry can be reached.

``python deploy/images/build.py [IMAGE ...]`` builds all images, or those named. docker and podman leave them in
their own store; buildah keeps a store of its own in the cache folder, from which ``--save`` exports. The base is
Python's official image; where it cannot be pulled, Debian's packages make one (as root, once).
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from base import OFFICIAL, base, given
from builder import Builder, found
from lock import EXTRAS, ROOT

CACHE = Path(os.environ.get("ONECODE_IMAGES_CACHE") or Path.home() / ".cache" / "onecode-images")

_AT_ONCE = 2
"""Builds that run beside each other: each waits for the disk about as long as it works."""

_SIZES = re.compile(r'\{"service": .*\}')


def main() -> int:
    """Build, report, export; return the exit status."""
    asked = _arguments()
    CACHE.mkdir(parents=True, exist_ok=True)
    builder = found(CACHE)
    if builder is None:
        sys.stderr.write("none of docker, podman and buildah works here; on Debian: apt-get install buildah\n")
        return 1
    below = given(builder, asked.base) if asked.base else base(builder, CACHE, asked.architecture)
    if not below or asked.base_only:
        return 0 if below else 1
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lines = list(pool.map(lambda image: _build(builder, image, below, asked), asked.images or EXTRAS))
    if asked.save is not None and all(lines):
        _write_sums(asked.save)
    if asked.push and all(lines):
        _push(builder, [f"{asked.name}/{image}:{asked.tag}" for image in asked.images or EXTRAS], asked)
    return 0 if all(lines) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(EXTRAS))
    parser.add_argument("--base", default="", help=f"image below ours, NAME@sha256:... too; default: {OFFICIAL}")
    parser.add_argument("--base-only", action="store_true", help="find or make that image, and build nothing")
    parser.add_argument("--tag", default="dev", help="tag of the images")
    parser.add_argument("--name", default="localhost/onecode", help="registry and path in the names of the images")
    parser.add_argument("--architecture", default="", help="amd64 or arm64, if it is not that of this machine")
    parser.add_argument("--save", type=Path, help="folder for IMAGE.tar of each, and for SHA256SUMS")
    parser.add_argument("--push", type=Path, help="push all, and write this file: the images by digest, one a line")
    parser.add_argument("--plain-http", action="store_true", help="the registry of --push speaks HTTP")
    asked = parser.parse_args()
    unknown = [image for image in asked.images if image not in EXTRAS]
    if unknown:
        parser.error(f"there is no image {unknown[0]!r}: known are {', '.join(EXTRAS)}")
    return asked


def _build(builder: Builder, image: str, below: str, asked: argparse.Namespace) -> bool:
    """Build, export and report one image; return whether that went well."""
    began, tag = time.monotonic(), f"{asked.name}/{image}:{asked.tag}"
    facts = {"BASE": below, "BASE_NAME": below, "SERVICE": image, "VERSION": _version(), "REVISION": _revision()}
    try:
        said = builder.build(tag, facts, asked.architecture)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error.stdout}\n{image} could not be built with {builder.name}\n")
        return False
    sizes = json.loads(_SIZES.findall(said)[-1])
    if asked.save is not None:
        asked.save.mkdir(parents=True, exist_ok=True)
        builder.save(tag, asked.save / f"{image}.tar")
    numbers = ", ".join(
        f"{name.replace('_', ' ')} {sizes[name] / 1e6:.0f} MB" for name in ("packages", "with_bytecode")
    )
    sys.stdout.write(f"{tag}: {numbers}, {time.monotonic() - began:.0f} s, sha256:{builder.identity(tag)}\n")
    sys.stdout.flush()
    return True


def _write_sums(folder: Path) -> None:
    """Write what `sha256sum --check SHA256SUMS` reads."""
    lines = []
    for file in sorted(folder.glob("*.tar")):
        with file.open("rb") as content:
            lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file.name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="ascii")


def _push(builder: Builder, tags: list[str], asked: argparse.Namespace) -> None:
    """Push, and write the names that can be signed, pinned and mirrored: by digest."""
    lines = [f"{tag.rpartition(':')[0]}@{builder.push(tag, plain=asked.plain_http)}\n" for tag in tags]
    asked.push.write_text("".join(lines), encoding="ascii")
    sys.stdout.write("".join(lines))


def _version() -> str:
    matched = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return matched[1] if matched else "0.0.0"


def _revision() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], check=False, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
