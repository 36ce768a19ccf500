"""Run the previous release as it was released: its wheel in an environment of its own, beside today's code."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

RELEASES = Path(__file__).resolve().parent / "releases"
BINARIES = ("nats-server",)
"""Programs that a platform looks for beside its Python."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release that can be run.

    Attributes:
        version: As packages write it.
        python: Interpreter that imports this release's code and no other.
    """

    version: str
    python: Path

    @property
    def onecode(self) -> Path:
        """The command."""
        return self.python.with_name("onecode")


def kept() -> list[Path]:
    """Return the folder of each release that is kept, the newest last."""
    folders = (path for path in RELEASES.iterdir() if path.is_dir())
    return sorted(folders, key=lambda folder: [int(part) for part in folder.name.split(".")])


def installed_here() -> Release:
    """Return today's code."""
    from importlib.metadata import version

    return Release(version("onecode"), Path(sys.executable))


def install(folder: Path, target: Path) -> Release:
    """Install a kept release with the third-party packages of this environment.

    The new environment sees those packages through a plain path; so this environment's ``.pth`` files, and with them an
    editable install of today's code, mean nothing there.

    Args:
        folder: Of the release.
        target: New folder for the environment.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(target)
    python = target / "bin" / "python"
    (wheel,) = folder.glob("onecode-*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)]
    subprocess.run([*pip, *options], check=True, capture_output=True)
    (target / "lib" / "python3.11" / "site-packages" / "third-party.pth").write_text(sysconfig.get_path("purelib"))
    for name in BINARIES:
        program = shutil.which(name, path=str(Path(sys.executable).parent))
        assert program is not None
        python.with_name(name).symlink_to(program)
    return Release(folder.name, python)
