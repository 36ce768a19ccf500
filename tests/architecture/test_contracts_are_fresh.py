"""Generated code is what the contracts say: neither edited nor forgotten."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"


def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate", PROTO / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def files_below(folder: Path) -> dict[str, bytes]:
    paths = (path for suffix in ("*.py", "*.pyi") for path in folder.rglob(suffix))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_generated_code_is_committed_as_it_is_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler calls its plugins by name.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    generator().generate(tmp_path)
    made, committed = files_below(tmp_path), files_below(PROTO / "gen" / "python")
    assert sorted(made) == sorted(committed), "run: make proto"
    assert [name for name in made if made[name] != committed[name]] == [], "run: make proto"
