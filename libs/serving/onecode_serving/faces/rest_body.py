"""Read an inference request from a REST body: JSON, or JSON followed by the tensors' bytes."""

import re
import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from onecode_common.errors import ExhaustedError, InvalidError
from onecode_serving.domain.messages import InferenceRequest, Parameter, Tensor
from onecode_serving.domain.validation import wanted_output

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_MAX_DEPTH = 24
_ENCODINGS = ("gzip", "deflate", "identity", "")


def inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body without its content encoding.

    Raises:
        InvalidError: The encoding is unknown (code ``body.encoding``) or the bytes are broken.
        ExhaustedError: It grows beyond the limit.
    """
    if encoding not in _ENCODINGS:
        message = f"content encoding {encoding[:40]!r} is not known: send gzip, deflate or none"
        raise InvalidError(message, code="body.encoding", params={"field": "content-encoding"})
    if encoding in ("", "identity"):
        return body
    # Either format with its header; "deflate" is also sent without one.
    for window in (47, -15):
        engine = zlib.decompressobj(window)
        try:
            plain = engine.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            raise too_large(limit)
        if engine.eof and not engine.unused_data:
            return plain
    message = f"the body is not whole {encoding}"
    raise InvalidError(message, code="body.encoding", params={"field": "content-encoding"})


def too_large(limit: int) -> ExhaustedError:
    """Return the refusal of a body beyond the limit."""
    return ExhaustedError(f"the request is larger than {limit} bytes", code="body.too_large", params={"limit": limit})


def request_from_body(
    model: str, version: str, body: bytes, header_length: str | None, unit: str | None, deadline: float
) -> tuple[InferenceRequest, Mapping[str, bool | None]]:
    """Return the request, and for each wanted output whether binary was asked for; key "" is the default.

    Raises:
        InvalidError: Not the protocol's JSON, or the binary parts do not add up.
    """
    split = _split(header_length, len(body))
    document = _document(body[:split])
    request = InferenceRequest(
        model=model,
        version=version,
        request_id=_text(document, "id"),
        inputs=_inputs(_list(document, "inputs"), memoryview(body)[split:]),
        wanted=tuple(wanted_output(_text(item, "name"), _parameters(item)) for item in _list(document, "outputs")),
        parameters=_parameters(document),
        unit=unit,
        deadline=deadline,
    )
    default = request.parameters.get("binary_data_output")
    binary: dict[str, bool | None] = {"": default if isinstance(default, bool) else None}
    for item in _list(document, "outputs"):
        asked = _parameters(item).get("binary_data")
        binary[_text(item, "name")] = asked if isinstance(asked, bool) else None
    return request, binary


def _split(header_length: str | None, total: int) -> int:
    if header_length is None:
        return total
    if not (header_length.isascii() and header_length.isdigit()) or int(header_length) > total:
        message = f"Inference-Header-Content-Length: expected 0..{total}, got {header_length[:40]!r}"
        raise InvalidError(message, code="body.header_length", params={"field": "inference-header-content-length"})
    return int(header_length)


def _document(body: bytes) -> dict[str, Any]:
    bare = _TEXT.sub(b"", body)
    try:
        document = orjson.loads(body)
        keys = _keys(document, 0)
    except (ValueError, RecursionError) as error:
        message = f"the body is not the protocol's JSON: {str(error)[:120]}"
        raise InvalidError(message, code="json.invalid") from error
    if not isinstance(document, dict):
        message = "the body is not a JSON object"
        raise InvalidError(message, code="json.invalid")
    # Every key brings one colon outside of texts; a key that came twice is there once only.
    if bare.count(b":") != keys:
        message = "the body has a key twice in one object"
        raise InvalidError(message, code="json.invalid")
    return document


def _keys(item: Any, depth: int) -> int:
    if depth > _MAX_DEPTH:
        message = f"nested deeper than {_MAX_DEPTH}"
        raise ValueError(message)
    if isinstance(item, dict):
        return len(item) + sum(_keys(value, depth + 1) for value in item.values())
    # Lists of plain numbers are long; only what nests is walked.
    if isinstance(item, list) and not {dict, list}.isdisjoint(map(type, item)):
        return sum(_keys(value, depth + 1) for value in item)
    return 0


def _inputs(entries: list[dict[str, Any]], rest: memoryview) -> tuple[Tensor, ...]:
    tensors = []
    position = 0
    for entry in entries:
        size = _parameters(entry).get("binary_data_size")
        name = _text(entry, "name")
        raw = None
        if size is not None:
            if type(size) is not int or size < 0 or position + size > len(rest):
                message = (
                    f"input {name[:80]!r}: binary_data_size {size} does not fit the {len(rest)} bytes after the JSON"
                )
                raise InvalidError(message, code="body.binary_size", params={"field": name[:80], "got": size})
            if "data" in entry:
                message = f"input {name[:80]!r} has both data and binary_data_size: send one form"
                raise InvalidError(message, code="input.contents", params={"field": name[:80]})
            raw = rest[position : position + size]
            position += size
        tensors.append(Tensor(name, _text(entry, "datatype"), _shape(entry, name), raw=raw, values=_data(entry, name)))
    if position != len(rest):
        message = f"{len(rest) - position} bytes are left after the last binary input: expected none"
        raise InvalidError(message, code="body.binary_size", params={"expected": position, "got": len(rest)})
    return tuple(tensors)


def _data(entry: dict[str, Any], name: str) -> list[Any] | None:
    data = entry.get("data")
    if data is not None and not isinstance(data, list):
        message = f"input {name[:80]!r}: expected data as a list, got {type(data).__name__}"
        raise InvalidError(message, code="input.contents", params={"field": name[:80], "expected": "list"})
    return data


def _shape(entry: dict[str, Any], name: str) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        message = f"input {name[:80]!r}: expected shape as a list of whole numbers, got {str(shape)[:80]}"
        raise InvalidError(message, code="input.shape", params={"field": name[:80], "got": str(shape)[:80]})
    return tuple(shape)


def _parameters(entry: dict[str, Any]) -> dict[str, Parameter]:
    values = entry.get("parameters") or {}
    if not isinstance(values, dict):
        message = f"parameters: expected an object, got {type(values).__name__}"
        raise InvalidError(message, code="parameter.type", params={"field": "parameters"})
    # Anything else than a plain value belongs to somebody's extension and is ignored.
    return {name: value for name, value in values.items() if isinstance(value, (bool, int, float, str))}


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        message = f"{name}: expected text, got {type(value).__name__}"
        raise InvalidError(message, code="json.field", params={"field": name, "got": str(value)[:80]})
    return value


def _list(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = document.get(name) or []
    if not isinstance(entries, list) or any(not isinstance(entry, dict) for entry in entries):
        message = f"{name}: expected a list of objects"
        raise InvalidError(message, code="json.field", params={"field": name})
    return entries
