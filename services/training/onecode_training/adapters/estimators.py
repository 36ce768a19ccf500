"""Build what a candidate stands for: preprocessing and estimator as one scikit-learn pipeline."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import Booster, LGBMClassifier, LGBMRegressor
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from onecode_training.domain.recipe import Recipe
from onecode_training.domain.tabledata import TableData

ESTIMATOR = "estimator"

_FEW_ROWS = 3000
"""Below it a second-order solver finds better nets than stochastic steps do, and is quick."""
_STEPS_OF_ROWS = 1_500_000
_EPOCHS = (20, 200)
_IMPUTERS: Mapping[str, Mapping[str, Any]] = {
    "median": {"strategy": "median"},
    "mean": {"strategy": "mean"},
    "zero": {"strategy": "constant", "fill_value": 0.0},
}


def build(family: str, parameters: Mapping[str, Any], data: TableData, rows: int, recipe: Recipe) -> Pipeline:
    """Return the unfitted pipeline of a candidate for ``rows`` rows."""
    numeric: list[tuple[str, Any]] = [
        ("missing", SimpleImputer(keep_empty_features=True, **_IMPUTERS[recipe.missing.numbers]))
    ]
    if family != "lightgbm":
        # Never in front of trees: float32 scaling in the file differs in the last bit, and splits flip.
        numeric.append(("scale", StandardScaler()))
    columns, words = data.numbers.shape[1], data.texts.shape[1]
    parts: list[tuple[str, Any, list[int]]] = []
    if columns:
        parts.append(("numbers", Pipeline(numeric), list(range(columns))))
    if words:
        encoder = OneHotEncoder(
            categories=[np.array(each, object) for each in data.categories],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=np.float32,
        )
        parts.append(("texts", encoder, list(range(columns, columns + words))))
    estimator = _MAKERS[family](parameters, data, rows, recipe.seed)
    return Pipeline([("columns", ColumnTransformer(parts, sparse_threshold=0)), (ESTIMATOR, estimator)])


def as_frame(numbers: NDArray[np.float32], texts: NDArray[np.object_]) -> pd.DataFrame:
    """Return rows as the pipelines take them: float32 columns ``f0…``, then text columns ``c0…``."""
    columns = {f"f{place}": numbers[:, place] for place in range(numbers.shape[1])}
    words = {f"c{place}": pd.Series(texts[:, place], dtype=object) for place in range(texts.shape[1])}
    return pd.DataFrame({**columns, **words})


def fit(pipeline: Pipeline, data: TableData, rows: NDArray[np.int64]) -> Pipeline:
    """Fit on these rows and return the pipeline."""
    target = data.target[rows]
    estimator = pipeline[-1]
    if isinstance(estimator, MLPRegressor):
        # A net learns a target of spread one; the last layer then gives back the target's own unit.
        mean, spread = float(target.mean()), float(target.std()) or 1.0
        pipeline.fit(as_frame(data.numbers[rows], data.texts[rows]), (target - mean) / spread)
        estimator.coefs_[-1] = (estimator.coefs_[-1] * spread).astype(np.float32)
        estimator.intercepts_[-1] = (estimator.intercepts_[-1] * spread + mean).astype(np.float32)
        return pipeline
    pipeline.fit(as_frame(data.numbers[rows], data.texts[rows]), target)
    if isinstance(estimator, LGBMClassifier | LGBMRegressor):
        _round_thresholds(estimator)
    return pipeline


def _round_thresholds(estimator: LGBMClassifier | LGBMRegressor) -> None:
    """Make each threshold of the trees a float32, which is what a file can hold.

    A threshold lies between two float32 values as a float64. Rounded up it may land on the upper one, and rows there
    would change sides in the file. Rounded down, every float32 row stays on the side on which it was.
    """
    lines = estimator.booster_.model_to_string().splitlines()
    for place, line in enumerate(lines):
        if line.startswith("threshold="):
            exact = np.array(line.removeprefix("threshold=").split(), np.float64)
            rounded = exact.astype(np.float32)
            rounded = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
            lines[place] = "threshold=" + " ".join(repr(float(value)) for value in rounded)
    # The sizes of the tree texts have changed; without them the texts are read one after the other.
    text = "\n".join(line for line in lines if not line.startswith("tree_sizes=")) + "\n"
    estimator._Booster = Booster(model_str=text)  # noqa: SLF001 - there is no public way to put it back


def predict(pipeline: Pipeline, numbers: NDArray[np.float32], texts: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return probabilities [n, classes], or predictions [n]."""
    frame = as_frame(numbers, texts)
    if hasattr(pipeline, "predict_proba"):
        return np.asarray(pipeline.predict_proba(frame), np.float64)
    return np.asarray(pipeline.predict(frame), np.float64).reshape(-1)


def curve_of(pipeline: Pipeline) -> tuple[float, ...]:
    """Return the training loss of each epoch where the estimator kept it."""
    losses = getattr(pipeline[-1], "loss_curve_", ())[:200]
    return tuple(float(value) for value in losses if np.isfinite(value))


def _linear(parameters: Mapping[str, Any], data: TableData, _rows: int, seed: int) -> Any:
    if data.is_regression:
        return Ridge(alpha=1.0 / parameters["strength"], random_state=seed)
    return LogisticRegression(C=parameters["strength"], max_iter=1000, random_state=seed)


def _lightgbm(parameters: Mapping[str, Any], data: TableData, rows: int, seed: int) -> Any:
    settings: dict[str, Any] = {
        "n_estimators": parameters["trees"],
        "num_leaves": parameters["leaves"],
        "learning_rate": parameters["rate"],
        "min_child_samples": int(np.clip(rows // 50, 5, 20)),
        "n_jobs": 1,
        "random_state": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    return LGBMRegressor(**settings) if data.is_regression else LGBMClassifier(**settings)


def _mlp(parameters: Mapping[str, Any], data: TableData, rows: int, seed: int) -> Any:
    settings: dict[str, Any] = {
        "hidden_layer_sizes": tuple(parameters["widths"]),
        "random_state": seed,
    }
    if rows < _FEW_ROWS:
        # Few rows: strong decay instead of early stopping, which would take some of them away.
        settings |= {"solver": "lbfgs", "max_iter": 300, "alpha": max(3.0, parameters["decay"])}
    else:
        epochs = int(np.clip(_STEPS_OF_ROWS // rows, *_EPOCHS))
        settings |= {
            "alpha": parameters["decay"],
            "batch_size": 256,
            "learning_rate_init": 0.003,
            "max_iter": epochs,
            "n_iter_no_change": 8,
        }
    return MLPRegressor(**settings) if data.is_regression else MLPClassifier(**settings)


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], TableData, int, int], Any]] = {
    "linear": _linear,
    "lightgbm": _lightgbm,
    "mlp": _mlp,
}
