"""Split rows with scikit-learn: stratified by class, or whole groups at a time."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from onecode_common.errors import InvalidError
from onecode_training.domain.recipe import Recipe
from onecode_training.domain.tabledata import Plan, TableData

SMALL = 5000
"""Below this many rows one split says too little: candidates are compared on folds."""
_FOLDS = 5

Indices = NDArray[np.int64]


def make_plan(data: TableData, recipe: Recipe) -> Plan:
    """Return which rows are for what; the same seed gives the same plan.

    Raises:
        InvalidError: ``split.groups``: there are too few groups, or a side lacks a class.
    """
    split, everything = recipe.split, np.arange(data.rows)
    fit, test = _two(data, everything, split.test_share, recipe.seed)
    wanted = split.folds or (_FOLDS if data.rows < SMALL else 0)
    folds = _folds(data, fit, wanted, recipe.seed) if wanted else [_two(data, fit, split.validation_share, recipe.seed)]
    plan = Plan(np.sort(fit), np.sort(test), folds)
    _require_classes(data, plan)
    return plan


def _two(data: TableData, rows: Indices, share: float, seed: int) -> tuple[Indices, Indices]:
    if data.groups is None:
        strata = None if data.is_regression else data.target[rows]
        left, right = train_test_split(rows, test_size=share, stratify=strata, random_state=seed)
        return left, right
    groups = data.groups[rows]
    parts = max(2, round(1 / share))
    _require_groups(groups, parts if not data.is_regression else 2)
    if data.is_regression:
        splits = GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=groups)
    else:
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        splits = folds.split(rows, data.target[rows], groups)
    left, right = next(iter(splits))
    return rows[left], rows[right]


def _folds(data: TableData, rows: Indices, count: int, seed: int) -> list[tuple[Indices, Indices]]:
    groups = None if data.groups is None else data.groups[rows]
    if groups is not None:
        _require_groups(groups, count)
    target = data.target[rows]
    if data.is_regression:
        folds = KFold(count, shuffle=True, random_state=seed) if groups is None else GroupKFold(count)
    elif groups is None:
        # A class that is in fewer rows than there are folds would be missing in some.
        most = int(np.bincount(target)[np.unique(target)].min())
        folds = StratifiedKFold(max(2, min(count, most)), shuffle=True, random_state=seed)
    else:
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [(rows[left], rows[right]) for left, right in folds.split(rows, target, groups)]


def _require_groups(groups: Indices, needed: int) -> None:
    count = len(np.unique(groups))
    if count < needed:
        message = f"{count} groups are too few to keep whole ones out: {needed} are needed"
        hint = "use more data, a larger share, or split.kind stratified"
        raise InvalidError(message, code="split.groups", hint=hint, params={"groups": count})


def _require_classes(data: TableData, plan: Plan) -> None:
    if data.is_regression:
        return
    sides = {"held-out": [plan.test], "training": [left for left, _ in plan.folds]}
    for name, parts in sides.items():
        for rows in parts:
            seen = np.bincount(data.target[rows], minlength=len(data.classes))
            if not seen.all():
                label = data.labels[int(seen.argmin())]
                message = f"class {label!r} has no row among the {name} ones: its rows are in too few groups"
                raise InvalidError(message, code="split.classes", params={"value": label})
