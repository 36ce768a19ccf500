"""Write records as JSON and read them again, also those of an earlier or later release."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

_TIMES = ("created", "started", "finished", "time")
_T = TypeVar("_T")


def to_json(record: Any) -> str:
    """Return a dataclass as JSON; times become ISO 8601."""
    document = {field.name: getattr(record, field.name) for field in fields(record)}
    return json.dumps(document, ensure_ascii=False, default=_text)


def from_json(kind: type[_T], text: str) -> _T:
    """Return the dataclass; fields that this release does not know are left out."""
    document: Mapping[str, Any] = json.loads(text)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {
        name: datetime.fromisoformat(value) if name in _TIMES and value else value
        for name, value in document.items()
        if name in known
    }
    return kind(**values)


def _text(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    message = f"{type(value).__name__} cannot be kept"
    raise TypeError(message)
