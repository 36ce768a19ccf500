"""Bring what a driver made to the registry, exactly once, however often somebody is killed on the way."""

import logging
from dataclasses import replace

from onecode_common.errors import NotFoundError, OnecodeError, UnavailableError
from onecode_training.domain.job import GOLDEN_FILE, MODEL_FILE
from onecode_training.domain.run import FAILED, RUNNING, STOPPING, Run, ended, succeeded
from onecode_training.ports import Ports, Registered
from onecode_training.usecases.attempts import close, holder_of
from onecode_training.usecases.bell import Bell

_log = logging.getLogger(__name__)
_AT_A_TIME = 50


class Registration:
    """Registers finished runs, fills their logs, and lets go of their data."""

    def __init__(self, ports: Ports, code_version: str, changed: Bell) -> None:
        self._ports = ports
        self._code_version = code_version
        self._changed = changed

    def register_all(self) -> None:
        """Register every run whose driver is done; one that the registry cannot take now waits."""
        with self._ports.records.transaction() as unit:
            runs = [run for run in unit.runs.in_states([RUNNING]) if run.outcome]
        for run in runs:
            try:
                self._register(run)
            except UnavailableError as error:
                _log.info("run %s waits for the registry: %s", run.run_id, error)
            except OnecodeError as error:
                self._end(run, ended(run, FAILED, self._ports.clock.now(), error.code, error.message))

    def send_logs(self, stopping: object = None) -> bool:
        """Send waiting batches in order; return whether there may be more."""
        del stopping
        with self._ports.records.transaction() as unit:
            batches = unit.logs.next(_AT_A_TIME)
        for batch in batches:
            try:
                self._ports.registry.log(batch)
            except UnavailableError as error:
                _log.info("%d batches of run logs wait: %s", len(batches), error)
                return False
            except OnecodeError as error:
                # A log that can never be taken must not keep the others.
                _log.warning("batch %d of run %s is dropped: %s", batch.batch, batch.run_id, error)
            with self._ports.records.transaction() as unit:
                unit.logs.delete(batch.sequence)
        return len(batches) == _AT_A_TIME

    def release_all(self) -> None:
        """Tell ingestion which data is not needed any more."""
        with self._ports.records.transaction() as unit:
            runs = unit.runs.held_and_ended()
        for run in runs:
            try:
                self._ports.datasets.release(run.dataset_version, holder_of(run))
            except NotFoundError:
                _log.info("data set %s of run %s is gone", run.dataset_version, run.run_id)
            except UnavailableError as error:
                _log.info("%d data sets are still held: %s", len(runs), error)
                return
            with self._ports.records.transaction() as unit:
                unit.runs.save(replace(run, held=False))

    def _register(self, run: Run) -> None:
        made = Registered("", 0)
        if run.model:
            files, registry = self._ports.drivers.file, self._ports.registry
            registry.put(run.outcome["model_sha256"], files(run.run_id, MODEL_FILE))
            registry.put(run.outcome["golden_sha256"], files(run.run_id, GOLDEN_FILE))
            made = registry.register(run, run.outcome, self._lineage(run))
        self._end(run, succeeded(run, made.digest, made.release, self._ports.clock.now()))

    def _end(self, run: Run, done: Run) -> None:
        """Record the end, also where somebody asked to stop after the version was made: it exists."""
        message = (
            f"registered as {run.model} release {done.model_release}" if done.model_digest else done.error or "done"
        )
        self._ports.drivers.clear(run.run_id, run.driver)
        with self._ports.records.transaction() as unit:
            now = unit.runs.get(run.run_id)
            if now is None or now.attempt != run.attempt or now.state not in (RUNNING, STOPPING):
                return
            current = replace(done, revision=now.revision, last_sequence=now.last_sequence, log_batch=now.log_batch)
            close(unit, current, message, self._ports)
        self._changed.ring()

    def _lineage(self, run: Run) -> dict[str, str]:
        return {
            "source": "training",
            "run_id": run.run_id,
            "dataset_version": run.dataset_version,
            "code_version": self._code_version,
            "created_by": run.created_by,
            "family": str(run.outcome["family"]),
        }
