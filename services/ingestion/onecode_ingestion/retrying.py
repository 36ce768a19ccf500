"""Repeat a transaction that lost a race: another writer took the next number of a data set or of the audit trail."""

from collections.abc import Callable
from typing import TypeVar

from onecode_common.errors import ConflictError

_T = TypeVar("_T")
_TRIES = 8


def retried(action: Callable[[], _T]) -> _T:
    """Return what the action returns, after at most eight tries.

    Raises:
        ConflictError: It is a conflict of another kind, or the race was lost every time.
    """
    for _ in range(_TRIES - 1):
        try:
            return action()
        except ConflictError as error:
            if error.code != "record.conflict":
                raise
    return action()
