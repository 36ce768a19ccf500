"""Hold a table as the arrays that models are fitted on, and say which of its rows are for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecode_common.errors import InvalidError

FEWEST_ROWS = 80
"""64 golden rows must come from somewhere that is not all of the training."""
FEWEST_OF_A_CLASS = 8
"""Below this a class cannot be in every fold and in the held-out rows."""
MOST_CLASSES = 100
MOST_CATEGORIES = 100
"""Of one text column; the model sees rarer ones as "something else"."""


@dataclass(frozen=True, slots=True)
class TableData:
    """A table ready for fitting.

    Attributes:
        numbers: float32 [rows, columns]; NaN is a missing value.
        texts: str objects [rows, columns]; "" is a missing value.
        target: Class places int64 [rows], or float32 [rows] for regression.
        classes: The classes in their order, as the model will name them: integers or texts; empty for regression.
        categories: Of each text column, those that the model tells apart.
        groups: A number for each row; rows with the same number stay together. None: no groups.
    """

    numbers: NDArray[np.float32]
    texts: NDArray[np.object_]
    target: NDArray[Any]
    classes: tuple[int, ...] | tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    groups: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def is_regression(self) -> bool:
        """Whether the target is a number."""
        return not self.classes

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(str(each) for each in self.classes)

    def class_counts(self) -> tuple[int, ...]:
        """Return the rows of each class; nothing for regression."""
        if self.is_regression:
            return ()
        return tuple(int(count) for count in np.bincount(self.target, minlength=len(self.classes)))


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows are for what: indices, disjoint where it matters.

    Attributes:
        fit: What the shipped model is fitted on.
        test: Held out until the winner is known.
        folds: (fitted on, compared on) pairs within :attr:`fit`; one pair where one comparison is enough.
    """

    fit: NDArray[np.int64]
    test: NDArray[np.int64]
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]

    @property
    def single(self) -> bool:
        """Whether candidates are compared on one split: then they were not fitted on all of :attr:`fit`."""
        return len(self.folds) == 1


def require_learnable(data: TableData, numbers: Sequence[str]) -> None:
    """Refuse a table that no model can be made from.

    Args:
        data: The table.
        numbers: Names of its numeric columns.

    Raises:
        InvalidError: ``data.…``, with the column or class that does not fit.
    """
    if data.rows < FEWEST_ROWS:
        message = f"{data.rows} rows with a target are too few: at least {FEWEST_ROWS} are needed"
        raise InvalidError(message, code="data.too_few_rows", params={"rows": data.rows})
    empty = np.isnan(data.numbers).all(axis=0) if data.numbers.size else np.zeros(0, bool)
    if empty.any():
        name = numbers[int(empty.argmax())]
        message = f"column {name!r} has no value at all: exclude it (columns.exclude)"
        raise InvalidError(message, code="data.all_missing", params={"column": name})
    if data.is_regression:
        if float(np.std(data.target)) == 0.0:
            message = f"the target is {data.target[0]:g} in every row: there is nothing to learn"
            raise InvalidError(message, code="data.constant_target", params={"value": data.target[0]})
        return
    counts = data.class_counts()
    if len(counts) < 2:  # noqa: PLR2004 - one class is no question
        only = data.labels[0] if data.labels else ""
        message = f"the target has the single class {only!r}: there is nothing to learn"
        raise InvalidError(message, code="data.single_class", params={"value": only})
    if len(counts) > MOST_CLASSES:
        message = f"the target has {len(counts)} classes, at most {MOST_CLASSES} are told apart: is it a regression?"
        raise InvalidError(message, code="data.too_many_classes", params={"classes": len(counts)})
    if min(counts) < FEWEST_OF_A_CLASS:
        place = counts.index(min(counts))
        message = f"class {data.labels[place]!r} has {counts[place]} rows, at least {FEWEST_OF_A_CLASS} are needed"
        raise InvalidError(message, code="data.rare_class", params={"value": data.labels[place], "rows": counts[place]})
