"""A recipe is read strictly, and every refusal names its place and value."""

import json
from pathlib import Path

import pytest
import yaml

from onecode_training.adapters.recipe_text import read_recipe
from onecode_training.domain.recipe import recipe_text
from onecode_training.domain.table import Column, Dataset, choose_features, problems_with

RECIPES = Path(__file__).parents[3] / "examples" / "recipes"
GOOD = "task: tabular-classification\ntarget: broken\nbudget: {max_bytes: 200000, max_p95_us: 100}\nseed: 7\n"
TABLE = Dataset(
    version_id="sha256:1",
    name="pumps",
    rows=500,
    columns=(
        Column("pressure", "float"),
        Column("valve open", "boolean"),
        Column("型号", "text"),
        Column("at", "timestamp"),
        Column("pump", "integer"),
        Column("broken", "integer"),
    ),
    target="broken",
    time_column="at",
    id_column="pump",
    objects=(),
)


def first_problem(text: str) -> tuple[str, str]:
    _, problems = read_recipe(text)
    assert problems, "nothing was refused"
    return problems[0].path, problems[0].value


def test_yaml_and_json_of_the_same_recipe_are_the_same() -> None:
    from_yaml, _ = read_recipe(GOOD)
    assert from_yaml is not None
    document = json.loads(recipe_text(from_yaml))
    from_json, problems = read_recipe(json.dumps(document))
    assert from_json == from_yaml
    assert problems == []


def test_every_default_is_written_out() -> None:
    recipe, _ = read_recipe("task: tabular-regression")
    assert recipe is not None
    document = json.loads(recipe_text(recipe))
    assert document["search"] == {
        "families": ["linear", "lightgbm", "mlp"],
        "max_seconds": None,
        "max_trials": None,
        "preset": "quick",
    }
    assert document["split"]["test_share"] == 0.2


@pytest.mark.parametrize(
    ("more", "path", "value"),
    [
        ("colour: red", "colour", "red"),
        ("seed: '7'", "seed", "7"),
        ("seed: 7.5", "seed", "7.5"),
        ("seed: -1", "seed", "-1"),
        ("seed: true", "seed", "True"),
        ("budget: {max_byte: 1}", "budget.max_byte", "1"),
        ("budget: {max_bytes: 0}", "budget.max_bytes", "0"),
        ("budget: {max_bytes: 1000000000000000000000}", "budget.max_bytes", "1e+21"),
        ("budget: {max_bytes: 200kB}", "budget.max_bytes", "200kB"),
        ("budget: {max_p95_us: 0.0000001}", "budget.max_p95_us", "1e-07"),
        ("budget: {max_p95_us: -100}", "budget.max_p95_us", "-100"),
        ("budget: {max_p95_us: .nan}", "budget.max_p95_us", "nan"),
        ("budget: {max_p95_us: -.inf}", "budget.max_p95_us", "-inf"),
        ("budget: {3: 4}", "budget", "3"),
        ("target: !!binary aGVsbG8=", "target", "b'hello'"),
        ("budget: 5", "budget", "5"),
        ("search: {preset: fast}", "search.preset", "fast"),
        ("search: {families: [svm]}", "search.families.0", "svm"),
        ("search: {families: []}", "search.families", ""),
        ("search: {families: [mlp, mlp]}", "search.families", "mlp, mlp"),
        ("search: {max_trials: 0}", "search.max_trials", "0"),
        ("split: {test_share: 0.99}", "split.test_share", "0.99"),
        ("split: {folds: 1}", "split.folds", "1"),
        ("split: {kind: stratified, group: pump}", "split.group", "pump"),
        ("metric: r2", "metric", "r2"),
        ("metric: [auto]", "metric", "['auto']"),
        ("columns: {include: [a], exclude: [a]}", "columns.exclude", "a"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(more: str, path: str, value: str) -> None:
    text = f"task: tabular-classification\n{'' if 'target' in more else 'target: broken'}\n{more}"
    assert first_problem(text) == (path, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- task: tabular-classification",
        "task: [unclosed",
        "task: tabular-regression\ntask: tabular-regression",
        '{"task": "tabular-regression", "task": "tabular-regression"}',
        "a: &a [x]\nb: *a",
        "task: !!python/object/apply:os.system [ls]",
        "task: tabular-regression\nbudget: {max_p95_us: .nan}",
        '{"task": "tabular-regression", "budget": {"max_p95_us": Infinity}}',
        "1: 2",
        "[" * 60_000,
        "{a: " * 9_000,
        "task: " + "x" * 70_000,
        "\x00",
        "? [a, b]\n: c",
        "task: !!binary aGVsbG8=",
    ],
)
def test_what_is_no_recipe_is_refused_and_nothing_is_raised(text: str) -> None:
    recipe, problems = read_recipe(text)
    assert recipe is None
    assert len(problems) >= 1
    assert len(problems[0].value) <= 80


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("target: nothing", "target"),
        ("target: at", "target"),
        ("split: {group: line}", "split.group"),
        ("split: {group: broken}", "split.group"),
        ("columns: {include: [pressure, 温度]}", "columns.include.1"),
        ("columns: {exclude: [speed]}", "columns.exclude.0"),
        ("columns: {include: [broken]}", "columns.include"),
        ("columns: {exclude: [pressure, valve open, 型号]}", "columns"),
    ],
)
def test_a_recipe_that_does_not_fit_its_table_is_refused(more: str, path: str) -> None:
    recipe, problems = read_recipe(f"task: tabular-classification\n{more}")
    assert recipe is not None, problems
    assert [problem.path for problem in problems_with(recipe, TABLE)] == [path]


def test_a_text_target_is_no_regression() -> None:
    recipe, _ = read_recipe("task: tabular-regression\ntarget: 型号")
    assert recipe is not None
    assert problems_with(recipe, TABLE)[0].path == "target"


def test_time_id_and_target_are_no_features() -> None:
    recipe, _ = read_recipe("task: tabular-classification")
    assert recipe is not None
    features = choose_features(recipe, TABLE)
    assert features.numbers == ("pressure", "valve open")
    assert features.texts == ("型号",)
    assert set(features.left_out) == {"at", "pump"}
    assert (features.group, features.group_if_repeated) == ("pump", True)


def test_a_column_that_is_asked_for_by_name_is_a_feature_even_if_it_is_the_id() -> None:
    recipe, _ = read_recipe("task: tabular-classification\ncolumns: {include: [pressure, pump]}")
    assert recipe is not None
    assert choose_features(recipe, TABLE).numbers == ("pressure", "pump")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_recipe(path: Path) -> None:
    recipe, problems = read_recipe(path.read_text(encoding="utf-8"))
    assert (recipe is not None, problems) == (True, [])


def test_the_example_with_every_field_has_every_field_with_its_default() -> None:
    text = (RECIPES / "every-field.yaml").read_text(encoding="utf-8")
    recipe, _ = read_recipe(text)
    assert recipe is not None
    assert recipe == read_recipe("task: tabular-classification")[0]
    assert yaml.safe_load(text).keys() == json.loads(recipe_text(recipe)).keys()
