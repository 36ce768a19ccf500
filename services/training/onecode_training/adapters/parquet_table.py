"""Read a data-set version's Parquet objects into the arrays that models are fitted on."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from onecode_common.errors import InvalidError
from onecode_common.objects import Objects
from onecode_training.domain.recipe import CLASSIFICATION, Recipe
from onecode_training.domain.table import BOOLEAN, FLOAT, INTEGER, Dataset, Features
from onecode_training.domain.tabledata import MOST_CATEGORIES, TableData

LARGEST = 1e30
"""Sums of larger numbers leave float32, and with them every mean and median."""

_LARGEST_INTEGER = 1 << 53


def read_table(objects: Objects, dataset: Dataset, features: Features, recipe: Recipe) -> tuple[TableData, list[str]]:
    """Return the data and what had to be said about it.

    Rows without a target are left out. Numbers become float32 before anything is fitted, so that a threshold which
    a tree learns is one that the file can hold.

    Raises:
        InvalidError: ``data.…``: infinite numbers, a target that does not fit the task.
        NotFoundError: An object of the version is missing or damaged.
    """
    table = _fetch(objects, dataset, features)
    notes = [f"column {name!r} is left out: {reason}" for name, reason in sorted(features.left_out.items())]
    known = np.array(table[features.target].is_valid().combine_chunks())
    if not known.all():
        notes.append(f"{int((~known).sum())} rows without a target are left out")
        table = table.filter(pa.array(known))
    if not table.num_rows:
        message = f"target {features.target!r} has no value in any row"
        raise InvalidError(message, code="data.target_missing", params={"column": features.target})
    numbers = _numbers(table, features, recipe, notes)
    texts = _texts(table, features)
    target, classes = _target(table[features.target], features, recipe)
    groups = _groups(table, features)
    if groups is not None:
        notes.append(f"rows of one {features.group!r} stay together: {int(groups.max()) + 1} groups")
    elif dataset.time_column:
        notes.append(f"rows are ordered by {dataset.time_column!r}, the split is not: scores may be too good")
    return TableData(numbers, texts, target, classes, _categories(texts), groups), notes


def _fetch(objects: Objects, dataset: Dataset, features: Features) -> pa.Table:
    wanted = [*features.numbers, *features.texts, features.target]
    if features.group and features.group not in wanted:
        wanted.append(features.group)
    parts = []
    with tempfile.TemporaryDirectory(prefix="onecode-data-") as folder:
        for number, digest in enumerate(dataset.objects):
            path = Path(folder) / f"{number}.parquet"
            objects.fetch(digest, path)
            parts.append(pq.read_table(path, columns=wanted, memory_map=False))
            path.unlink()
    if not parts:
        message = f"data-set version {dataset.version_id} has no rows"
        raise InvalidError(message, code="data.too_few_rows", params={"rows": 0})
    return pa.concat_tables(parts)


def _numbers(table: pa.Table, features: Features, recipe: Recipe, notes: list[str]) -> NDArray[np.float32]:
    numbers = np.empty((table.num_rows, len(features.numbers)), np.float32)
    with np.errstate(over="ignore"):
        for place, name in enumerate(features.numbers):
            column = table[name].cast(pa.float64() if not pa.types.is_boolean(table[name].type) else pa.uint8())
            numbers[:, place] = column.cast(pa.float64()).to_numpy()
    infinite = np.abs(numbers) > LARGEST
    if infinite.any():
        place = int(infinite.any(axis=0).argmax())
        name, count = features.numbers[place], int(infinite[:, place].sum())
        if recipe.missing.infinities == "refuse":
            message = f"column {name!r} has {count} numbers that are infinite or beyond {LARGEST:g}"
            hint = "correct the data, or set missing.infinities to missing"
            raise InvalidError(message, code="data.infinite", hint=hint, params={"column": name, "count": count})
        numbers[infinite] = np.nan
        notes.append(f"{int(infinite.sum())} numbers that are infinite or beyond {LARGEST:g} count as missing")
    return numbers


def _texts(table: pa.Table, features: Features) -> NDArray[np.object_]:
    texts = np.empty((table.num_rows, len(features.texts)), object)
    for place, name in enumerate(features.texts):
        texts[:, place] = table[name].cast(pa.string()).fill_null("").to_pylist()
    return texts


def _categories(texts: NDArray[np.object_]) -> tuple[tuple[str, ...], ...]:
    found = []
    for place in range(texts.shape[1]):
        counts = Counter(texts[:, place])
        most = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_CATEGORIES]
        found.append(tuple(sorted(most)))
    return tuple(found)


def _target(column: Any, features: Features, recipe: Recipe) -> tuple[NDArray[Any], tuple[Any, ...]]:
    name, kind = features.target, features.target_type
    if recipe.task != CLASSIFICATION:
        values = column.cast(pa.float64()).to_numpy()
        if not (np.abs(values) <= LARGEST).all():
            message = f"target {name!r} has numbers that are infinite or beyond {LARGEST:g}"
            raise InvalidError(message, code="data.infinite", params={"column": name})
        return values.astype(np.float32), ()
    if kind in (INTEGER, BOOLEAN, FLOAT):
        # Booleans become 0 and 1: what a client gets back is a number on every wire.
        values = column.cast(pa.uint8()).to_numpy() if kind == BOOLEAN else column.to_numpy()
        if kind == FLOAT and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            message = f"target {name!r} has fractions: a classification needs classes, or use tabular-regression"
            raise InvalidError(message, code="data.fractional_target", params={"column": name})
        if np.abs(values).max() > _LARGEST_INTEGER:
            message = f"target {name!r} has integers beyond 2**53"
            raise InvalidError(message, code="data.large_target", params={"column": name})
        classes, places = np.unique(values.astype(np.int64), return_inverse=True)
        return places.astype(np.int64), tuple(int(each) for each in classes)
    words, places = np.unique(np.array(column.cast(pa.string()).to_pylist(), object), return_inverse=True)
    return places.astype(np.int64), tuple(str(each) for each in words)


def _groups(table: pa.Table, features: Features) -> NDArray[np.int64] | None:
    if not features.group:
        return None
    values = np.array(table[features.group].cast(pa.string()).fill_null("").to_pylist(), object)
    _, groups = np.unique(values, return_inverse=True)
    repeated = int(groups.max()) + 1 < len(groups)
    return groups.astype(np.int64) if repeated or not features.group_if_repeated else None
