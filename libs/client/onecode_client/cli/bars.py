"""Show how far long work is: bars for who watches, one line a stage for who does not."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from onecode_client.cli.output import is_terminal, say
from onecode_client.results import Rollout, Run

_TENTH = 10


@contextmanager
def bytes_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what to tell of durable bytes and all bytes: bytes, rate and time left are shown."""
    if not is_terminal():
        last = -1

        def tell(done: int, length: int) -> None:
            nonlocal last
            tenth = _TENTH * done // length if length else _TENTH
            if tenth > last:
                last = tenth
                say(f"{title}: {done} of {length} bytes")

        yield tell
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, length: progress.update(task, completed=done, total=length)


@contextmanager
def run_bar(run_id: str) -> Iterator[Callable[[Run], None]]:
    """Yield what to tell of a run: stage, trials, best score so far."""
    with _bar(run_id, 1.0) as tell:
        yield lambda run: tell(run.progress, run_line(run))


@contextmanager
def rollout_bar(rollout_id: str) -> Iterator[Callable[[Rollout], None]]:
    """Yield what to tell of a rollout: step, requests of the candidate, evidence."""
    with _bar(rollout_id, 1.0) as tell:
        yield lambda rollout: tell(_share(rollout), rollout_line(rollout))


def run_line(run: Run) -> str:
    """Return what a run does now, in one line."""
    trials = run.document.get("trials", [])
    finished = sum(trial["state"] not in ("waiting", "running") for trial in trials)
    best = f", best {run.metric} {run.best_score:.4f}" if run.best_score is not None else ""
    count = f", trial {finished}/{len(trials)}" if trials else ""
    return f"{run.stage or run.state.removeprefix('RUN_STATE_').lower()}{count}{best}"


def rollout_line(rollout: Rollout) -> str:
    """Return what a rollout does now, in one line."""
    count = rollout.document.get("candidate_count") or {}
    steps = len(rollout.plan.get("steps", []))
    return f"{rollout.state}, step {rollout.step + 1}/{steps}, {count.get('requests', 0)} candidate requests"


@contextmanager
def _bar(title: str, total: float) -> Iterator[Callable[[float, str], None]]:
    if not is_terminal():
        last = ""

        def tell(_done: float, line: str) -> None:
            nonlocal last
            if line != last:
                last = line
                say(f"{title}: {line}")

        yield tell
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[line]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, line="")
        yield lambda done, line: progress.update(task, completed=done, line=line)


def _share(rollout: Rollout) -> float:
    steps: list[Mapping[str, Any]] = rollout.plan.get("steps", [])
    if rollout.ended:
        return 1.0
    return (rollout.step + 0.5) / len(steps) if steps else 0.0
