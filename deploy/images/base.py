"""Find the image below ours: the official one, the operator's own, or one of Debian's packages."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from builder import Builder

OFFICIAL = "docker.io/library/python:3.11-slim-bookworm"
_OWN = "localhost/onecode-base:bookworm"

_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates,libgomp1,libstdc++6"
_SOURCES = (
    f"deb http://deb.debian.org/debian {_SUITE} main",
    f"deb http://deb.debian.org/debian-security {_SUITE}-security main",
)
# Found again in every image; the licences below /usr/share/doc stay.
_LEFT_OUT = ("/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*", "/var/cache/apt/*", "/var/log/*")


def base(builder: Builder, cache: Path, architecture: str) -> str:
    """Return the name of a base in the builder's store, or nothing after having said what is missing.

    Args:
        builder: Where it is looked for, and left.
        cache: Where the files of a base that was made here are kept.
        architecture: As Debian calls it; empty: that of this machine.
    """
    own = f"{_OWN}-{architecture}" if architecture else _OWN
    for image in (own, *([] if architecture else [OFFICIAL])):
        if builder.has(image):
            return image
    if not architecture and builder.pulls(OFFICIAL):
        return OFFICIAL
    tool = next((make for name, make in _TOOLS.items() if shutil.which(name)), None)
    if tool is None or os.geteuid() != 0:
        sys.stderr.write(
            f"{OFFICIAL} cannot be pulled. Name another base with --base, or become root and install what makes\n"
            "one of Debian's packages: apt-get install mmdebstrap\n"
        )
        return ""
    archive = cache / f"base{architecture and '-'}{architecture}.tar"
    if not archive.exists():
        sys.stdout.write(f"{OFFICIAL} cannot be pulled: making {own} of Debian's packages (once)\n")
        sys.stdout.flush()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "base.tar"
            try:
                tool(made, architecture)
            except subprocess.CalledProcessError as error:
                sys.stderr.write(f"{error.cmd[0]} could not make it (exit status {error.returncode})\n")
                return ""
            made.replace(archive)
    builder.add_base(archive, own, architecture)
    return own


def given(builder: Builder, name: str) -> str:
    """Return the name of a base that somebody chose, once it is in the store; nothing after having said it is not."""
    if builder.has(name) or builder.pulls(name):
        return name
    sys.stderr.write(f"{name} is not in the store of {builder.name} and cannot be pulled\n")
    return ""


def _mmdebstrap(archive: Path, architecture: str) -> None:
    """Make it in one pass, without apt in it: about 30 seconds of a processor."""
    words = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={_PACKAGES}"]
    words += [f"--architectures={architecture}"] if architecture else []
    words += [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT if path.startswith("/usr")]
    # Nobody is left to care for half-written files: what is cut is made again.
    words += ["--dpkgopt=force-unsafe-io", _SUITE, str(archive), *_SOURCES]
    subprocess.run(words, check=True)  # noqa: S603 - found on the path


def _debootstrap(archive: Path, architecture: str) -> None:
    root = archive.with_name("root")
    words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}"]
    words += [f"--arch={architecture}"] if architecture else []
    subprocess.run([*words, _SUITE, str(root)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - found on the path
    for pattern in _LEFT_OUT:
        for path in root.glob(pattern.lstrip("/")):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with tarfile.open(archive, "w") as tar:
        tar.add(root, "/")


_TOOLS = {"mmdebstrap": _mmdebstrap, "debootstrap": _debootstrap}
