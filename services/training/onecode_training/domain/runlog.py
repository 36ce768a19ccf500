"""Say what of a run goes into the registry's run log."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onecode_training.domain.run import INTERRUPTED, OPEN, Run, Trial


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch; a metric is (name, value, step)."""

    state: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[tuple[str, float, int], ...] = ()


def opening(run: Run, code_version: str) -> Entry:
    """Return the first batch of an attempt: what was asked."""
    tags = {
        "onecode.dataset_version": run.dataset_version,
        "onecode.code_version": code_version,
        "onecode.created_by": run.created_by,
        "onecode.attempt": str(run.attempt),
    }
    if run.model:
        tags["onecode.model"] = run.model
    return Entry("running", dict(_flat("", json.loads(run.recipe))), tags)


def of_trial(run: Run, trial: Trial, curves: Mapping[str, tuple[float, ...]] | None) -> Entry | None:
    """Return what a finished trial adds, or None."""
    if trial.state not in ("done", "ruled_out") or trial.score is None:
        return None
    numbers = {
        f"trial/{run.metric or 'score'}": trial.score,
        "trial/bytes": trial.bytes,
        "trial/p95_us": trial.p95_us,
        "trial/fit_seconds": trial.fit_seconds,
        "best_score": run.best_score,
    }
    metrics = [(name, float(value), trial.number) for name, value in numbers.items() if value is not None]
    for name, values in (curves or {}).items():
        metrics += [(f"curve/{name}", value, step) for step, value in enumerate(values)]
    return Entry("running", metrics=tuple(metrics))


def closing(run: Run) -> Entry:
    """Return the last batch: how it ended."""
    tags = {"onecode.error_code": run.error_code} if run.error_code else {}
    if run.winner and run.state not in OPEN | {INTERRUPTED}:
        tags["onecode.winner"] = str(run.winner)
    if run.model_digest:
        tags |= {"onecode.model_digest": run.model_digest, "onecode.model_release": str(run.model_release)}
    metrics = tuple((f"test/{name}", float(value), 0) for name, value in sorted(run.test_metrics.items()))
    return Entry(run.state, tags=tags, metrics=metrics)


def _flat(prefix: str, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        elif value not in (None, "", []):
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
