"""It is still the same house: what no other tool checks."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTER = "onecode_standalone"
MODE_WORDS = re.compile(r"standalone|is_local|IN_CLUSTER", re.IGNORECASE)
LONGEST_MODULE = 400
VAGUE_NAMES = {"utils.py", "util.py", "helpers.py", "manager.py", "base.py", "misc.py"}
CLOCKS = {"perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "timeit"}
DURATIONS = re.compile(r"elapsed|duration|took|seconds_taken|wall_s")
SERVICES = ("registry", "ingestion", "training", "rollout")


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "__pycache__" not in path.parts and "build" not in path.parts:
                yield path


def product() -> list[Path]:
    return [*modules("libs", "services", "edge-agent")]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_only_the_starter_knows_how_programs_were_started() -> None:
    guilty = []
    for path in product():
        if STARTER in path.parts:
            continue
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        guilty += [f"{name_of(path)}:{number}: {line.strip()}" for number, line in lines if MODE_WORDS.search(line)]
    assert guilty == []


def test_no_module_is_too_long_to_be_read() -> None:
    sizes = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in product()}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(path) for path in product() if path.name in VAGUE_NAMES] == []


def test_every_module_says_why_it_exists() -> None:
    silent = [path for path in product() if path.read_text(encoding="utf-8").strip() and not docstring(path)]
    assert [name_of(path) for path in silent if "migrations" not in path.parts] == []


def docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_time_is_asked_of_a_clock_only() -> None:
    guilty = []
    for path in product():
        if path.name == "clock.py":
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        asking = (call for call in calls if ast.unparse(call.func) in ("datetime.now", "datetime.utcnow"))
        guilty += [f"{name_of(path)}:{call.lineno}" for call in asking]
    assert guilty == []


def test_no_test_measures_time() -> None:
    """A lost CPU second never fails a test."""
    guilty = []
    for path in modules("tests"):
        if path == Path(__file__).resolve():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if named in CLOCKS or (isinstance(node, ast.Assert) and compares_a_duration(node)):
                guilty.append(f"{name_of(path)}:{node.lineno}")
    assert guilty == []


def compares_a_duration(node: ast.Assert) -> bool:
    """Return whether the assertion orders something named like a measured time."""
    for compared in ast.walk(node.test):
        if isinstance(compared, ast.Compare) and any(
            isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in compared.ops
        ):
            names = (one.id for one in ast.walk(compared) if isinstance(one, ast.Name))
            if any(DURATIONS.search(name) for name in names):
                return True
    return False


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_of_a_service_has_a_rule_and_every_rule_a_method(service: str) -> None:
    contract = importlib.import_module(f"onecode.{service}.v1.{service}_pb2")
    methods = {
        f"/{described.full_name}/{method.name}"
        for described in contract.DESCRIPTOR.services_by_name.values()
        for method in described.methods
    }
    rules = importlib.import_module(f"onecode_{service}.servicer").RULES
    assert set(rules) == methods


def test_tests_have_names_of_their_own() -> None:
    """Files of one name in two folders hide each other in reports."""
    names = [path.name for path in modules("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
