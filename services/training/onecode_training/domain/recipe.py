"""Say what a person may ask of a training run, and which of it makes no sense."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from onecode_common.canonical import canonical
from onecode_common.errors import InvalidError

Task = Literal["tabular-classification", "tabular-regression"]
Family = Literal["linear", "lightgbm", "mlp"]
Metric = Literal["auto", "average_precision", "roc_auc", "balanced_accuracy", "accuracy", "r2"]

CLASSIFICATION: Task = "tabular-classification"
REGRESSION: Task = "tabular-regression"

_STRICT: Mapping[str, Any] = {"extra": "forbid", "strict": True}
"""How a reader of recipes treats these classes: unknown names and wrong types are refused, never mended."""

BYTES_RANGE = (500, 256 << 20)
"""The smallest useful file and the largest that the registry takes."""
P95_RANGE_US = (0.5, 10e6)
"""Below half a microsecond not even an empty call fits; beyond ten seconds it is no budget."""
SHARE_RANGE = (0.05, 0.5)
MOST_FOLDS, FEWEST_FOLDS = 10, 2
MOST_TRIALS = 50
SECONDS_RANGE = (1.0, 86_400.0)
MOST_SEED = (1 << 31) - 1
LONGEST_NAME = 200


class Problem(NamedTuple):
    """Something wrong with a recipe.

    Attributes:
        path: Where: ``budget.max_bytes``.
        value: What stands there, as text.
    """

    path: str
    message: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the file of the model may cost, measured on the file. None: no limit.

    Attributes:
        max_bytes: Size of the ONNX file.
        max_p95_us: 95th percentile of the CPU time of a call with one row, microseconds.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    max_bytes: int | None = None
    max_p95_us: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """How much to try.

    Attributes:
        preset: ``quick`` (4 to 6 candidates) or ``standard`` (8 to 12).
        families: Which kinds of models.
        max_trials: Fewer candidates than the preset has; the cheapest come first.
        max_seconds: After this time no further candidate is begun.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    preset: Literal["quick", "standard"] = "quick"
    families: tuple[Family, ...] = ("linear", "lightgbm", "mlp")
    max_trials: int | None = None
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Which rows are kept from training.

    Attributes:
        kind: ``auto`` groups by :attr:`group`, or by the data set's id column where ids repeat; else it is stratified.
        group: Column whose rows stay together (a device): none of its values is on both sides.
        test_share: Share of the rows that nobody looks at before the winner is known.
        validation_share: Share of the rest that candidates are compared on, where there are no folds.
        folds: Folds of the comparison; None: five below 5,000 rows, none above.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    kind: Literal["auto", "stratified", "grouped"] = "auto"
    group: str = ""
    test_share: float = 0.2
    validation_share: float = 0.2
    folds: int | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns the model sees; nothing included means all but target, time, id and group."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands for a missing number, inside the model; and whether an infinite number counts as missing."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    numbers: Literal["median", "mean", "zero"] = "median"
    infinities: Literal["refuse", "missing"] = "refuse"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a run does, besides the data.

    Attributes:
        target: Column to predict; empty: the data set's own.
        positive: The class that matters, of two; None: the rarer one.
        seed: The same seed on the same data gives the same model.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT
    task: Task
    target: str = ""
    positive: str | int | bool | None = None
    metric: Metric = "auto"
    columns: Columns = field(default_factory=Columns)
    missing: Missing = field(default_factory=Missing)
    split: Split = field(default_factory=Split)
    search: Search = field(default_factory=Search)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0


def recipe_text(recipe: Recipe) -> str:
    """Return the recipe as canonical JSON with every default written out."""
    return canonical(asdict(recipe)).decode()


def problems_of(recipe: Recipe) -> list[Problem]:
    """Return what makes no sense in a recipe that has the right form."""
    return [*_numbers(recipe), *_names(recipe), *_combinations(recipe)]


def refuse(problems: Sequence[Problem]) -> None:
    """Raise the first problem, if there is one.

    Raises:
        InvalidError: ``recipe.invalid``.
    """
    if not problems:
        return
    path, message, value = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidError(
        f"recipe: {path + ': ' if path else ''}{message}{more}",
        code="recipe.invalid",
        hint="ask for all problems with ValidateRecipe",
        params={"path": path, "value": value},
    )


def _numbers(recipe: Recipe) -> Iterator[Problem]:
    budget, search, split = recipe.budget, recipe.search, recipe.split
    yield from _range("budget.max_bytes", budget.max_bytes, *BYTES_RANGE)
    yield from _range("budget.max_p95_us", budget.max_p95_us, *P95_RANGE_US)
    yield from _range("search.max_trials", search.max_trials, 1, MOST_TRIALS)
    yield from _range("search.max_seconds", search.max_seconds, *SECONDS_RANGE)
    yield from _range("split.test_share", split.test_share, *SHARE_RANGE)
    yield from _range("split.validation_share", split.validation_share, *SHARE_RANGE)
    yield from _range("split.folds", split.folds, FEWEST_FOLDS, MOST_FOLDS)
    yield from _range("seed", recipe.seed, 0, MOST_SEED)


def _range(path: str, value: float | None, low: float, high: float) -> Iterator[Problem]:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        yield Problem(path, f"must be {low:g} to {high:g}, not {value:g}", f"{value:g}")


def _names(recipe: Recipe) -> Iterator[Problem]:
    named = [("target", recipe.target), ("split.group", recipe.split.group)]
    named += [(f"columns.include.{at}", name) for at, name in enumerate(recipe.columns.include)]
    named += [(f"columns.exclude.{at}", name) for at, name in enumerate(recipe.columns.exclude)]
    for path, name in named:
        if len(name) > LONGEST_NAME:
            yield Problem(path, f"is longer than {LONGEST_NAME} characters", name[:80])
    both = set(recipe.columns.include) & set(recipe.columns.exclude)
    for name in sorted(both):
        yield Problem("columns.exclude", f"{name[:80]!r} is included and excluded", name[:80])


def _combinations(recipe: Recipe) -> Iterator[Problem]:
    regression = recipe.task == REGRESSION
    fits = ("auto", "r2") if regression else ("auto", "average_precision", "roc_auc", "balanced_accuracy", "accuracy")
    if recipe.metric not in fits:
        yield Problem("metric", f"does not fit {recipe.task}: use {', '.join(fits)}", recipe.metric)
    if regression and recipe.positive is not None:
        yield Problem("positive", "only a classification has a positive class", str(recipe.positive))
    families = recipe.search.families
    if not families or len(set(families)) != len(families):
        yield Problem("search.families", "name each family once, and at least one", ", ".join(families))
    if recipe.split.kind == "stratified" and recipe.split.group:
        yield Problem("split.group", "a stratified split has no group: use kind grouped", recipe.split.group)
