"""Judge whether a file answers as the trained object does: without this proof there is no version."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4
"""Of a probability; of a prediction, in standard deviations of the target."""
MARGIN = 1e-3
"""Two best probabilities further apart than this leave no doubt about the label."""
AGREEMENT = 0.999


@dataclass(frozen=True, slots=True)
class Parity:
    """How file and object compare.

    Attributes:
        worst_row: Where they differ most, counted from 0.
        detail: What is wrong; empty if they agree.
    """

    rows: int
    max_abs_delta: float
    label_agreement: float
    tolerance: float
    passed: bool
    worst_row: int
    detail: str


def compare_classes(trained: NDArray[np.float64], file: NDArray[np.float32], labels: NDArray[np.int64]) -> Parity:
    """Compare probabilities [n, classes] of the trained object with those of the file, and the file's label places."""
    rows = len(trained)
    if file.shape != trained.shape or labels.shape != (rows,):
        return _refused(rows, f"the file answers {list(file.shape)}, the trained object {list(trained.shape)}")
    if not np.isfinite(file).all():
        return _refused(rows, "the file answers with numbers that are not finite")
    delta = np.abs(trained - file).max(axis=1)
    right = trained.argmax(axis=1)
    agreement = float((right == labels).mean())
    top = np.sort(trained, axis=1)[:, -2:]
    clear = int(((right != labels) & (top[:, 1] - top[:, 0] > MARGIN)).sum())
    found = _findings(delta, agreement)
    if clear:
        found.append(f"{clear} rows without doubt have another label")
    worst = int(delta.argmax())
    return Parity(rows, float(delta[worst]), agreement, TOLERANCE, not found, worst, "; ".join(found))


def compare_numbers(trained: NDArray[np.float64], file: NDArray[np.float32], spread: float) -> Parity:
    """Compare predictions [n] of both; ``spread`` is the standard deviation of the target."""
    rows = len(trained)
    if file.reshape(-1).shape != trained.shape:
        return _refused(rows, f"the file answers {list(file.shape)}, the trained object {list(trained.shape)}")
    if not np.isfinite(file).all():
        return _refused(rows, "the file answers with numbers that are not finite")
    delta = np.abs(trained - file.reshape(-1)) / (spread or 1.0)
    worst = int(delta.argmax())
    found = _findings(delta, 1.0)
    return Parity(rows, float(delta[worst]), 1.0, TOLERANCE, not found, worst, "; ".join(found))


def _findings(delta: NDArray[np.float64], agreement: float) -> list[str]:
    found = []
    if delta.max() >= TOLERANCE:
        found.append(f"row {int(delta.argmax())} differs by {delta.max():.2e}, {TOLERANCE:g} is allowed")
    if agreement < AGREEMENT:
        found.append(f"labels agree on {agreement:.4f} of the rows, {AGREEMENT} are needed")
    return found


def _refused(rows: int, detail: str) -> Parity:
    return Parity(rows, float("inf"), 0.0, TOLERANCE, passed=False, worst_row=0, detail=detail)
