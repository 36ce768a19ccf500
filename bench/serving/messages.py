"""Write requests and read replies of the Open Inference Protocol by hand: the load may import nothing heavy.

Field numbers are the protocol's; only what the measurements send and check is here.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.serving.models import Model

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}


class Reply(NamedTuple):
    """What is checked of a reply: the version that answered, and the raw bytes of each output."""

    version: str
    outputs: tuple[bytes, ...]


def infer_request(model: Model, raw: bytes, shape: Sequence[int], unit: str) -> bytes:
    """Return a ``ModelInferRequest`` with one raw input and the unit as a parameter."""
    dims = b"".join(varint(size) for size in shape)
    tensor = _field(1, model.input.name.encode()) + _field(2, model.input.datatype.encode()) + _field(3, dims)
    parameter = _field(1, b"onecode_unit") + _field(2, _field(3, unit.encode()))
    return _field(1, model.name.encode()) + _field(4, parameter) + _field(5, tensor) + _field(7, raw)


def infer_reply(message: bytes) -> Reply:
    """Return the version and raw outputs of a ``ModelInferResponse``."""
    version, outputs = "", []
    for number, value in fields(message):
        if number == 2:  # noqa: PLR2004 - model_version
            version = value.decode()
        elif number == 6:  # noqa: PLR2004 - raw_output_contents
            outputs.append(value)
    return Reply(version, tuple(outputs))


def stream_reply(message: bytes) -> Reply:
    """Return the reply inside a ``ModelStreamInferResponse``.

    Raises:
        ValueError: It carries an error.
    """
    inner = b""
    for number, value in fields(message):
        if number == 1:
            raise ValueError(value.decode())
        inner = value
    return infer_reply(inner)


def rest_request(model: Model, raw: bytes, shape: Sequence[int], unit: str, token: str, *, binary: bool) -> bytes:
    """Return a whole HTTP/1.1 request for one row, binary or JSON both ways."""
    tensor: dict[str, object] = {"name": model.input.name, "datatype": model.input.datatype, "shape": list(shape)}
    document: dict[str, object] = {"parameters": {"onecode_unit": unit}}
    if binary:
        document["parameters"] = {"onecode_unit": unit, "binary_data_output": True}
        tensor["parameters"] = {"binary_data_size": len(raw)}
    else:
        tensor["data"] = list(memoryview(raw).cast("f"))
    head = json.dumps({**document, "inputs": [tensor]}, separators=(",", ":")).encode()
    body = head + raw if binary else head
    length = f"Inference-Header-Content-Length: {len(head)}\r\n" if binary else ""
    return (
        f"POST /v2/models/{model.name}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Authorization: Bearer {token}\r\n{length}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each length-delimited field of a protobuf message; others are passed over."""
    place, end = 0, len(message)
    while place < end:
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == _BYTES:
            length, place = _read_varint(message, place)
            yield key >> 3, message[place : place + length]
            place += length
        elif kind == _VARINT:
            _, place = _read_varint(message, place)
        else:
            place += _WIDTHS[kind]


def varint(value: int) -> bytes:
    """Return a non-negative integer as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no high bit
            return value, place
        shift += 7
