"""Turn our errors into three lines on stderr and an exit code that scripts can rely on."""

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from onecode_client.waiting import EndedBadlyError, WorkTimeoutError
from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")

DONE = 0
UNEXPECTED = 1
USAGE = 2
TIMED_OUT = 8
ENDED_BADLY = 9
PARTLY = 11
INTERRUPTED = 130

EXIT_CODES: dict[type[OnecodeError], int] = {
    OnecodeError: UNEXPECTED,
    NotFoundError: 3,
    UnauthenticatedError: 4,
    DeniedError: 5,
    ConflictError: 6,
    PreconditionError: 6,
    InvalidError: 7,
    ExhaustedError: 7,
    UnavailableError: 10,
}
"""Exit code of each error; the whole list is in ``docs/reference``."""


def exit_code(error: OnecodeError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, WorkTimeoutError):
        return TIMED_OUT
    if isinstance(error, EndedBadlyError):
        return ENDED_BADLY
    return EXIT_CODES.get(type(error), UNEXPECTED)


def reported(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap a command: our errors become ``Error:``, ``Hint:``, ``Code:`` and the exit code."""

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except OnecodeError as error:
            _report(error, as_json=str(kwargs.get("output", "")) == "json")
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of our pipe has seen enough; Python must not complain at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(DONE)

    return wrapped


def _report(error: OnecodeError, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"error": error.message, "code": error.code, "kind": error.kind}
        if error.hint:
            document["hint"] = error.hint
        if error.params:
            document["params"] = error.params
        sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
        return
    sys.stderr.write(f"Error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"Hint:  {error.hint}\n")
    sys.stderr.write(f"Code:  {error.code}\n")
