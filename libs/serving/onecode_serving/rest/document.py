"""Read JSON exactly: one object, every key once."""

import re
from typing import Any

import orjson

from onecode_common.errors import InvalidError
from onecode_serving.domain.messages import Parameter

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_MAX_DEPTH = 24


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that is the body.

    orjson keeps the last of two equal keys, so the keys that it kept are compared with the colons of the text: each
    key brings exactly one. Colons inside of texts are counted too at first; only where the numbers differ, texts are
    taken out and the rest is counted again.

    Raises:
        InvalidError: It is not JSON, not an object, nested too deep, or has a key twice in one object.
    """
    try:
        document = orjson.loads(body)
        keys = _keys(document, 0)
    except (ValueError, RecursionError) as error:
        message = f"the body is not the protocol's JSON: {str(error)[:120]}"
        raise InvalidError(message, code="json.invalid") from error
    if not isinstance(document, dict):
        message = "the body is not a JSON object: expected {…}"
        raise InvalidError(message, code="json.invalid")
    if body.count(b":") != keys and _TEXT.sub(b"", body).count(b":") != keys:
        message = "the body has a key twice in one object: send each once"
        raise InvalidError(message, code="json.invalid")
    return document


def optional_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that is the body, or an empty one for an empty body.

    Raises:
        InvalidError: As :func:`parse_object`.
    """
    return parse_object(body) if body.strip() else {}


def text_of(entry: dict[str, Any], name: str) -> str:
    """Return a text member, empty if absent.

    Raises:
        InvalidError: It is something else.
    """
    value = entry.get(name, "")
    if not isinstance(value, str):
        message = f"{name}: expected text, got {type(value).__name__}"
        raise InvalidError(message, code="json.field", params={"field": name, "got": str(value)[:80]})
    return value


def number_of(entry: dict[str, Any], name: str) -> int:
    """Return a whole number from 0, 0 if absent.

    Raises:
        InvalidError: It is something else.
    """
    value = entry.get(name, 0)
    if type(value) is not int or value < 0:
        message = f"{name}: expected a whole number from 0, got {str(value)[:40]}"
        raise InvalidError(message, code="json.field", params={"field": name, "got": str(value)[:80]})
    return value


def objects_of(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that lists objects, empty if absent.

    Raises:
        InvalidError: It is something else.
    """
    entries = entry.get(name) or []
    if not isinstance(entries, list) or any(not isinstance(item, dict) for item in entries):
        message = f"{name}: expected a list of objects"
        raise InvalidError(message, code="json.field", params={"field": name})
    return entries


def parameters_of(entry: dict[str, Any]) -> dict[str, Parameter]:
    """Return the parameters of a request or tensor; what is no plain value is somebody's extension and left out.

    Raises:
        InvalidError: They are no object.
    """
    values = entry.get("parameters") or {}
    if not isinstance(values, dict):
        message = f"parameters: expected an object, got {type(values).__name__}"
        raise InvalidError(message, code="parameter.type", params={"field": "parameters"})
    return {name: value for name, value in values.items() if isinstance(value, (bool, int, float, str))}


def _keys(item: Any, depth: int) -> int:
    if depth > _MAX_DEPTH:
        message = f"nested deeper than {_MAX_DEPTH}"
        raise ValueError(message)
    if isinstance(item, dict):
        count = len(item)
        for value in item.values():
            if isinstance(value, (dict, list)):
                count += _keys(value, depth + 1)
        return count
    # Lists of plain numbers are long; only what nests is walked.
    if {dict, list}.isdisjoint(map(type, item) if isinstance(item, list) else ()):
        return 0
    return sum([_keys(value, depth + 1) for value in item if isinstance(value, (dict, list))])
