"""Score predictions with scikit-learn's metrics, and say how sure a score is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

_RESAMPLES = 30
_MOST_RESAMPLED = 20_000

Scores = Mapping[str, float]


def score(metric: str, target: NDArray[Any], predicted: NDArray[np.float64], positive: int | None) -> float:
    """Return the metric, higher is better; ``predicted`` is [n, classes], or [n] for regression."""
    if metric == "r2":
        return float(metrics.r2_score(target, predicted))
    if metric in ("average_precision", "roc_auc"):
        return _ranking(metric, target, predicted, positive)
    labels = predicted.argmax(axis=1)
    if metric == "accuracy":
        return float(metrics.accuracy_score(target, labels))
    return float(metrics.balanced_accuracy_score(target, labels))


def standard_error(
    metric: str, target: NDArray[Any], predicted: NDArray[np.float64], positive: int | None, seed: int
) -> float:
    """Return the standard error of a score on one set of rows, by the bootstrap."""
    rng = np.random.default_rng(seed)
    size = min(len(target), _MOST_RESAMPLED)
    found = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(target), size)
        if metric == "r2" or len(np.unique(target[rows])) == len(np.unique(target)):
            found.append(score(metric, target[rows], predicted[rows], positive))
    # Fewer rows in a sample than in the set spread more, by the square root of the ratio.
    return float(np.std(found) * np.sqrt(size / len(target))) if found else 0.0


def all_scores(target: NDArray[Any], predicted: NDArray[np.float64], positive: int | None) -> Scores:
    """Return every metric that says something about these predictions."""
    if predicted.ndim == 1:
        return {
            "r2": float(metrics.r2_score(target, predicted)),
            "rmse": float(np.sqrt(metrics.mean_squared_error(target, predicted))),
            "mae": float(metrics.mean_absolute_error(target, predicted)),
        }
    labels = predicted.argmax(axis=1)
    found = {
        "accuracy": score("accuracy", target, predicted, positive),
        "balanced_accuracy": score("balanced_accuracy", target, predicted, positive),
        "f1_macro": float(metrics.f1_score(target, labels, average="macro", zero_division=0.0)),
        "log_loss": float(metrics.log_loss(target, _proper(predicted), labels=np.arange(predicted.shape[1]))),
    }
    for metric in ("average_precision", "roc_auc"):
        found[metric] = _ranking(metric, target, predicted, positive)
    return found


def trivial(target: NDArray[Any], rows: int, classes: int) -> NDArray[np.float64]:
    """Return what the trivial baseline predicts: the share of each class, or the mean."""
    if classes == 0:
        return np.full(rows, float(np.mean(target)))
    shares = np.bincount(target, minlength=classes) / len(target)
    return np.tile(shares, (rows, 1))


def _ranking(metric: str, target: NDArray[Any], predicted: NDArray[np.float64], positive: int | None) -> float:
    rank = metrics.average_precision_score if metric == "average_precision" else metrics.roc_auc_score
    if positive is not None:
        return float(rank(target == positive, predicted[:, positive]))
    classes = range(predicted.shape[1])
    return float(np.mean([rank(target == each, predicted[:, each]) for each in classes]))


def _proper(predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(predicted, 1e-9, 1.0)
    shares: NDArray[np.float64] = clipped / clipped.sum(axis=1, keepdims=True)
    return shares
