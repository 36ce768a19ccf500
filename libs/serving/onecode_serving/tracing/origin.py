"""Keep where a request came from, as long as it is in hand."""

from typing import TYPE_CHECKING

from onecode_common.errors import OnecodeError
from onecode_serving.domain.spans import Face
from onecode_serving.domain.traceparent import is_asked
from onecode_serving.execution.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from onecode_serving.tracing.recorder import Recorder


class Origin:
    """Where requests came from: one object for all that are alike, one for each that carries a traceparent.

    Args:
        recorder: Who chooses among them.
        face: How they came.
        status: Returns what the face says of a refusal.
        model: From their path, where it names one.
        traceparent: As their caller sent it.

    Attributes:
        asked: Their caller's own span is sampled.
    """

    __slots__ = ("asked", "face", "model", "recorder", "status", "traceparent")

    def __init__(
        self,
        recorder: "Recorder",
        face: Face,
        status: "Callable[[OnecodeError], str | int]",
        model: str = "",
        traceparent: str = "",
    ) -> None:
        self.recorder = recorder
        self.face = face
        self.status = status
        self.model = model
        self.traceparent = traceparent
        self.asked = is_asked(traceparent)

    def carrying(self, traceparent: str) -> "Origin":
        """Return the origin of a request that differs in this only."""
        origin = Origin(self.recorder, self.face, self.status, self.model, traceparent)
        if origin.asked:
            self.recorder.asked()
        return origin

    def refused(self, job: Job, error: OnecodeError) -> None:
        """Learn that a request in line is refused."""
        self.recorder.refused_job(self, job, error)
