"""Keep what was released, so that tests can run the previous release where there is no history of the repository.

Run ``python tests/contract/upgrade/keep_release.py [COMMIT]`` at a release (it needs git, pip's index and the extra
``dev``). It makes the wheel and the packaged charts of that commit, always the same bytes of the same commit, takes the
values that the chart was tested with, and adds to what is frozen: descriptors of the contracts
(``proto/released.binpb``), digests of migrations. Run for a release that is kept already, it writes nothing and says
whether it made the same bytes again.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path

import helm_python

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
RELEASES = HERE / "releases"
SUMS = "SHA256SUMS"
MIGRATIONS = HERE / "released_migrations.json"
DESCRIPTORS = ROOT / "proto" / "released.binpb"
_CHARTS = ("onecode", "onecode-crds")


def main() -> int:
    """Make the artefacts of a commit and keep them; return 1 if they differ from those kept of the same version."""
    commit = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    with tempfile.TemporaryDirectory(prefix="onecode-release-") as name:
        tree, made = Path(name) / "tree", Path(name) / "made"
        made.mkdir()
        when = _check_out(commit, tree)
        version = str(tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
        _make(tree, made, when)
        sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(made.iterdir()))
        (made / SUMS).write_text(sums, encoding="utf-8")
        target = RELEASES / version
        if target.exists():
            same = (target / SUMS).read_text(encoding="utf-8") == sums
            sys.stdout.write(
                f"{version} is kept already; made again it {'is the same' if same else 'differs'}:\n{sums}"
            )
            return 0 if same else 1
        target.mkdir(parents=True)
        for path in made.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        _freeze_migrations(tree)
        DESCRIPTORS.write_bytes(_descriptors(tree / "proto"))
    sys.stdout.write(f"{target} holds {version}:\n{sums}")
    return 0


def _check_out(commit: str, tree: Path) -> int:
    """Write the files of a commit, with the time of the commit; return that time in seconds."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        for member in content:
            # What git asks the user's umask for is the same everywhere here.
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            content.extract(member, tree, filter="fully_trusted")
    words = ["git", "show", "--no-patch", "--format=%ct", commit]
    return int(subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def _make(tree: Path, made: Path, when: int) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(when)}
    words = ("wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "--wheel-dir", str(made), str(tree))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, env=environment, umask=0o022)
    for chart in _CHARTS:
        # Helm gives files of the archive the times that they have here.
        helm_python.package(tree / "deploy" / "helm" / chart, destination=made)
    shutil.copy(tree / "tests" / "chart" / "values" / "services.yaml", made / "values-services.yaml")


def _freeze_migrations(tree: Path) -> None:
    known: dict[str, str] = json.loads(MIGRATIONS.read_text(encoding="utf-8"))
    found = {
        f"{path.parents[3].name}/{path.name}": _sha256(path)
        for path in tree.glob("services/*/onecode_*/migrations/versions/[0-9]*.py")
    }
    edited = [name for name, digest in known.items() if found.get(name) != digest]
    if edited:
        message = f"{edited[0]} was released before and is another now"
        raise ValueError(message)
    MIGRATIONS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _descriptors(proto: Path) -> bytes:
    """Return the compiled contracts of a folder, without comments and without those of the compiler's own library."""
    from grpc_tools import protoc

    with tempfile.NamedTemporaryFile() as file:
        sources = sorted(str(path.relative_to(proto)) for path in proto.glob("onecode/**/*.proto"))
        library = files("grpc_tools") / "_proto"
        arguments = [f"--proto_path={proto}", f"--proto_path={library}", f"--descriptor_set_out={file.name}"]
        if status := protoc.main(["protoc", *arguments, *sources]):
            sys.exit(status)
        return Path(file.name).read_bytes()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
