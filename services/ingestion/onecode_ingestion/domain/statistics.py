"""Describe the numbers of a column so that a person sees what is in it, and nothing overflows on the way."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 30


def describe(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return ``min``, ``max``, ``mean``, ``std``, ``quantiles`` and ``histogram`` of finite numbers.

    ``std`` is that of the population. What no float can hold (the spread of 1e308 and -1e308) is left out.
    """
    if not len(values):
        return {}
    ordered = np.sort(values)
    low, high = float(ordered[0]), float(ordered[-1])
    # Computed on a scale on which no difference and no sum of squares of doubles overflows.
    scale = max(abs(low), abs(high)) or 1.0
    unit = ordered / scale if np.isfinite(1.0 / scale) else ordered
    factor = scale if unit is not ordered else 1.0
    found = {"min": low, "max": high, "mean": float(unit.mean()) * factor, "std": float(unit.std()) * factor}
    described: dict[str, Any] = {name: value for name, value in found.items() if np.isfinite(value)}
    marks = np.quantile(unit, QUANTILES) * factor
    described["quantiles"] = {str(q): float(np.clip(mark, low, high)) for q, mark in zip(QUANTILES, marks, strict=True)}
    described["histogram"] = _histogram(unit, factor, low, high)
    return described


def _histogram(unit: NDArray[np.float64], factor: float, low: float, high: float) -> list[dict[str, float | int]]:
    if low == high:
        return [{"low": low, "high": high, "count": len(unit)}]
    counts, edges = np.histogram(unit, bins=_BINS, range=(float(unit[0]), float(unit[-1])))
    marks = [float(edge) * factor for edge in edges]
    marks[0], marks[-1] = low, high
    return [{"low": marks[place], "high": marks[place + 1], "count": int(count)} for place, count in enumerate(counts)]
