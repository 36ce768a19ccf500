"""What is kept of a release is what was released, and holds nothing that nobody needs."""

import hashlib
import json
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from keep_release import MIGRATIONS, ROOT, SUMS
from kept_releases import kept

FOLDERS = kept()
CARRIED = {".css", ".html", ".js", ".json", ".mo", ".py", ".pyi", ".svg", ".typed", ".yaml"}


@pytest.fixture(params=FOLDERS, ids=lambda folder: str(folder.name))
def release(request: pytest.FixtureRequest) -> Path:
    """Each of them."""
    found: Path = request.param
    return found


@pytest.fixture
def wheel(release: Path) -> Iterator[zipfile.ZipFile]:
    (path,) = release.glob("*.whl")
    with zipfile.ZipFile(path) as found:
        yield found


def test_every_byte_is_the_one_that_was_released(release: Path) -> None:
    sums = dict(line.split("  ")[::-1] for line in (release / SUMS).read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in release.iterdir() if path.name != SUMS
    }
    assert any(digest in (release.parent / "README.md").read_text() for digest in sums.values())


def test_the_wheel_holds_programs_only(wheel: zipfile.ZipFile) -> None:
    names = [PurePosixPath(name) for name in wheel.namelist()]
    assert {name.suffix for name in names if ".dist-info" not in name.parts[0]} <= CARRIED
    assert not [name for name in names if {"tests", "bench", "deploy", "docs"} & set(name.parts)]


def test_its_migrations_are_frozen(wheel: zipfile.ZipFile) -> None:
    frozen = json.loads(MIGRATIONS.read_text(encoding="utf-8"))
    paths = [PurePosixPath(name) for name in wheel.namelist() if "/migrations/versions/0" in name]
    assert len(paths) >= 6
    for path in paths:
        name = f"{path.parts[0].removeprefix('onecode_')}/{path.name}"
        assert frozen[name] == hashlib.sha256(wheel.read(str(path))).hexdigest()


def test_this_tree_is_the_next_release() -> None:
    version = str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    assert _numbers(version) > max(_numbers(folder.name) for folder in FOLDERS)
    assert len(FOLDERS) <= 2


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
