"""Write the list of exact packages with hashes of every image, so that two builds install the same bytes.

``python deploy/images/lock.py`` needs ``uv`` on the path (``pip install uv``) and an index. The lists hold for
linux/amd64 and linux/arm64: both are resolved, and a difference is refused.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "deploy" / "locks"
EXTRAS = {
    "ingestion": "ingestion",
    "training": "training",
    "registry": "registry",
    "rollout": "rollout-kubernetes",
    "inference": "inference,tracing",
    "console": "console",
    "edge": "edge,tracing",
    "onecode": "standalone,tracing",
}
"""The extras of the distribution that an image installs."""

_PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
_TOOLS = ("pip", "setuptools>=80,<81", "cyclonedx-bom")


def main() -> int:
    """Write every list; return 1 if the two architectures would not get the same packages."""
    LOCKS.mkdir(exist_ok=True)
    for image, extras in EXTRAS.items():
        chosen = [word for extra in extras.split(",") for word in ("--extra", extra)]
        if not _write(image, [str(ROOT / "pyproject.toml"), *chosen], None):
            return 1
    return 0 if _write("build", ["-"], "\n".join(_TOOLS)) else 1


def _write(name: str, source: list[str], text: str | None) -> bool:
    lists = [_resolved(source, text, platform) for platform in _PLATFORMS]
    if lists[0] != lists[1]:
        sys.stderr.write(
            f"{name}: {_PLATFORMS[0]} and {_PLATFORMS[1]} need different packages; give each its own list\n"
        )
        return False
    head = f"# What the image {name!r} installs; made by deploy/images/lock.py from pyproject.toml.\n"
    (LOCKS / f"{name}.txt").write_text(head + lists[0], encoding="utf-8")
    sys.stdout.write(f"{name}: {lists[0].count('==')} packages\n")
    return True


def _resolved(source: list[str], text: str | None, platform: str) -> str:
    command = ["uv", "pip", "compile", *source, "--generate-hashes", "--no-header", "--no-annotate", "--quiet"]
    command += ["--python-version", "3.11", "--python-platform", platform]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
