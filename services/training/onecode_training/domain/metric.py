"""Choose what "better" means from how the classes are balanced."""

from collections.abc import Sequence

from onecode_training.domain.recipe import REGRESSION, Recipe

RARE = 0.2
"""Below this share of the rows a class is rare: accuracy would praise a model that never finds it."""


def choose_metric(recipe: Recipe, class_counts: Sequence[int]) -> str:
    """Return the metric to rank by; it is higher for better models.

    Args:
        recipe: Its own choice wins.
        class_counts: Rows of each class; empty for regression.
    """
    if recipe.metric != "auto":
        return recipe.metric
    if recipe.task == REGRESSION:
        return "r2"
    binary = len(class_counts) == 2  # noqa: PLR2004 - the word says it
    if binary and min(class_counts) < RARE * sum(class_counts):
        return "average_precision"
    return "balanced_accuracy"


def positive_class(recipe: Recipe, labels: Sequence[str], counts: Sequence[int]) -> int | None:
    """Return the place of the class that matters among two, or None where there are more.

    Raises:
        KeyError: The recipe names a class that does not occur.
    """
    if len(labels) != 2:  # noqa: PLR2004
        return None
    if recipe.positive is not None:
        wanted = str(recipe.positive)
        if isinstance(recipe.positive, bool):
            wanted = str(int(recipe.positive))
        return {label: place for place, label in enumerate(labels)}[wanted]
    # With a tie the second: classes are sorted, and "1" or "yes" come after "0" and "no".
    return 0 if counts[0] < counts[1] else 1
