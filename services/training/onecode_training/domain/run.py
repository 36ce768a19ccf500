"""Say what a run is, in which states it can be, and who may move it from one to another."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from onecode_common.canonical import Json, digest_of
from onecode_common.errors import ConflictError, PreconditionError

QUEUED, RUNNING, STOPPING = "queued", "running", "stopping"
STOPPED, INTERRUPTED, FAILED, SUCCEEDED = "stopped", "interrupted", "failed", "succeeded"

OPEN = frozenset({QUEUED, RUNNING, STOPPING})
"""States that something is still to be done in."""
RESUMABLE = frozenset({STOPPED, INTERRUPTED, FAILED})

STAGES = ("prepare", "search", "convert", "parity", "measure", "register", "done")


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of a run, as far as it got.

    Attributes:
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``ruled_out``.
        score_std: Standard error of the score.
        bytes: Of the converted file.
        p95_us: CPU time of a call with one row of the converted file, microseconds.
        reason: One sentence: why it failed or was ruled out.
    """

    number: int
    family: str
    parameters: str = "{}"
    state: str = "waiting"
    score: float | None = None
    score_std: float | None = None
    bytes: int | None = None
    p95_us: float | None = None
    fit_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a run's progress; the sequence grows over all attempts."""

    sequence: int
    time: datetime
    state: str
    stage: str
    progress: float
    message: str
    trial: int = 0
    score: float | None = None
    best_score: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is kept.

    Attributes:
        body: Digest of what was asked: a repeated id must ask the same.
        progress: 0 to 1; it never goes back within an attempt.
        parity: ``{rows, max_abs_delta, label_agreement, tolerance, passed}``; empty until proven.
        attempt: How often a driver was started.
        spool_offset: Bytes of this attempt's spool that are in.
        driver: Process id of the driver; 0: none was started in this attempt.
        outcome: What the driver made, from its spool; empty until it is done.
        held: Whether ingestion was told that the run needs its data.
        log_batch: Number of the last batch for the registry's run log.
        revision: Grows with each change.
    """

    run_id: str
    project: str
    body: str
    state: str
    dataset_version: str
    recipe: str
    model: str
    created: datetime
    created_by: str
    stage: str = ""
    progress: float = 0.0
    metric: str = ""
    best_score: float | None = None
    baseline_score: float | None = None
    winner: int = 0
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    model_digest: str = ""
    model_release: int = 0
    error_code: str = ""
    error: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    attempt: int = 0
    last_sequence: int = 0
    spool_offset: int = 0
    driver: int = 0
    outcome: Mapping[str, Any] = field(default_factory=dict)
    held: bool = False
    log_batch: int = 0
    revision: int = 0

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self.state in OPEN


def body_digest(dataset_version: str, recipe: str, model: str) -> str:
    """Return the digest of what a start asks for."""
    asked: Json = {"dataset_version": dataset_version, "recipe": recipe, "model": model}
    return digest_of(asked)


def require_same(run: Run, body: str) -> None:
    """Refuse a run id that was used for something else.

    Raises:
        ConflictError: ``run.exists``.
    """
    if run.body != body:
        message = f"run {run.run_id!r} exists with another recipe, data set or model: choose a new id"
        raise ConflictError(message, code="run.exists", params={"run_id": run.run_id})


def began(run: Run, driver: int, now: datetime) -> Run:
    """Return the queued run after its driver was started."""
    return replace(
        run,
        state=RUNNING,
        stage=STAGES[0],
        progress=0.0,
        attempt=run.attempt + 1,
        spool_offset=0,
        driver=driver,
        outcome={},
        error="",
        error_code="",
        started=run.started or now,
        finished=None,
    )


def asked_to_stop(run: Run) -> Run:
    """Return the run after somebody asked to stop it; asking again changes nothing.

    Raises:
        PreconditionError: It has ended, or only its registration is left.
    """
    if run.state in (STOPPING, STOPPED):
        return run
    if not run.open:
        message = f"run {run.run_id} has ended: it is {run.state}"
        raise PreconditionError(message, code="run.ended", params={"state": run.state})
    if run.outcome:
        message = f"run {run.run_id} is done and being registered: it cannot be stopped any more"
        raise PreconditionError(message, code="run.registering", params={"state": run.state})
    return replace(run, state=STOPPING)


def asked_to_resume(run: Run) -> Run:
    """Return the run queued again; one that is open stays as it is.

    Raises:
        PreconditionError: It succeeded, or is being stopped.
    """
    if run.state in (QUEUED, RUNNING):
        return run
    if run.state not in RESUMABLE:
        hint = "wait until it has stopped" if run.state == STOPPING else "start a new run"
        message = f"run {run.run_id} cannot be resumed: it is {run.state}"
        raise PreconditionError(message, code="run.not_resumable", hint=hint, params={"state": run.state})
    return replace(run, state=QUEUED, finished=None, error="", error_code="", winner=0, outcome={}, driver=0)


def ended(run: Run, state: str, now: datetime, code: str = "", error: str = "") -> Run:
    """Return the run in a final state."""
    return replace(run, state=state, finished=now, error_code=code, error=error)


def succeeded(run: Run, model_digest: str, release: int, now: datetime) -> Run:
    """Return the run after its version was registered, or was not to be."""
    done = replace(run, stage=STAGES[-1], progress=1.0, model_digest=model_digest, model_release=release)
    return ended(done, SUCCEEDED, now)
