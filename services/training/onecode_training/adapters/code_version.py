"""Say which code made a model: the release, and the commit where there is a repository."""

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

_LIMIT_S = 5


def code_version() -> str:
    """Return ``0.1.0`` or ``0.1.0+g1a2b3c4`` (``-dirty`` with changes that are not committed)."""
    release = version("onecode")
    git = shutil.which("git")
    if git is None:
        return release
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--match", "v*"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)  # noqa: S603 - no input of others
    except (OSError, subprocess.TimeoutExpired):
        return release
    described = found.stdout.decode(errors="replace").strip()
    return f"{release}+{described}" if found.returncode == 0 and described else release
