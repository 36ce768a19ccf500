"""Keep what a training run tells of itself until MLflow has it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from onecode_common.errors import InvalidError

STATES = frozenset({"running", "succeeded", "failed", "stopped", "interrupted"})

_MOST_POINTS = 10_000
_MOST_ENTRIES = 1_000
_LONGEST_KEY, _LONGEST_VALUE = 250, 5_000
_KEY = re.compile(r"[\w.\-:/ ]{1,250}")
_DOTS = re.compile(r"(^|/)\.{1,2}(/|$)")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a curve."""

    key: str
    value: float
    step: int
    time: datetime


@dataclass(frozen=True, slots=True)
class RunLog:
    """What one call tells; calls of a run are numbered by ``batch``."""

    project: str
    run_id: str
    batch: int
    state: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is kept.

    Attributes:
        last_batch: Calls up to this one are in.
        revision: Grows with each change; ``mirrored`` is the one that MLflow has.
        parameters_sent: How many of the parameters MLflow has; they are only ever added.
    """

    project: str
    run_id: str
    state: str
    started: datetime
    changed: datetime
    last_batch: int = -1
    revision: int = 0
    mirrored: int = -1
    parameters_sent: int = 0
    mlflow_run: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def check_log(log: RunLog) -> None:
    """Refuse what MLflow would refuse, now, while the sender can still mend it.

    Raises:
        InvalidError: With the key or state that does not fit.
    """
    if log.state not in STATES:
        message = f"state {log.state[:40]!r} of run {log.run_id} is unknown: use {', '.join(sorted(STATES))}"
        raise InvalidError(message, code="run.state", params={"value": log.state[:40]})
    if len(log.points) > _MOST_POINTS or max(len(log.parameters), len(log.tags)) > _MOST_ENTRIES:
        message = f"one call may carry {_MOST_POINTS} points, {_MOST_ENTRIES} parameters and as many tags: send several"
        raise InvalidError(message, code="request.too_large")
    for key in (*log.parameters, *log.tags, *{point.key for point in log.points}):
        if not _KEY.fullmatch(key) or _DOTS.search(key) or key.startswith("/") or len(key) > _LONGEST_KEY:
            message = f"{key[:80]!r} cannot name a parameter, tag or metric: use letters, digits and . _ - : / blanks"
            raise InvalidError(message, code="run.key", params={"value": key[:80]})


def merge(run: Run | None, log: RunLog, now: datetime) -> Run:
    """Return the run after a call. A parameter keeps its first value, as in MLflow; a tag has its last one."""
    run = run or Run(log.project, log.run_id, log.state, now, now)
    return replace(
        run,
        state=log.state,
        changed=now,
        last_batch=log.batch,
        revision=run.revision + 1,
        parameters={
            **run.parameters,
            **{key: value[:_LONGEST_VALUE] for key, value in log.parameters.items() if key not in run.parameters},
        },
        tags={**run.tags, **{key: value[:_LONGEST_VALUE] for key, value in log.tags.items()}},
    )
