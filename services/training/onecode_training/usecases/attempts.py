"""Carry every open run on: begin it, hear what its driver tells, see that a driver is gone.

Every step starts from the records and from what is true of the processes, so that a service that was killed anywhere
goes on as if nothing had happened.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from onecode_common.errors import ConflictError, NotFoundError, OnecodeError, UnavailableError
from onecode_training.domain.job import Job
from onecode_training.domain.journal import Change, change, lines_of, told
from onecode_training.domain.run import (
    FAILED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    STOPPED,
    STOPPING,
    Run,
    began,
    ended,
)
from onecode_training.domain.runlog import Entry, closing, of_trial, opening
from onecode_training.ports import Ports, Unit
from onecode_training.usecases.bell import Bell

_log = logging.getLogger(__name__)
_GRACE = timedelta(seconds=2)
"""A driver that is asked to stop has this long to go by itself."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where drivers find data and Ray, and how many runs work beside each other."""

    datasets_url: str
    ray_address: str
    ray_cpus: int
    parallel_runs: int
    code_version: str


def holder_of(run: Run) -> str:
    """Return the name under which a run holds its data."""
    return f"run/{run.run_id}"


class Attempts:
    """Moves runs from queued to a driver's end.

    Args:
        ports: Everything from outside.
        where: Settings of drivers.
        changed: Rung when something is to be shown or done.
    """

    def __init__(self, ports: Ports, where: Where, changed: Bell) -> None:
        self._ports = ports
        self._where = where
        self._changed = changed
        self._asked: dict[str, datetime] = {}

    def turn(self) -> None:
        """Look at every open run once."""
        with self._ports.records.transaction() as unit:
            runs = unit.runs.in_states([RUNNING, STOPPING, QUEUED])
        working = sum(run.state != QUEUED for run in runs)
        for run in runs:
            try:
                if run.state == QUEUED and working < self._where.parallel_runs:
                    working += self._begin(run)
                elif run.state != QUEUED:
                    self._follow(run)
            except ConflictError as error:
                # Somebody asked to stop or resume it meanwhile: the next turn sees what they said.
                _log.info("run %s: %s", run.run_id, error)

    def interrupt_all(self) -> None:
        """End all drivers, because the service ends; the runs can be resumed."""
        with self._ports.records.transaction() as unit:
            runs = unit.runs.in_states([RUNNING, STOPPING])
        for run in runs:
            self._ports.drivers.clear(run.run_id, run.driver)
            self._follow(run)

    def _begin(self, run: Run) -> bool:
        try:
            if not run.held:
                self._ports.datasets.hold(run.dataset_version, holder_of(run))
            dataset = self._ports.datasets.find(run.dataset_version)
            self._ports.drivers.clear(run.run_id, run.driver)
            where = self._where
            job = Job(
                run_id=run.run_id,
                attempt=run.attempt + 1,
                recipe=run.recipe,
                dataset=dataset,
                datasets_url=where.datasets_url,
                ray_address=where.ray_address,
                ray_cpus=where.ray_cpus,
            )
            driver = self._ports.drivers.start(job)
        except (UnavailableError, ConflictError) as error:
            _log.info("run %s waits: %s", run.run_id, error)
            return False
        except OnecodeError as error:
            code = "dataset.missing" if isinstance(error, NotFoundError) else error.code
            self._end(run, FAILED, code, error.message)
            return False
        with self._ports.records.transaction() as unit:
            run = replace(began(run, driver, self._ports.clock.now()), held=True)
            unit.runs.clear_trials(run.run_id)
            run = log(unit, run, opening(run, where.code_version), self._ports.clock.now())
            run = self._keep(unit, told(run, f"attempt {run.attempt} begins", self._ports.clock.now()))
            unit.runs.save(run)
        self._changed.ring()
        return True

    def _follow(self, run: Run) -> None:
        # In this order: what a driver wrote before it went is read after it is seen to be gone.
        alive = self._ports.drivers.alive(run.run_id)
        run = self._hear(run)
        if run.state == STOPPING:
            self._stop(run, alive=alive)
        elif alive or run.outcome:
            return
        elif run.error_code:
            self._gone(run, FAILED, run.error_code, run.error)
        else:
            self._gone(run, INTERRUPTED, "run.interrupted", "the driver ended before the run was done: resume it")

    def _stop(self, run: Run, *, alive: bool) -> None:
        if not alive:
            self._asked.pop(run.run_id, None)
            self._gone(run, STOPPED, "", "")
            return
        now = self._ports.clock.now()
        if run.run_id not in self._asked:
            self._asked[run.run_id] = now
            self._ports.drivers.ask_to_stop(run.run_id, run.driver)
        elif now - self._asked[run.run_id] > _GRACE:
            self._ports.drivers.clear(run.run_id, run.driver)

    def _hear(self, run: Run) -> Run:
        """Take in what the driver told since the last look, and return the run."""
        content = self._ports.drivers.read(run.run_id, run.attempt, run.spool_offset)
        lines, length = lines_of(content)
        if not lines:
            return run
        changes = []
        with self._ports.records.transaction() as unit:
            for line in lines:
                changes.append(change(run, line, self._ports.clock.now()))
                run = self._keep(unit, changes[-1])
            run = unit.runs.save(replace(run, spool_offset=run.spool_offset + length))
        for each in changes:
            if each.point is not None:
                self._ports.hints.progress(each.run, each.point)
        self._changed.ring()
        return run

    def _keep(self, unit: Unit, step: Change) -> Run:
        run = step.run
        if step.point is not None:
            unit.runs.add_point(run.run_id, step.point)
        if step.trial is not None:
            unit.runs.save_trial(run.run_id, step.trial)
            entry = of_trial(run, step.trial, step.curves)
            if entry is not None:
                run = log(unit, run, entry, self._ports.clock.now())
        return run

    def _gone(self, run: Run, state: str, code: str, message: str) -> None:
        self._ports.drivers.clear(run.run_id, run.driver)
        self._end(run, state, code, message)

    def _end(self, run: Run, state: str, code: str, message: str) -> None:
        with self._ports.records.transaction() as unit:
            close(unit, ended(run, state, self._ports.clock.now(), code, message), message or state, self._ports)
        self._changed.ring()


def log(unit: Unit, run: Run, entry: Entry, now: datetime) -> Run:
    """Append a batch to the run's log and return the run with its number."""
    run = replace(run, log_batch=run.log_batch + 1)
    unit.logs.add(run.run_id, run.log_batch, now.isoformat(), entry)
    return run


def close(unit: Unit, run: Run, message: str, ports: Ports) -> Run:
    """Record the end of an attempt: point, log, fact and row in one transaction."""
    now = ports.clock.now()
    step = told(run, message, now)
    if step.point is not None:
        unit.runs.add_point(run.run_id, step.point)
    run = log(unit, step.run, closing(step.run), now)
    unit.tell_finished(run)
    unit.audit("service:training", f"run.{run.state}", run.run_id, run.error_code or run.model_digest)
    if step.point is not None:
        ports.hints.progress(run, step.point)
    return unit.runs.save(run)
