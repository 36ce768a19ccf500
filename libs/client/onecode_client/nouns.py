"""Share what all nouns of the client do: keep the connection, page through lists, wait with patience."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from onecode_client.rest import Rest
from onecode_client.waiting import WorkTimeoutError

_T = TypeVar("_T")
_PAGE = 200


class Noun:
    """One kind of thing on a server."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def _pages(self, path: str, name: str, **query: Any) -> Iterator[Any]:
        token: str | None = None
        while True:
            answer = self._rest.get(path, page_size=_PAGE, page_token=token, **query)
            yield from answer.get(name, [])
            token = answer.get("next_page_token") or None
            if token is None:
                return


def part(text: str) -> str:
    """Return a name or id as one part of a path."""
    return quote(text, safe=":")


def wait_until(look: Callable[[], _T], done: Callable[[_T], bool], timeout_s: float | None, every_s: float) -> _T:
    """Look again and again until it is done, and return what was seen last.

    Raises:
        WorkTimeoutError: It was not in time.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        seen = look()
        if done(seen):
            return seen
        if end is not None and time.monotonic() + every_s > end:
            message = f"it has not ended within {timeout_s:.0f} s; the work goes on"
            raise WorkTimeoutError(message, code="client.timeout")
        time.sleep(every_s)
