"""Name what training needs from outside: records, data sets, the registry, drivers, hints."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from onecode_common.clock import Clock
from onecode_training.domain.job import Job
from onecode_training.domain.recipe import Problem, Recipe
from onecode_training.domain.run import Point, Run, Trial
from onecode_training.domain.runlog import Entry
from onecode_training.domain.table import Dataset


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A batch of a run's log that the registry has not taken yet."""

    sequence: int
    run_id: str
    batch: int
    at: str
    entry: Entry


class RunRows(Protocol):
    """Runs with their trials and points."""

    def get(self, run_id: str) -> Run | None:
        """Return one."""
        ...

    def add(self, run: Run) -> None:
        """Keep a new one. Raises ConflictError when the id is taken."""
        ...

    def save(self, run: Run) -> Run:
        """Replace the record whose revision it carries. Raises ConflictError when somebody was faster."""
        ...

    def in_states(self, states: Sequence[str]) -> list[Run]:
        """Return those in a state, oldest first."""
        ...

    def held_and_ended(self) -> list[Run]:
        """Return those that ingestion still keeps data for although nothing will be done with it."""
        ...

    def page(self, before: int, size: int) -> list[tuple[int, Run]]:
        """Return (sequence, run) of the newest with a sequence below ``before`` (0: no bound)."""
        ...

    def trials(self, run_id: str) -> list[Trial]:
        """Return the trials of a run by number."""
        ...

    def save_trial(self, run_id: str, trial: Trial) -> None:
        """Keep a new or changed trial."""
        ...

    def clear_trials(self, run_id: str) -> None:
        """Forget the trials of an earlier attempt."""
        ...

    def points(self, run_id: str, after: int, limit: int) -> list[Point]:
        """Return the points after a sequence."""
        ...

    def add_point(self, run_id: str, point: Point) -> None:
        """Keep a point."""
        ...


class LogRows(Protocol):
    """Batches for the registry's run log, in order."""

    def add(self, run_id: str, batch: int, at: str, entry: Entry) -> None:
        """Append a batch."""
        ...

    def next(self, limit: int) -> list[LogBatch]:
        """Return the oldest."""
        ...

    def delete(self, sequence: int) -> None:
        """Remove one that the registry has taken."""
        ...


class Unit(Protocol):
    """Everything in one transaction."""

    @property
    def runs(self) -> RunRows:
        """Runs."""
        ...

    @property
    def logs(self) -> LogRows:
        """Batches of run logs."""
        ...

    def tell_finished(self, run: Run) -> None:
        """Tell others that a run has ended, once this transaction is committed."""
        ...

    def audit(self, principal: str, action: str, object_: str, detail: str = "") -> None:
        """Write down who changed what."""
        ...


class Records(Protocol):
    """The service's own database."""

    def transaction(self) -> AbstractContextManager[Unit]:
        """Open a transaction that no other writer runs beside."""
        ...


class Recipes(Protocol):
    """Reads recipes."""

    def read(self, text: str) -> tuple[Recipe | None, list[Problem]]:
        """Return the recipe of a YAML or JSON text, or None, and what is wrong with it; it never raises."""
        ...


class Datasets(Protocol):
    """Ingestion. All calls raise UnavailableError when it does not answer."""

    def find(self, version_id: str) -> Dataset:
        """Return a version. Raises NotFoundError."""
        ...

    def hold(self, version_id: str, holder: str) -> None:
        """Say that the holder needs the version. Raises NotFoundError."""
        ...

    def release(self, version_id: str, holder: str) -> None:
        """Say that it does not need it any more."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """A version that the registry gave a number."""

    digest: str
    release: int


class Registry(Protocol):
    """The registry. All calls raise UnavailableError when it does not answer."""

    def put(self, hex_digest: str, path: Path) -> None:
        """Store a file under its digest; storing it again changes nothing."""
        ...

    def register(self, run: Run, outcome: Mapping[str, Any], lineage: Mapping[str, str]) -> Registered:
        """Make the run's version; the run's id makes it happen once."""
        ...

    def log(self, batch: LogBatch) -> None:
        """Add a batch to the run's log; a repeated batch is ignored there."""
        ...


class Drivers(Protocol):
    """Processes that work on runs, one folder each."""

    def start(self, job: Job) -> int:
        """End what is left of earlier attempts, start a driver and return its process id."""
        ...

    def alive(self, run_id: str) -> bool:
        """Return whether a driver works on the run, whoever started it."""
        ...

    def ask_to_stop(self, run_id: str, driver: int) -> None:
        """Ask the driver to end."""
        ...

    def clear(self, run_id: str, driver: int) -> None:
        """End the driver and everything that it started, now; nothing happens where nothing is left."""
        ...

    def read(self, run_id: str, attempt: int, offset: int) -> bytes:
        """Return what the driver of an attempt has told after this many bytes."""
        ...

    def file(self, run_id: str, name: str) -> Path:
        """Return the path of a file in the run's folder."""
        ...


class Hints(Protocol):
    """Tells whoever listens that a run moved; may be lost."""

    def progress(self, run: Run, point: Point) -> None:
        """Tell of a point; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything from outside."""

    clock: Clock
    records: Records
    recipes: Recipes
    datasets: Datasets
    registry: Registry
    drivers: Drivers
    hints: Hints
