"""Write and read the few protocol messages of a prediction by hand.

The protobuf runtime knows each full name once in a process: with generated modules this client could not stand beside
a stock client of the same protocol. Field numbers are the protocol's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from onecode_client.tensors import Spec, Tensor
from onecode_common.errors import InvalidError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LAST = 0x80
_UNIT = "onecode_unit"


@dataclass(slots=True)
class Reply:
    """A ``ModelInferResponse``.

    Attributes:
        parameters: Texts and whole numbers by name.
    """

    model: str = ""
    version: str = ""
    parameters: dict[str, str | int] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)


def infer_request(model: str, version: str, tensors: Sequence[Tensor], outputs: Sequence[str], unit: str) -> bytes:
    """Return a ``ModelInferRequest`` with raw contents."""
    parts = [_text(1, model), _text(2, version)]
    if unit:
        parts.append(_field(4, _text(1, _UNIT) + _field(2, _text(3, unit))))
    for tensor in tensors:
        dims = b"".join(_varint(size) for size in tensor.shape)
        parts.append(_field(5, _text(1, tensor.name) + _text(2, tensor.datatype) + _field(3, dims)))
    parts += [_field(6, _text(1, name)) for name in outputs]
    parts += [_field(7, tensor.raw) for tensor in tensors]
    return b"".join(parts)


def infer_reply(message: bytes) -> Reply:
    """Return the reply.

    Raises:
        InvalidError: The bytes are none, or an output has no raw content.
    """
    reply, heads, raws = Reply(), [], []
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            reply.model = value.decode("utf-8", "replace")
        elif number == 2:  # noqa: PLR2004 - model_version
            reply.version = value.decode("utf-8", "replace")
        elif number == 4:  # noqa: PLR2004 - parameters
            name, setting = _parameter(value)
            reply.parameters[name] = setting
        elif number == 5:  # noqa: PLR2004 - outputs
            heads.append(_spec(value))
        elif number == 6:  # noqa: PLR2004 - raw_output_contents
            raws.append(value)
    if len(heads) != len(raws):
        message_ = f"the answer names {len(heads)} outputs and brings {len(raws)}: the server speaks another dialect"
        raise InvalidError(message_, code="client.answer")
    reply.outputs = [Tensor(one.name, one.datatype, one.shape, raw) for one, raw in zip(heads, raws, strict=True)]
    return reply


def metadata_request(model: str, version: str) -> bytes:
    """Return a ``ModelMetadataRequest``."""
    return _text(1, model) + _text(2, version)


def metadata_inputs(message: bytes) -> list[Spec]:
    """Return the inputs of a ``ModelMetadataResponse``."""
    return [_spec(value) for number, value in _fields(message) if number == 4 and isinstance(value, bytes)]  # noqa: PLR2004 - inputs


def _spec(message: bytes) -> Spec:
    name, datatype, shape = "", "", []
    for number, value in _fields(message):
        if number == 3:  # noqa: PLR2004 - shape, packed or not
            shape += _packed(value) if isinstance(value, bytes) else [_signed(value)]
        elif number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
        elif number == 2 and isinstance(value, bytes):  # noqa: PLR2004 - datatype
            datatype = value.decode("utf-8", "replace")
    return Spec(name, datatype, tuple(shape))


def _parameter(entry: bytes) -> tuple[str, str | int]:
    name, setting = "", ""
    content: str | int = setting
    for number, value in _fields(entry):
        if number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
        elif isinstance(value, bytes):
            for _, inner in _fields(value):
                content = inner.decode("utf-8", "replace") if isinstance(inner, bytes) else _signed(inner)
    return name, content


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    place, end = 0, len(message)
    try:
        while place < end:
            key, place = _read(message, place)
            kind = key & 7
            if kind == _VARINT:
                value, place = _read(message, place)
                yield key >> 3, value
                continue
            length, place = _read(message, place) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}[kind], place)
            if place + length > end:
                raise IndexError(place)  # noqa: TRY301 - one refusal for all that is wrong
            if kind == _BYTES:
                yield key >> 3, message[place : place + length]
            place += length
    except (IndexError, KeyError) as error:
        text = "the server's answer is no message of the protocol"
        raise InvalidError(text, code="client.answer") from error


def _packed(content: bytes) -> list[int]:
    numbers, place = [], 0
    while place < len(content):
        number, place = _read(content, place)
        numbers.append(_signed(number))
    return numbers


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _text(number: int, words: str) -> bytes:
    return _field(number, words.encode()) if words else b""


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= _LAST:
        out.append(value & 0x7F | _LAST)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < _LAST:
            return value, place
        shift += 7
