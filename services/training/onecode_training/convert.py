"""Turn runs into messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from onecode.training.v1 import training_pb2 as pb
from onecode_training.domain.run import Point, Run, Trial
from onecode_training.usecases.runs import Seen, View


def state_to_wire(state: str) -> "pb.RunState.ValueType":
    """Return the enum value of a state's name."""
    return pb.RunState.Value(f"RUN_STATE_{state.upper()}")


def view_to_wire(view: View) -> pb.Run:
    """Return a run with its trials."""
    run = view.run
    return pb.Run(
        run_id=run.run_id,
        project=run.project,
        state=state_to_wire(run.state),
        dataset_version=run.dataset_version,
        recipe=run.recipe,
        model=run.model,
        stage=run.stage,
        progress=run.progress,
        metric=run.metric,
        best_score=run.best_score,
        trials=[_trial(trial) for trial in view.trials],
        winner=run.winner,
        test_metrics=run.test_metrics,
        parity=_parity(run),
        model_digest=run.model_digest,
        model_release=run.model_release,
        error_code=run.error_code,
        error=run.error,
        created=_time(run.created),
        started=_time(run.started),
        finished=_time(run.finished),
        created_by=run.created_by,
        attempt=run.attempt,
        last_sequence=run.last_sequence,
        baseline_score=run.baseline_score,
    )


def seen_to_wire(seen: Seen) -> pb.WatchRunResponse:
    """Return what a watcher gets."""
    return pb.WatchRunResponse(
        progress=_point(seen.point) if seen.point else None,
        run=view_to_wire(seen.view) if seen.view else None,
    )


def _trial(trial: Trial) -> pb.Trial:
    return pb.Trial(
        number=trial.number,
        family=trial.family,
        parameters=trial.parameters,
        state=trial.state,
        score=trial.score,
        score_std=trial.score_std,
        bytes=trial.bytes,
        p95_us=trial.p95_us,
        fit_seconds=trial.fit_seconds,
        reason=trial.reason,
    )


def _parity(run: Run) -> pb.Parity | None:
    parity = run.parity
    if not parity:
        return None
    return pb.Parity(
        rows=parity["rows"],
        max_abs_delta=parity["max_abs_delta"],
        label_agreement=parity["label_agreement"],
        tolerance=parity["tolerance"],
        passed=parity["passed"],
    )


def _point(point: Point) -> pb.Progress:
    return pb.Progress(
        sequence=point.sequence,
        time=_time(point.time),
        stage=point.stage,
        progress=point.progress,
        message=point.message,
        trial=point.trial,
        score=point.score,
        best_score=point.best_score,
        state=state_to_wire(point.state),
    )


def _time(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
