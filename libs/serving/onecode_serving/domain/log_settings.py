"""Say what may be set about logs from the wire, and what a change of it gives."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from onecode_common.errors import InvalidError

Value = bool | int | str

FORMATS = ("default", "ISO8601")
_FLAGS = ("log_info", "log_warning", "log_error")
_MAX_VERBOSE = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged; names as on the wire.

    Attributes:
        log_file: The operator's, never set from the wire; empty for standard error.
        log_info: Whether records of this level are written.
        log_warning: Alike.
        log_error: Alike.
        log_verbose_level: Above 0, details are written too.
        log_format: Form of the time: the program's own, or ISO 8601 in UTC.
    """

    log_file: str = ""
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: str = FORMATS[0]

    def document(self) -> dict[str, Value]:
        """Return the full set as the wire has it."""
        return asdict(self)

    def level(self) -> int:
        """Return the lowest level that is written at all; above CRITICAL if none is."""
        if self.log_verbose_level > 0:
            return logging.DEBUG
        flags = ((self.log_info, logging.INFO), (self.log_warning, logging.WARNING), (self.log_error, logging.ERROR))
        return next((level for on, level in flags if on), logging.CRITICAL + 1)

    def writes(self, level: int) -> bool:
        """Return whether a record of this level is written; each kind can be off by itself."""
        if level >= logging.ERROR:
            return self.log_error
        if level >= logging.WARNING:
            return self.log_warning
        return self.log_info if level >= logging.INFO else self.log_verbose_level > 0


def changed(settings: LogSettings, changes: Mapping[str, Value]) -> LogSettings:
    """Return the settings with these values.

    Raises:
        InvalidError: An unknown name, a value of another type or none, or another log file.
    """
    found = settings
    for name, value in changes.items():
        if name in _FLAGS:
            if not isinstance(value, bool):
                raise _wrong(name, "true or false", value)
        elif name == "log_verbose_level":
            if type(value) is not int or not 0 <= value <= _MAX_VERBOSE:
                raise _wrong(name, "a whole number from 0", value)
        elif name == "log_format":
            if value not in FORMATS:
                raise _wrong(name, " or ".join(FORMATS), value)
        elif name == "log_file":
            if value != found.log_file:
                raise _wrong(name, f"{found.log_file!r}, which only the operator can change", value)
        else:
            known = ", ".join(LogSettings().document())
            message = f"log setting {name[:80]!r} is not known: known are {known}"
            raise InvalidError(message, code="log.unknown", params={"field": name[:80]})
        new: dict[str, Any] = {name: value}
        found = replace(found, **new)
    return found


def _wrong(name: str, expected: str, got: Value) -> InvalidError:
    message = f"log setting {name!r}: expected {expected}, got {str(got)[:80]!r}"
    params = {"field": name, "expected": expected, "got": str(got)[:80]}
    return InvalidError(message, code="log.value", params=params)
