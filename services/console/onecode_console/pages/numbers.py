"""Show numbers, times and names the way the reader's language does."""

import math
from datetime import UTC, datetime, timedelta

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from google.protobuf.timestamp_pb2 import Timestamp

from onecode_console.domain.texts import Share

_THOUSAND = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_DIGITS = 4


class Numbers:
    """Formats of one language.

    Args:
        locale: Of CLDR: ``zh_Hans_CN``.
    """

    def __init__(self, locale: str) -> None:
        self._locale = locale

    def whole(self, value: int) -> str:
        """Return a count with grouped digits."""
        return str(format_decimal(value, locale=self._locale))

    def share(self, value: Share | float) -> str:
        """Return a part of a whole in percent, with the digits that small rates need."""
        part = value.part if isinstance(value, Share) else value
        small = 0 < abs(part) < 0.1  # noqa: PLR2004 - below ten percent two digits matter
        return str(format_percent(part, format="0.00%" if small else "0.#%", locale=self._locale))

    def real(self, value: float) -> str:
        """Return a measured number with four significant digits."""
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
        if value == 0 or 1e-4 <= abs(value) < 1e7:  # noqa: PLR2004 - beyond, powers of ten read better
            digits = _DIGITS - 1 - (math.floor(math.log10(abs(value))) if value else 0)
            shown = f"{value:,.{max(0, digits)}f}"
            return shown.rstrip("0").rstrip(".") if "." in shown else shown
        return f"{value:.3g}"

    def size(self, count: int) -> str:
        """Return a number of bytes in the fitting unit."""
        value, unit = float(count), 0
        while value >= _THOUSAND and unit < len(_UNITS) - 1:
            value, unit = value / _THOUSAND, unit + 1
        return f"{self.real(round(value, 1) if unit else value)} {_UNITS[unit]}"

    def span(self, seconds: float) -> str:
        """Return a length of time in the fitting unit."""
        if 0 < abs(seconds) < 1:
            return f"{seconds * _THOUSAND:.0f} ms"
        return str(format_timedelta(timedelta(seconds=seconds), threshold=1.5, locale=self._locale))

    def ago(self, moment: datetime, now: datetime) -> str:
        """Return how long ago something was."""
        delta = timedelta(seconds=min(0.0, (moment - now).total_seconds()))
        return str(format_timedelta(delta, add_direction=True, threshold=1.5, locale=self._locale))

    def moment(self, when: datetime) -> str:
        """Return a time of day to the second, in UTC; a script shows it in the reader's zone."""
        return str(format_datetime(when, "yyyy-MM-dd HH:mm:ss 'UTC'", locale=self._locale))


def moment_of(stamp: Timestamp) -> datetime | None:
    """Return a contract's time, or None where it is unset."""
    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds or stamp.nanos else None


def short_digest(digest: str) -> str:
    """Return the first twelve hex digits of a digest."""
    return digest.removeprefix("sha256:")[:12]
