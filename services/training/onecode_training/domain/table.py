"""Decide which columns of a data set a model sees, and refuse what cannot be trained on before anything starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onecode_training.domain.recipe import REGRESSION, Problem, Recipe

FLOAT, INTEGER, BOOLEAN, TIMESTAMP, TEXT = "float", "integer", "boolean", "timestamp", "text"
NUMERIC = frozenset({FLOAT, INTEGER, BOOLEAN})

MOST_COLUMNS = 600
"""A golden set of 64 rows must stay below one mebibyte."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a data-set version; :attr:`type` is one of the names above."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """An immutable data-set version.

    Attributes:
        objects: Hex digests of its Parquet files, in row order.
    """

    version_id: str
    name: str
    rows: int
    columns: tuple[Column, ...]
    target: str
    time_column: str
    id_column: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """What the model sees of a table.

    Attributes:
        group: Column whose rows stay together; empty: none.
        group_if_repeated: Group only if its values repeat (an id column).
        left_out: Reason by column.
    """

    target: str
    target_type: str
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    group: str
    group_if_repeated: bool
    left_out: Mapping[str, str]


def problems_with(recipe: Recipe, dataset: Dataset) -> list[Problem]:
    """Return where a recipe and a data set do not fit."""
    return list(_problems(recipe, dataset))


def _problems(recipe: Recipe, dataset: Dataset) -> Iterator[Problem]:
    types = {column.name: column.type for column in dataset.columns}
    yield from _target_problems(recipe, dataset, types)
    yield from _group_problems(recipe, dataset, types)
    for kind in ("include", "exclude"):
        for at, name in enumerate(getattr(recipe.columns, kind)):
            if name not in types:
                yield Problem(f"columns.{kind}.{at}", _no_column(name, types), name[:80])


def _target_problems(recipe: Recipe, dataset: Dataset, types: Mapping[str, str]) -> Iterator[Problem]:
    target = recipe.target or dataset.target
    if not target:
        yield Problem("target", "name the column to predict: the data set states none")
        return
    if target not in types:
        yield Problem("target", _no_column(target, types), target[:80])
        return
    kind = types[target]
    if kind == TIMESTAMP or (recipe.task == REGRESSION and kind not in (FLOAT, INTEGER)):
        yield Problem("target", f"{target[:80]!r} is a {kind} column, which {recipe.task} cannot predict", target[:80])
    if target in recipe.columns.include:
        yield Problem("columns.include", "the target cannot be a feature", target[:80])
        return
    chosen = choose_features(recipe, dataset)
    count = len(chosen.numbers) + len(chosen.texts)
    if not 1 <= count <= MOST_COLUMNS:
        yield Problem("columns", f"{count} columns are left to learn from: 1 to {MOST_COLUMNS} work", str(count))


def _group_problems(recipe: Recipe, dataset: Dataset, types: Mapping[str, str]) -> Iterator[Problem]:
    group = recipe.split.group
    if group and group not in types:
        yield Problem("split.group", _no_column(group, types), group[:80])
    elif group and group == (recipe.target or dataset.target):
        yield Problem("split.group", "the target cannot be the group", group[:80])
    elif recipe.split.kind == "grouped" and not group and not dataset.id_column:
        yield Problem("split.group", "name the column to group by: the data set has no id column")


def choose_features(recipe: Recipe, dataset: Dataset) -> Features:
    """Return what the model sees; recipe and data set fit each other."""
    target = recipe.target or dataset.target
    group = recipe.split.group
    by_id = not group and recipe.split.kind != "stratified" and bool(dataset.id_column)
    left_out = {dataset.time_column: "the time column", dataset.id_column: "the id column", group: "the group column"}
    left_out |= dict.fromkeys(recipe.columns.exclude, "excluded by the recipe")
    left_out.pop("", None)
    numbers: list[str] = []
    texts: list[str] = []
    reasons: dict[str, str] = {}
    for column in dataset.columns:
        reason = "" if column.name in recipe.columns.include else left_out.get(column.name, "")
        if column.type == TIMESTAMP:
            reason = reason or "points in time cannot be learnt from as they stand"
        if recipe.columns.include and column.name not in recipe.columns.include:
            reason = reason or "not included by the recipe"
        if column.name == target:
            continue
        if reason:
            reasons[column.name] = reason
        else:
            (numbers if column.type in NUMERIC else texts).append(column.name)
    types = {column.name: column.type for column in dataset.columns}
    return Features(
        target=target,
        target_type=types[target],
        numbers=tuple(numbers),
        texts=tuple(texts),
        group=group or (dataset.id_column if by_id else ""),
        group_if_repeated=by_id and recipe.split.kind != "grouped",
        left_out=reasons,
    )


def _no_column(name: str, types: Mapping[str, str]) -> str:
    listed = [repr(known[:40]) for known in list(types)[:8]]
    return f"there is no column {name[:80]!r}: it has {', '.join(listed)}{' …' if len(types) > len(listed) else ''}"
