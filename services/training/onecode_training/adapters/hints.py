"""Tell whoever listens on the bus that a run moved."""

import logging

from onecode.events.v1 import events_pb2 as events
from onecode_common.bus import Bus
from onecode_common.clock import Clock
from onecode_common.errors import UnavailableError
from onecode_common.outbox import make_envelope, subject_of
from onecode_training.domain.run import Point, Run

_log = logging.getLogger(__name__)
_SOURCE = "training"


class BusHints:
    """See :class:`onecode_training.ports.Hints`; without a bus nobody is told."""

    def __init__(self, bus: Bus | None, clock: Clock, project: str) -> None:
        self._bus = bus
        self._clock = clock
        self._project = project

    def progress(self, run: Run, point: Point) -> None:
        """Tell of a point."""
        if self._bus is None:
            return
        fact = events.RunProgress(
            run_id=run.run_id,
            sequence=point.sequence,
            stage=point.stage,
            progress=point.progress,
            message=point.message,
            state=point.state,
            best_score=point.best_score,
        )
        envelope = make_envelope(fact, _SOURCE, self._clock.now(), self._project)
        try:
            self._bus.publish(subject_of(_SOURCE, fact), envelope.SerializeToString())
        except UnavailableError as error:
            _log.debug("progress is not told: %s", error)
