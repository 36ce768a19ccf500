"""Finish the environment of an image: leave out what nothing runs, say what is in it, and how it starts.

Called by ``deploy/Dockerfile`` as ``furnish.py SERVICE ENVIRONMENT SHARE``, with the Python of the build tools.
"""

import compileall
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

SINGLE = "onecode"
"""The image that holds every service."""

_SERVE = """#!{python}
# Becomes the image's program, so that it is process 1 and hears signals itself. The image with every service runs
# the one that ONECODE_SERVICE names; nothing named, all of them.
import os
import sys

service = os.environ.get("ONECODE_SERVICE", {service!r})
start = ["-m", "onecode_" + service] if service else [{onecode!r}]
arguments = sys.argv[1:] or ([] if service else {up!r})
os.execv({python!r}, [{python!r}, *start, *arguments])
"""
_UP = ["up", "--home", "/var/lib/onecode/home", "--listen", "0.0.0.0", "--gateways", "0", "--echo-logs"]
_NOT_RUN = (
    # Tests of packages, and what only compilers read.
    "**/tests",
    "**/test",
    "**/*.pyi",
    "**/*.a",
    "**/*.h",
    "**/*.hpp",
    "**/*.pxd",
    "**/*.pyx",
    "**/*.c",
    "**/*.cc",
    "**/*.cpp",
    "**/test_data",
    # Conversion of models, compilers of extensions, pages that nobody is shown: no code of ours comes here.
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "mlflow/server/js",
    "ray/dashboard/client",
    "ray/jars",
    "ray/rllib",
)
_KEPT = (
    # Look like tests, and are imported by the package itself.
    "numpy/testing",
    "sklearn/utils/_test_common",
    "onnx/test",
)


_PROGRAMS = ("python", "python3", "python3.11", "onecode", "onecode-edge", "nats-server")
"""What stays in the environment's folder of programs; what packages put there besides is for people at a shell."""


def main() -> None:
    """Slim, compile, list and write the start program."""
    service, environment, share = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    site = next(environment.glob("lib/python3*/site-packages"))
    before = _bytes(site)
    for path in list(_leftovers(site)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (environment / "bin").iterdir():
        if path.name not in _PROGRAMS:
            path.unlink()
    packages = _bytes(site)
    # Without a writable disk each start would compile everything again. Hashes instead of times: same bytes each build.
    compileall.compile_dir(
        str(site), quiet=2, workers=0, invalidation_mode=compileall.py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    share.mkdir(parents=True, exist_ok=True)
    _write_licences(site, share)
    _write_sbom(environment, share / "sbom.cdx.json")
    sizes = {"installed": before, "packages": packages, "with_bytecode": _bytes(site)}
    text = json.dumps({"service": service, **sizes}) + "\n"
    (share / "sizes.json").write_text(text, encoding="utf-8")
    # Who builds reads it here.
    sys.stdout.write(text)
    _write_serve(service, environment)


def _leftovers(site: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for pattern in _NOT_RUN:
        for path in site.glob(pattern):
            text = path.relative_to(site).as_posix()
            if any(text.startswith(kept) for kept in _KEPT) or any(parent in seen for parent in path.parents):
                continue
            seen.add(path)
            yield path


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _write_licences(site: Path, share: Path) -> None:
    lines = []
    for one in sorted(distributions(path=[str(site)]), key=lambda one: one.metadata["Name"].lower()):
        name, version = one.metadata["Name"], one.version
        lines.append(f"{name}\t{version}\t{_licence(one)}")
        for file in one.files or ():
            if re.search(r"licen[cs]e|copying|notice", file.name, re.IGNORECASE) and ".dist-info" in str(file):
                target = share / "licences" / f"{name}-{version}" / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    (share / "licences.tsv").write_text("name\tversion\tlicence\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _licence(one: Distribution) -> str:
    """Return what the package says of itself: the expression, else its classifiers, else the first line of its text."""
    metadata = one.metadata
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    found = [
        value.split(" :: ")[-1] for value in metadata.get_all("Classifier") or () if value.startswith("License ::")
    ]
    if found:
        return " AND ".join(found)
    return (str(metadata["License"] or "").strip().splitlines() or ["see licences/"])[0][:80]


def _write_sbom(environment: Path, target: Path) -> None:
    tool = Path(sys.executable).parent / "cyclonedx-py"
    command = [str(tool), "environment", "--output-reproducible", "--of", "JSON", "-o", str(target)]
    subprocess.run([*command, str(environment / "bin" / "python")], check=True)  # noqa: S603 - our own tool
    document = json.loads(target.read_text(encoding="utf-8"))
    document["components"] += list(_debian(Path("/etc/os-release").read_text(encoding="utf-8")))
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _debian(release: str) -> Iterator[dict[str, object]]:
    """Yield the distribution and each of its packages, as dpkg knows them, as components of CycloneDX."""
    facts = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', release, re.MULTILINE))
    name, version = facts["ID"], facts["VERSION_ID"]
    yield {"type": "operating-system", "bom-ref": f"{name}-{version}", "name": name, "version": version}
    asked = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture} ${source:Package}\\n"]
    listed = subprocess.run(asked, check=True, capture_output=True, text=True).stdout  # noqa: S603 - Debian's own
    for line in sorted(listed.splitlines()):
        package, number, architecture, source = line.split(" ")
        purl = f"pkg:deb/{name}/{quote(package, safe='')}@{quote(number, safe='')}"
        purl += f"?arch={architecture}&distro={name}-{version}"
        # Advisories of Debian name the source.
        origin = {"name": "debian:source", "value": source}
        yield {"type": "library", "bom-ref": purl, "name": package, "version": number, "purl": purl} | {
            "properties": [origin]
        }


def _write_serve(service: str, environment: Path) -> None:
    programs = environment / "bin"
    text = _SERVE.format(
        python=str(programs / "python"),
        onecode=str(programs / "onecode"),
        service="" if service == SINGLE else service,
        up=_UP,
    )
    (programs / "serve").write_text(text, encoding="utf-8")
    (programs / "serve").chmod(0o755)


if __name__ == "__main__":
    main()
