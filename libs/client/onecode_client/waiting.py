"""Tell apart the two ways in which waiting for work is disappointed."""

from onecode_common.errors import OnecodeError


class WorkTimeoutError(OnecodeError):
    """The time to wait is over; the work goes on."""


class EndedBadlyError(OnecodeError):
    """The work has ended, and not as was asked."""
