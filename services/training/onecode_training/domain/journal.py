"""Read what a driver told, one line a step, and say how it changes the run.

A line is a JSON object with ``kind``: ``step`` (stage, progress, message), ``trial`` (a step with a trial in it;
``quiet`` ones show nothing), ``facts`` (metric, baseline), ``outcome`` (last line of a run that worked), ``failed``
(code, message) or ``stopped``; ``at`` is when it was written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from onecode_training.domain.run import STAGES, Point, Run, Trial

STEP, TRIAL, FACTS, OUTCOME, BROKEN, STOPPED = "step", "trial", "facts", "outcome", "failed", "stopped"

_TRIAL_FIELDS = frozenset(field.name for field in fields(Trial))
_REGISTERING = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """What one line does to a run.

    Attributes:
        point: What to show; None for a line that shows nothing.
        trial: The trial that changed, or None.
        curves: Points of curves by name, for the run's log.
    """

    run: Run
    point: Point | None = None
    trial: Trial | None = None
    curves: Mapping[str, tuple[float, ...]] | None = None


def lines_of(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines at the start of the bytes, and how many bytes they take.

    A line without its end was being written when the driver died, or still is.
    """
    end = content.rfind(b"\n") + 1
    return [json.loads(line) for line in content[:end].splitlines() if line.strip()], end


def change(run: Run, line: Mapping[str, Any], now: datetime) -> Change:
    """Return what the line does; unknown kinds and fields of later releases change nothing."""
    kind = line.get("kind")
    if kind == FACTS:
        return Change(replace(run, metric=str(line["metric"]), baseline_score=float(line["baseline_score"])))
    if kind == OUTCOME:
        outcome = dict(line["outcome"])
        run = replace(
            run,
            outcome=outcome,
            winner=int(outcome["winner"]),
            test_metrics={name: float(value) for name, value in outcome["test_metrics"].items()},
            parity=outcome["parity"],
        )
        return _step(run, {"stage": "register", "progress": _REGISTERING, "message": line["message"]}, now)
    if kind == BROKEN:
        # The run ends when its driver is gone, which may be seen later than this line.
        return Change(replace(run, error_code=str(line["code"]), error=str(line["message"])))
    if kind in (STEP, TRIAL):
        return _step(run, line, now)
    return Change(run)


def _step(run: Run, line: Mapping[str, Any], now: datetime) -> Change:
    stage = line["stage"] if line.get("stage") in STAGES else run.stage
    progress = min(1.0, max(run.progress, float(line.get("progress", 0.0))))
    trial, score = None, None
    if isinstance(line.get("trial"), Mapping):
        trial = Trial(**{name: value for name, value in line["trial"].items() if name in _TRIAL_FIELDS})
        score = trial.score
    best = run.best_score
    if trial is not None and trial.state == "done" and score is not None and trial.family != "baseline":
        best = score if best is None else max(best, score)
    run = replace(run, stage=stage, progress=progress, best_score=best)
    curves = {name: tuple(values) for name, values in line.get("curves", {}).items()}
    if line.get("quiet"):
        return Change(run, None, trial, curves)
    run = replace(run, last_sequence=run.last_sequence + 1)
    point = Point(
        sequence=run.last_sequence,
        time=datetime.fromisoformat(line["at"]) if "at" in line else now,
        state=run.state,
        stage=stage,
        progress=progress,
        message=str(line.get("message", "")),
        trial=trial.number if trial else 0,
        score=score,
        best_score=best,
    )
    return Change(run, point, trial, curves)


def told(run: Run, message: str, now: datetime) -> Change:
    """Return the run with one more point that the service itself has to tell."""
    return _step(run, {"stage": run.stage, "progress": run.progress, "message": message}, now)
