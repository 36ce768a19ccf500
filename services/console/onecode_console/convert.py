"""Translate between strict JSON and the messages of the contracts, by their descriptors.

Field names are those of the contract, integers are numbers, times are RFC 3339, bytes are base64, enums are
their names. Reading refuses what it does not know and names the path and the value.
"""

import base64
import binascii
import math
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from onecode_common.errors import InvalidError

TIMESTAMP = "google.protobuf.Timestamp"
_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_SHOWN = 80


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map."""
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def to_json(message: Message) -> dict[str, Any]:
    """Return the message as a document; only unset optional fields and messages are left out."""
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_map(field):
            inner = field.message_type.fields_by_name["value"]
            document[field.name] = {str(key): _value_to_json(inner, value[key]) for key in value}
        elif field.is_repeated:
            document[field.name] = [_value_to_json(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            document[field.name] = _value_to_json(field, value)
    return document


def _value_to_json(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return value.ToJsonString() if field.message_type.full_name == TIMESTAMP else to_json(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if field.cpp_type in _FLOATS and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return base64.b64encode(value).decode() if field.type == FieldDescriptor.TYPE_BYTES else value


def from_json(document: Any, message: Message, path: str = "") -> None:
    """Fill the message from a document.

    Raises:
        InvalidError: A name is unknown or a value is not of its field's type.
    """
    if not isinstance(document, dict):
        raise _wrong(path, document, "an object")
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in document.items():
        here = f"{path}.{name}" if path else name
        if name not in fields:
            raise _unknown(here, fields)
        if value is not None:
            _set(message, fields[name], value, here)


def _set(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    if is_map(field):
        _set_map(message, field, value, path)
    elif field.is_repeated:
        if not isinstance(value, list):
            raise _wrong(path, value, "a list")
        for index, each in enumerate(value):
            here = f"{path}[{index}]"
            if field.message_type is not None:
                _fill(getattr(message, field.name).add(), each, here)
            else:
                getattr(message, field.name).append(_scalar(field, each, here))
    elif field.message_type is not None:
        target = getattr(message, field.name)
        target.SetInParent()
        _fill(target, value, path)
    else:
        setattr(message, field.name, _scalar(field, value, path))


def _set_map(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(path, value, "an object")
    inner = field.message_type.fields_by_name["value"]
    for key, each in value.items():
        getattr(message, field.name)[key] = _scalar(inner, each, f"{path}.{key}")


def _fill(target: Message, value: Any, path: str) -> None:
    if not isinstance(target, Timestamp):
        from_json(value, target, path)
        return
    try:
        target.FromJsonString(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise _wrong(path, value, "an RFC 3339 time") from error


def _scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_name.get(value) if isinstance(value, str) else None
        if known is None:
            raise _wrong(path, value, f"one of {', '.join(field.enum_type.values_by_name)}")
        return known.number
    if field.cpp_type in _INTEGERS:
        low, high = _INTEGERS[field.cpp_type]
        if type(value) is not int or not low <= value <= high:
            raise _wrong(path, value, f"a whole number from {low} to {high}")
        return value
    if field.cpp_type in _FLOATS:
        if type(value) not in (int, float):
            raise _wrong(path, value, "a number")
        return float(value)
    expected, accepts = _PLAIN[field.type]
    if type(value) is not accepts:
        raise _wrong(path, value, expected)
    return _decoded(str(value), path) if field.type == FieldDescriptor.TYPE_BYTES else value


_PLAIN: Mapping[int, tuple[str, type]] = {
    FieldDescriptor.TYPE_BOOL: ("true or false", bool),
    FieldDescriptor.TYPE_STRING: ("text", str),
    FieldDescriptor.TYPE_BYTES: ("base64 text", str),
}


def _decoded(value: str, path: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(path, value, "base64 text") from error


def _wrong(path: str, value: object, expected: str) -> InvalidError:
    shown = ascii(value)[:_SHOWN]
    message = f"{path or 'the body'} is {shown}, expected {expected}"
    return InvalidError(message, code="request.invalid", params={"field": path, "value": shown})


def _unknown(path: str, names: Iterable[str]) -> InvalidError:
    known = ", ".join(sorted(names))
    shown = ascii(path)[1 : _SHOWN + 1].rstrip("'")
    message = f"{shown} is unknown here: known are {known}"
    return InvalidError(message, code="request.unknown_field", params={"field": shown})


def from_query(field: FieldDescriptor, text: str) -> Any:
    """Return the value of a query or path parameter for a field.

    Raises:
        InvalidError: The text is not of the field's type.
    """
    if field.cpp_type in _INTEGERS:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(1 << 64)):
            raise _wrong(field.name, text, "a whole number")
        return _scalar(field, int(text), field.name)
    return text
