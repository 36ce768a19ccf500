"""The packages of the images are those of pyproject.toml, with hashes, and the recipe keeps its promises."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "deploy" / "locks"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")


def extras() -> dict[str, str]:
    """Return the extras of each image, as the program says that writes the lists."""
    spec = importlib.util.spec_from_file_location("image_locks", ROOT / "deploy" / "images" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.EXTRAS
    return found


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lines: list[str]) -> dict[str, str]:
    """Return versions by name."""
    return {plain(found[1]): found[2] for line in lines if (found := _PIN.match(line))}


def wanted(extras: str) -> dict[str, str]:
    """Return the exact pins of some extras and of all that they include."""
    lines = list(PROJECT["dependencies"])
    seen, waiting = set(), extras.split(",")
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in PROJECT["optional-dependencies"][name]:
            inner = re.fullmatch(r"onecode\[([^\]]+)\]", line)
            if inner:
                waiting += inner[1].split(",")
            else:
                lines.append(line)
    return pinned(lines)


@pytest.mark.parametrize(("image", "extra"), extras().items())
def test_the_list_has_every_pin_of_the_project(image: str, extra: str) -> None:
    locked = pinned((LOCKS / f"{image}.txt").read_text().splitlines())
    different = {name: version for name, version in wanted(extra).items() if locked.get(name) != version}
    assert not different, "run `make locks` and commit deploy/locks"


@pytest.mark.parametrize("image", [*extras(), "build"])
def test_every_package_has_hashes(image: str) -> None:
    text = (LOCKS / f"{image}.txt").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.partition("\n")[2])
    bare = [entry.splitlines()[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry]
    assert not bare


def test_the_image_ends_as_a_numeric_user_without_a_shell() -> None:
    recipe = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    assert "USER 10001:0" in recipe
    assert recipe[-1] == 'ENTRYPOINT ["/opt/onecode/bin/serve"]'
    assert all(
        "--require-hashes" in line for line in recipe if re.search(r"pip .*install .*-r |install --require", line)
    )
