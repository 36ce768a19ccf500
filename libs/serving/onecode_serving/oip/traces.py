"""Write down when sampled requests came and were answered, into the one file that the operator has set."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_serving.domain.messages import InferenceReply, InferenceRequest
from onecode_serving.domain.trace_settings import TENSORS, Change, TraceSettings, changed

_log = logging.getLogger(__name__)
_NS = 1e9
_AT_ONCE = 64
_MAX_TEXT = 256

DEFAULT_FILE_BYTES = 64 << 20
"""The file grows no further; what would come after that is dropped and counted."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A request that is being traced."""

    number: int
    started_ns: int
    request: InferenceRequest
    level: tuple[str, ...]


class Traces:
    """Trace settings, for all models and for single ones, and the file.

    Used by the loop's thread only.

    Args:
        file: Where traces go, one JSON object a line; None refuses every level but OFF.
        clock: Monotonic time of the stamps.
        most_bytes: Of the file.

    Attributes:
        active: Whether any request could be traced now; while False nobody needs to ask :meth:`begin`.
        dropped: Traces for which the file had no room.
    """

    def __init__(self, file: Path | None, clock: Clock, most_bytes: int = DEFAULT_FILE_BYTES) -> None:
        self._file = file
        self._clock = clock
        self._most = most_bytes
        self._all = TraceSettings(trace_file=str(file or ""))
        self._first = self._all
        self._models: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, int] = {}
        self._lines: list[str] = []
        self._number = 0
        self.active = False
        self.dropped = 0

    def settings(self, model: str = "", changes: Change | None = None) -> dict[str, str | list[str]]:
        """Return the full set of a model, or that for all if ``model`` is empty, after these changes.

        Raises:
            InvalidError: A change is not possible; then nothing changes.
            PreconditionError: Tracing is asked for and there is no file.
        """
        if changes:
            self.flush()
            if model:
                self._change_model(model, changes)
            else:
                self._all = changed(self._all, changes, self._first)
            self._seen.clear()
            self.active = self._all.on or any(self._of(name).on for name in self._models)
            _log.info(
                "trace settings of %s were changed: %s", repr(model)[:80] if model else "all models", self._of(model)
            )
        return self._of(model).document()

    def begin(self, request: InferenceRequest) -> Trace | None:
        """Return a trace if this request is one of those to be traced."""
        model = request.model
        settings = self._of(model)
        if not settings.on:
            return None
        scope = model if "trace_rate" in self._models.get(model, {}) else ""
        seen = self._seen[scope] = self._seen.get(scope, 0) + 1
        if seen % settings.trace_rate:
            return None
        self._count_down(model, settings)
        self._number += 1
        return Trace(self._number, self._now_ns(), request, settings.trace_level)

    def end(self, trace: Trace, outcome: InferenceReply | OnecodeError) -> None:
        """Keep the trace, and write when enough have come together."""
        request = trace.request
        failed = isinstance(outcome, OnecodeError)
        entry: dict[str, Any] = {
            "id": trace.number,
            "model_name": request.model[:_MAX_TEXT],
            "model_version": request.version[:_MAX_TEXT] if isinstance(outcome, OnecodeError) else outcome.version,
            "request_id": request.request_id[:_MAX_TEXT],
            "outcome": outcome.code if isinstance(outcome, OnecodeError) else "ok",
            "timestamps": [
                {"name": "REQUEST_START", "ns": trace.started_ns},
                {"name": "REQUEST_END", "ns": self._now_ns()},
            ],
        }
        if TENSORS in trace.level:
            entry["tensors"] = [_described("input", item.name, item.datatype, item.shape) for item in request.inputs]
            if not failed and isinstance(outcome, InferenceReply):
                entry["tensors"] += [
                    _described("output", item.name, item.datatype, item.array.shape) for item in outcome.outputs
                ]
        self._lines.append(json.dumps(entry) + "\n")
        if len(self._lines) >= (self._of(request.model).log_frequency or _AT_ONCE):
            self.flush()

    def flush(self) -> None:
        """Append what is kept to the file; a file that cannot be written is logged and costs the traces."""
        lines, self._lines = self._lines, []
        if not lines or self._file is None:
            return
        try:
            with self._file.open("a", encoding="utf-8") as file:
                room = self._most - file.tell()
                for line in lines:
                    room -= len(line)
                    if room < 0:
                        self.dropped += 1
                    else:
                        file.write(line)
        except OSError as error:
            self.dropped += len(lines)
            _log.warning("cannot write traces to %s: %s", self._file, error)

    def _of(self, model: str) -> TraceSettings:
        own = self._models.get(model)
        return replace(self._all, **own) if own else self._all

    def _change_model(self, model: str, changes: Change) -> None:
        found = changed(self._of(model), changes, self._all)
        own = {**self._models.get(model, {})}
        for name, value in changes.items():
            own[name] = getattr(found, name)
            if not value:
                del own[name]
        self._models[model] = own
        if not own:
            del self._models[model]

    def _count_down(self, model: str, settings: TraceSettings) -> None:
        if settings.trace_count < 0:
            return
        left = settings.trace_count - 1
        if "trace_count" in self._models.get(model, {}):
            self._models[model]["trace_count"] = left
        else:
            self._all = replace(self._all, trace_count=left)
        if left == 0:
            self.active = self._all.on or any(self._of(name).on for name in self._models)

    def _now_ns(self) -> int:
        return int(self._clock.monotonic() * _NS)


def _described(kind: str, name: str, datatype: str, shape: tuple[int, ...]) -> Mapping[str, Any]:
    return {"kind": kind, "name": name[:_MAX_TEXT], "datatype": datatype[:_MAX_TEXT], "shape": list(shape)[:_MAX_TEXT]}
