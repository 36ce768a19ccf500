"""Read server-sent events, line by line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from onecode_common.errors import OnecodeError


class Frame(NamedTuple):
    """One event.

    Attributes:
        name: Of its kind; ``message`` where the server names none.
        number: Its id, to go on from; empty without one.
        document: What it says.
    """

    name: str
    number: str
    document: dict[str, Any]


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Yield the events of a stream; comments (heartbeats) are skipped.

    Raises:
        OnecodeError: An event does not hold a JSON object.
    """
    name, number = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Frame(name, number, _document("\n".join(data)))
            name, number, data = "message", "", []
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "id":
            number = value
        elif key == "data":
            data.append(value)


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        message = f"the server sent an event that is not JSON: {text[:80]!r}"
        raise OnecodeError(message, code="client.event") from error
    return document if isinstance(document, dict) else {"value": document}
