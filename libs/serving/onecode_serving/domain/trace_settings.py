"""Say what may be set about traces of requests, and what a change of it gives."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from onecode_common.errors import InvalidError, PreconditionError

OFF, TIMESTAMPS, TENSORS = "OFF", "TIMESTAMPS", "TENSORS"
MAX_VALUE = 1024
"""Characters of one value from the wire."""

_LEVELS = (OFF, TIMESTAMPS, TENSORS)
_MODE = "triton"
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_LEAST = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """How requests are traced; names as on the wire.

    Attributes:
        trace_file: Where traces go; the operator's, never set from the wire. Empty for none.
        trace_level: OFF; TIMESTAMPS; or TENSORS for names, datatypes and shapes too (values are never written).
        trace_rate: One of this many requests is traced.
        trace_count: Traces left to write; -1 for no end.
        log_frequency: Traces that are written at once; 0 leaves it to the writer.
        trace_mode: The form of the file.
    """

    trace_file: str = ""
    trace_level: tuple[str, ...] = (OFF,)
    trace_rate: int = 1000
    trace_count: int = -1
    log_frequency: int = 0
    trace_mode: str = _MODE

    @property
    def on(self) -> bool:
        """Whether anything is to be traced."""
        return self.trace_level != (OFF,) and self.trace_count != 0

    def document(self) -> dict[str, str | list[str]]:
        """Return the full set as the wire has it: levels as a list, everything else as text."""
        document: dict[str, str | list[str]] = {item.name: str(getattr(self, item.name)) for item in fields(self)}
        document["trace_level"] = list(self.trace_level)
        return document


Change = Mapping[str, str | Sequence[str] | None]
"""New values by name; None or nothing falls back to what is set for all models."""


def changed(settings: TraceSettings, changes: Change, fallback: TraceSettings) -> TraceSettings:
    """Return the settings with these values.

    Raises:
        InvalidError: An unknown name, a value that is none, or another trace file.
        PreconditionError: Tracing is asked for and the operator has set no trace file.
    """
    found = settings
    for name, given in changes.items():
        values = [given] if isinstance(given, str) else list(given or ())
        if any(len(value) > MAX_VALUE for value in values):
            raise _wrong(name, f"at most {MAX_VALUE} characters", "more")
        if name not in {item.name for item in fields(TraceSettings)}:
            known = ", ".join(item.name for item in fields(TraceSettings))
            message = f"trace setting {name[:80]!r} is not known: known are {known}"
            raise InvalidError(message, code="trace.unknown", params={"field": name[:80]})
        if not values:
            found = _with(found, name, getattr(fallback, name))
        elif name == "trace_level":
            found = replace(found, trace_level=_levels(values))
        elif len(values) != 1:
            raise _wrong(name, "one value", f"{len(values)}")
        elif name in _LEAST:
            found = _with(found, name, _number(name, values[0]))
        elif values[0] != getattr(found, name):
            raise _wrong(name, f"{getattr(found, name)!r}, which only the operator can change", repr(values[0])[:80])
    if found.on and not found.trace_file:
        message = "no trace file is set on this server: ask its operator to set one, or leave trace_level at OFF"
        raise PreconditionError(message, code="trace.no_file", params={"field": "trace_level"})
    return found


def _with(settings: TraceSettings, name: str, value: Any) -> TraceSettings:
    return replace(settings, **{name: value})


def _levels(values: Sequence[str]) -> tuple[str, ...]:
    strange = next((value for value in values if value not in _LEVELS), None)
    if strange is not None:
        raise _wrong("trace_level", "some of " + ", ".join(_LEVELS), repr(strange)[:80])
    wanted = tuple(level for level in _LEVELS[1:] if level in values)
    if wanted and OFF in values:
        raise _wrong("trace_level", "OFF alone or levels without it", ", ".join(values)[:80])
    return wanted or (OFF,)


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value) or int(value) < _LEAST[name]:
        raise _wrong(name, f"a whole number from {_LEAST[name]}", repr(value)[:80])
    return int(value)


def _wrong(name: str, expected: str, got: str) -> InvalidError:
    message = f"trace setting {name[:80]!r}: expected {expected}, got {got}"
    return InvalidError(message, code="trace.value", params={"field": name[:80], "expected": expected, "got": got})
