"""Answer what the protocol asks beside predictions, with plain values: both faces translate, neither decides."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from onecode_common.clock import Clock, SystemClock
from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.log_settings import Value
from onecode_serving.domain.messages import InferenceReply, InferenceRequest
from onecode_serving.domain.trace_settings import Change
from onecode_serving.execution.statistics import VersionStatistics, added
from onecode_serving.oip.config import config_document
from onecode_serving.oip.logs import Logs
from onecode_serving.oip.options import OipOptions
from onecode_serving.oip.plans import Plans
from onecode_serving.oip.repository import Repository
from onecode_serving.oip.shared_memory import SharedMemory
from onecode_serving.oip.statistics import statistics_document
from onecode_serving.oip.submission import Submission, Ticket
from onecode_serving.oip.traces import Traces

SERVER_NAME = "onecode"

_EXTENSIONS = (
    "classification", "model_repository", "model_repository(unload_dependents)", "schedule_policy",
    "model_configuration", "binary_tensor_data", "parameters", "statistics", "logging", "sequence",
    "sequence(string_id)",
)  # fmt: skip


@cache
def _version() -> str:
    # Parsers of mail come with it: a megabyte that only a server needs which is asked who it is.
    from importlib.metadata import version  # noqa: PLC0415 - as said

    return version("onecode")


class OipService:
    """What all faces share; used by the loop's thread only.

    Args:
        plane: Answers predictions and knows the models.
        options: What callers are allowed.
        clock: Of traces and limits.

    Attributes:
        memory: Registered shared memory.
        traces: Trace settings; while ``traces.active``, predictions must come through :meth:`submit`.
        repository: List, load, unload.
        others: What versions did in other processes of the same server, by model and version.
        plans: Of the calls and streams over gRPC.
    """

    def __init__(self, plane: DataPlane, options: OipOptions | None = None, clock: Clock | None = None) -> None:
        self.plane = plane
        self.options = options or OipOptions()
        self.clock = clock or SystemClock()
        self.memory = SharedMemory(on=self.options.shared_memory, prefix=self.options.shared_memory_prefix)
        self.traces = Traces(self.options.trace_file, self.clock)
        self.repository = Repository(plane)
        self.plans = Plans(plane)
        self.others: Mapping[tuple[str, str], VersionStatistics] = {}
        self._logs = Logs()

    def submit(
        self,
        request: InferenceRequest,
        grant: Grant | None,
        answer: Callable[[InferenceReply | OnecodeError], None],
    ) -> Ticket:
        """Put a prediction in line, with all that a caller may want of it: limits, shared memory, traces.

        Args:
            request: As received.
            grant: Of the caller; None where nobody is asked for one.
            answer: Called once on the loop's thread, later, unless the ticket is cancelled first.

        Raises:
            OnecodeError: The request is refused at once; ``answer`` is not called then.
        """
        if grant is not None and request.parameters:
            request = _owned(request, grant.principal)
        plain = grant is None or grant.free
        if plain and not self.traces.active and not _uses_memory(request):
            return self.plane.submit(request, answer)
        return Submission(self.plane, self.memory, self.traces, self.clock, grant, answer).start(request)

    def server_metadata(self) -> dict[str, Any]:
        """Return name, version and the extensions that work here."""
        extensions = [*_EXTENSIONS]
        if self.memory.on:
            extensions.append("system_shared_memory")
        if self.options.trace_file is not None:
            extensions.append("trace")
        return {"name": SERVER_NAME, "version": _version(), "extensions": extensions}

    def model_config(self, model: str, version: str) -> dict[str, Any]:
        """Return the configuration, by the field names of ``ModelConfig``.

        Raises:
            OnecodeError: As :meth:`DataPlane.metadata`.
        """
        found, held = self.plane.metadata(model, version)
        lane = self.plane.state.lanes[found.digest]
        return config_document(found, lane.contract, held, self.options.max_rows, stateful=lane.windows is not None)

    def statistics(self, model: str, version: str, grant: Grant | None = None) -> dict[str, Any]:
        """Return the statistics of the versions that the caller may know of, as :func:`statistics_document` does.

        Raises:
            OnecodeError: As :meth:`DataPlane.statistics`.
        """
        found = [one for one in self.plane.statistics(model, version) if grant is None or grant.knows(one.model)]
        others = [self.others.get((one.model, one.version)) for one in found]
        return statistics_document(
            one if other is None else added(one, other) for one, other in zip(found, others, strict=True)
        )

    def trace_settings(self, model: str = "", changes: Change | None = None) -> dict[str, str | list[str]]:
        """Return the trace settings of a model or, if the name is empty, for all, after these changes.

        Raises:
            OnecodeError: A change is not possible; or the model is not known.
        """
        if model:
            self.plane.metadata(model, "")
        return self.traces.settings(model, changes)

    def log_settings(self, changes: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Return the log settings, after these changes.

        Raises:
            InvalidError: A change is not possible.
        """
        return self._logs.settings(changes)

    def close(self) -> None:
        """Let go of shared memory, write the last traces and log as before."""
        self.memory.close()
        self.traces.flush()
        self._logs.close()


def _owned(request: InferenceRequest, principal: str) -> InferenceRequest:
    """Return the request with its sequence made the caller's own: nobody goes on with another's."""
    sequence = request.parameters.get("sequence_id")
    if type(sequence) not in (int, str) or not sequence:
        return request
    return replace(request, parameters={**request.parameters, "sequence_id": f"{sequence} of {principal}"})


def _uses_memory(request: InferenceRequest) -> bool:
    return any(one.region is not None for one in request.inputs) or any(
        one.region is not None for one in request.wanted
    )
