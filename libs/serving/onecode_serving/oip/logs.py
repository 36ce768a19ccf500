"""Change what this process logs while it runs, as the protocol's logging extension asks."""

import logging
import time
from collections.abc import Mapping

from onecode_serving.domain.log_settings import FORMATS, LogSettings, Value, changed

_OURS = "onecode_serving"
_log = logging.getLogger(__name__)


class _Gate(logging.Filter):
    """Lets through what is wanted of our records, and everything of others."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = LogSettings()

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name == _OURS or record.name.startswith(_OURS + ".")
        return not ours or self.settings.writes(record.levelno)


class Logs:
    """The log settings of the model server; nothing changes before the first change is asked for."""

    def __init__(self) -> None:
        logger = logging.getLogger(_OURS)
        self._before = logger.level
        self._gate = _Gate()
        self._gated: list[logging.Handler] = []
        level = logger.getEffectiveLevel()
        self._settings = LogSettings(
            log_info=level <= logging.INFO,
            log_warning=level <= logging.WARNING,
            log_error=level <= logging.ERROR,
            log_verbose_level=int(level <= logging.DEBUG),
        )

    def settings(self, changes: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Return the full set, after these changes.

        Raises:
            InvalidError: A change is not possible; then nothing changes.
        """
        if changes:
            self._settings = changed(self._settings, changes)
            self._apply()
            _log.info("log settings were changed: %s", self._settings.document())
        return self._settings.document()

    def close(self) -> None:
        """Log again as before the first change."""
        for handler in self._gated:
            handler.removeFilter(self._gate)
            _use_format(handler, FORMATS[0])
        self._gated.clear()
        logging.getLogger(_OURS).setLevel(self._before)

    def _apply(self) -> None:
        self._gate.settings = self._settings
        logging.getLogger(_OURS).setLevel(self._settings.level())
        # A level cannot leave out its middle, and a filter of a logger does not see its children's records.
        for handler in logging.getLogger().handlers:
            if handler not in self._gated:
                handler.addFilter(self._gate)
                self._gated.append(handler)
            _use_format(handler, self._settings.log_format)


def _use_format(handler: logging.Handler, name: str) -> None:
    """Write times as asked; a formatter without times, such as the one for JSON (ISO 8601 always), stays as it is."""
    formatter = handler.formatter
    if formatter is None:
        return
    if name == FORMATS[0]:
        for attribute in ("default_time_format", "default_msec_format", "converter"):
            formatter.__dict__.pop(attribute, None)
        return
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    formatter.converter = time.gmtime
