"""List what a run tries: a broad, cheap portfolio, cheapest first, cut to what the budget can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from onecode_common.canonical import canonical
from onecode_training.domain.recipe import Budget, Recipe

_LINEAR = {"quick": (1.0, 0.05), "standard": (1.0, 0.05, 20.0)}
"""Inverse strength of regularisation."""
_TREES = {
    "quick": ((60, 8, 0.1), (100, 15, 0.1)),
    "standard": ((60, 8, 0.1), (100, 15, 0.1), (150, 15, 0.05), (200, 31, 0.05)),
}
"""Trees, leaves of each, learning rate."""
_NETS = {"quick": (((32, 16), 1e-4),), "standard": (((16,), 1e-3), ((32, 16), 1e-4), ((64, 32), 1e-4))}
"""Widths of the hidden layers, weight decay."""

_BYTES_PER_NODE = 40
"""Of a tree in an ONNX file, rounded up from 33 to 38 measured."""
_BYTES_PER_WEIGHT = 4
_FEWEST_TREES = 10
_HEADROOM = 0.95


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to try.

    Attributes:
        ruled_out: Why it is not even begun; empty: it is.
    """

    number: int
    family: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ruled_out: str = ""

    def parameters_text(self) -> str:
        """Return the parameters as canonical JSON."""
        return canonical(dict(self.parameters)).decode()


def candidates(recipe: Recipe, inputs: int, outputs: int) -> list[Candidate]:
    """Return what to try, numbered from 2 on: number 1 is the trivial baseline.

    Args:
        recipe: Names preset, families and budget.
        inputs: Numbers that an estimator sees for each row.
        outputs: Scores that it gives: classes above two, else one.
    """
    preset, families = recipe.search.preset, recipe.search.families
    found: list[tuple[str, dict[str, Any], str]] = []
    if "linear" in families:
        found += [("linear", {"strength": strength}, "") for strength in _LINEAR[preset]]
    if "lightgbm" in families:
        found += [_trees(*shape, outputs, recipe.budget) for shape in _TREES[preset]]
    if "mlp" in families:
        found += [_net(widths, decay, inputs, outputs, recipe.budget) for widths, decay in _NETS[preset]]
    return [Candidate(number, *each) for number, each in enumerate(found[: recipe.search.max_trials], 2)]


def _trees(trees: int, leaves: int, rate: float, outputs: int, budget: Budget) -> tuple[str, dict[str, Any], str]:
    parameters = {"trees": trees, "leaves": leaves, "rate": rate}
    if budget.max_bytes is None:
        return "lightgbm", parameters, ""
    one = _BYTES_PER_NODE * (2 * leaves - 1) * outputs
    most = int(budget.max_bytes * _HEADROOM / one)
    if most < _FEWEST_TREES:
        reason = f"even {_FEWEST_TREES} trees of {leaves} leaves take about {_FEWEST_TREES * one} bytes"
        return "lightgbm", parameters, f"{reason}, {budget.max_bytes} are allowed"
    return "lightgbm", parameters | {"trees": min(trees, most)}, ""


def _net(
    widths: tuple[int, ...], decay: float, inputs: int, outputs: int, budget: Budget
) -> tuple[str, dict[str, Any], str]:
    layers = (inputs, *widths, outputs)
    size = _BYTES_PER_WEIGHT * sum((a + 1) * b for a, b in pairwise(layers))
    parameters: dict[str, Any] = {"widths": list(widths), "decay": decay}
    if budget.max_bytes is not None and size > budget.max_bytes:
        return "mlp", parameters, f"its weights alone take {size} bytes, {budget.max_bytes} are allowed"
    return "mlp", parameters, ""
