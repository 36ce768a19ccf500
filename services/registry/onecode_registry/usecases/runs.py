"""Take what training tells of its runs; MLflow hears of it later, whether it is up now or not."""

from onecode_common.ids import check_id
from onecode_registry.domain.project import require_project
from onecode_registry.domain.run import RunLog, check_log, merge
from onecode_registry.ports import Ports


class Runs:
    """What training may tell of runs."""

    def __init__(self, ports: Ports) -> None:
        self._project = ports.project
        self._records = ports.records
        self._clock = ports.clock

    def log(self, log: RunLog) -> None:
        """Store a call's content; a batch that is not newer than the last one is dropped, it is in already.

        Raises:
            InvalidError: A key, state or size does not fit.
        """
        require_project(log.project, self._project)
        check_id(log.run_id, "run id")
        check_log(log)
        with self._records.transaction() as unit:
            unit.turn()
            run = unit.runs.find(log.project, log.run_id)
            if run is not None and log.batch <= run.last_batch:
                return
            unit.runs.put(merge(run, log, self._clock.now()))
            unit.runs.add_points(log.project, log.run_id, log.points)
