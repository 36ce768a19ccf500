"""Tell MLflow what the registry knows, whenever MLflow answers; nobody waits for it.

Each turn goes by the registry's own rows. What a crash left unnoted is found again at MLflow by its tag, so
everything is there once.
"""

import logging
import threading

from onecode_common.errors import InvalidError, UnavailableError
from onecode_registry.domain.run import Run
from onecode_registry.domain.version import DELETED, Alias, Version
from onecode_registry.ports import Ports

_log = logging.getLogger(__name__)
_BATCH = 20
_POINTS = 500
_ENDED = frozenset({"succeeded", "failed", "stopped", "interrupted"})


class Mirror:
    """Copies runs, versions and aliases to MLflow."""

    def __init__(self, ports: Ports) -> None:
        self._records = ports.records
        self._tracking = ports.tracking
        self._answers = True

    def turn(self, stopping: threading.Event) -> bool:
        """Copy some of what waits; return whether there may be more. It goes on later while MLflow is away."""
        try:
            more = self._copy(stopping)
        except UnavailableError as error:
            if self._answers:
                _log.info("MLflow is told later: %s", error)
            self._answers = False
            return False
        self._answers = True
        return more

    def _copy(self, stopping: threading.Event) -> bool:
        with self._records.transaction() as unit:
            runs = unit.runs.unmirrored(_BATCH)
        more = False
        for run in runs:
            if not stopping.is_set():
                more |= self._copy_run(run)
        with self._records.transaction() as unit:
            versions = unit.versions.unmirrored(_BATCH)
        for version in versions:
            if not stopping.is_set():
                self._copy_version(version)
        with self._records.transaction() as unit:
            aliases = unit.aliases.unmirrored(_BATCH)
        for alias in aliases:
            if not stopping.is_set():
                self._copy_alias(alias)
        return more or _BATCH in (len(runs), len(versions))

    def _copy_run(self, run: Run) -> bool:
        with self._records.transaction() as unit:
            rows = unit.runs.points(run.project, run.run_id, _POINTS)
        parameters = dict(list(run.parameters.items())[run.parameters_sent :])
        mlflow_run = run.mlflow_run
        try:
            mlflow_run = mlflow_run or self._tracking.find_run(run.run_id) or self._tracking.create_run(run)
            self._tracking.log(mlflow_run, [point for _, point in rows], parameters, run.tags)
            self._tracking.set_state(mlflow_run, run.state, run.changed if run.state in _ENDED else None)
        except InvalidError as error:
            # It would be refused again for ever; the rest of the queue must go on.
            _log.warning("MLflow refuses a part of run %s, which is dropped: %s", run.run_id, error)
        with self._records.transaction() as unit:
            unit.runs.drop_points(number for number, _ in rows)
            unit.runs.set_mirrored(run.project, run.run_id, run.revision, len(run.parameters), mlflow_run)
        return len(rows) == _POINTS

    def _copy_version(self, version: Version) -> None:
        lineage = version.document()["lineage"]
        with self._records.transaction() as unit:
            run = unit.runs.find(version.project, str(lineage.get("run_id", "")))
        mlflow_run = run.mlflow_run if run is not None else ""
        number = version.mlflow_version
        try:
            number = number or self._tracking.find_version(version.model, version.digest)
            if version.state == DELETED:
                if number:
                    self._tracking.withdraw_version(version.model, number)
            elif not number:
                number = self._tracking.create_version(version, mlflow_run)
        except InvalidError as error:
            _log.warning("MLflow refuses %s, which it will not show: %s", version.digest, error)
        with self._records.transaction() as unit:
            unit.versions.set_mirrored(version.digest, number)

    def _copy_alias(self, alias: Alias) -> None:
        with self._records.transaction() as unit:
            version = unit.versions.by_digest(alias.digest) if alias.digest else None
        if version is not None and not version.mlflow_version:
            return
        try:
            self._tracking.set_alias(alias.model, alias.alias, version.mlflow_version if version is not None else "")
        except InvalidError as error:
            _log.warning("MLflow refuses alias %s of %s: %s", alias.alias, alias.model, error)
        with self._records.transaction() as unit:
            unit.aliases.set_mirrored(alias)
