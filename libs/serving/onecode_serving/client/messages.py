"""Write predictions and read answers so that what repeats from call to call is written and read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.domain import bfloat16
from onecode_serving.domain.datatypes import BYTES, NUMPY
from onecode_serving.domain.tensors import encode_raw
from onecode_serving.oip.convert import varint
from onecode_serving.oip.wire import parsed, pb

Array = npt.NDArray[Any]

_RAW_INPUT = b"\x3a"
_RAW_OUTPUT = b"\x32"
_REMEMBERED = 256
_DATATYPES = {dtype.str: name for name, dtype in NUMPY.items() if name not in ("BF16", BYTES)}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said.

    Attributes:
        outputs: Arrays by name; read-only views of the answer's bytes.
        version: The protocol's version that answered.
        digest: ``sha256:<hex>`` of that version; empty from other servers than ours.
        release: Its number; 0 from other servers.
        arm: ``stable`` or ``candidate`` where the request was assigned.
    """

    outputs: Mapping[str, Array]
    version: str
    digest: str
    release: int
    arm: str


class _Place(NamedTuple):
    """Where an output's bytes are in an answer of known length."""

    name: str
    start: int
    end: int
    datatype: str
    shape: tuple[int, ...]


class _Layout(NamedTuple):
    """Everything of an answer but the bytes of its outputs; ``fixed`` are the pieces that must be the same."""

    fixed: tuple[tuple[int, int, bytes], ...]
    places: tuple[_Place, ...]
    version: str
    digest: str
    release: int
    arm: str


class Codec:
    """Writes and reads messages of one client, and remembers their constant parts."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Any, ...], bytes] = {}
        self._layouts: dict[int, list[_Layout]] = {}

    def request(
        self, model: str, version: str, inputs: Mapping[str, Any], outputs: Sequence[str] | None, unit: str
    ) -> bytes:
        """Return a ``ModelInferRequest`` with its gRPC prefix.

        Raises:
            InvalidError: An input is of a type that the protocol does not have.
        """
        arrays = [array if isinstance(array, np.ndarray) else _array(array) for array in inputs.values()]
        wanted = None if outputs is None else tuple(outputs)
        key = (model, version, unit, wanted, *inputs, *[(array.dtype.str, array.shape) for array in arrays])
        head = self._heads.get(key)
        if head is None:
            head = _head(model, version, unit, outputs or (), dict(zip(inputs, arrays, strict=True)))
            _remember(self._heads, key, head)
        parts = [b"", head]
        for array in arrays:
            raw = array.tobytes() if array.dtype.kind in "biuf" else encode_raw(array, BYTES)
            parts += (_RAW_INPUT, varint(len(raw)), raw)
        size = sum(map(len, parts))
        parts[0] = size.to_bytes(5, "big")
        return b"".join(parts)

    def prediction(self, body: bytes) -> Prediction:
        """Return the answer in a ``ModelInferResponse`` with its gRPC prefix.

        Raises:
            OnecodeError: It is no such message.
        """
        for layout in self._layouts.get(len(body), ()):
            for start, end, piece in layout.fixed:
                if body[start:end] != piece:
                    break
            else:
                return _read(body, layout)
        layout = _layout(body)
        known = self._layouts.setdefault(len(body), [])
        if len(self._layouts) > _REMEMBERED or len(known) > 8:  # noqa: PLR2004 - arms and models of one length
            self._layouts.clear()
        known.append(layout)
        return _read(body, layout)


def _read(body: bytes, layout: _Layout) -> Prediction:
    outputs = {}
    for name, start, end, datatype, shape in layout.places:
        if datatype == BYTES:
            outputs[name] = _texts(body[start:end]).reshape(shape)
        elif datatype == "BF16":
            outputs[name] = bfloat16.widened(body[start:end]).reshape(shape)
        else:
            dtype = NUMPY[datatype]
            outputs[name] = np.frombuffer(body, dtype, (end - start) // dtype.itemsize, start).reshape(shape)
    return Prediction(outputs, layout.version, layout.digest, layout.release, layout.arm)


def _layout(body: bytes) -> _Layout:
    if body[:1] != b"\0" or len(body) != 5 + int.from_bytes(body[1:5], "big"):
        text = "the answer is not one uncompressed message: is there a server of another protocol?"
        raise OnecodeError(text, code="client.answer")
    message = parsed(pb.ModelInferResponse, body[5:])
    raws = list(message.raw_output_contents)
    if len(raws) != len(message.outputs):
        text = f"the answer names {len(message.outputs)} outputs and brings {len(raws)}"
        raise OnecodeError(text, code="client.answer")
    end, fixed, places = len(body), [], []
    for output, raw in zip(reversed(message.outputs), reversed(raws), strict=True):
        tag = _RAW_OUTPUT + varint(len(raw))
        start = end - len(raw)
        if body[start:end] != raw or body[start - len(tag) : start] != tag:
            text = "the answer's outputs do not stand at its end"
            raise OnecodeError(text, code="client.answer")
        places.append(_Place(output.name, start, end, output.datatype, tuple(output.shape)))
        fixed.append((start - len(tag), start, tag))
        end = start - len(tag)
    fixed.append((0, end, body[:end]))
    return _Layout(
        tuple(reversed(fixed)),
        tuple(reversed(places)),
        message.model_version,
        message.parameters["onecode_model_digest"].string_param,
        message.parameters["onecode_release"].int64_param,
        message.parameters["onecode_arm"].string_param,
    )


def _head(model: str, version: str, unit: str, outputs: Sequence[str], arrays: Mapping[str, Array]) -> bytes:
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    if unit:
        message.parameters["onecode_unit"].string_param = unit
    for name, array in arrays.items():
        datatype = _DATATYPES.get(array.dtype.str, BYTES if array.dtype.kind in "OSU" else "")
        if not datatype:
            text = f"input {name!r} is of type {array.dtype}, which the protocol does not have: convert it"
            raise InvalidError(text, code="client.datatype", params={"field": name})
        message.inputs.add(name=name, datatype=datatype, shape=array.shape)
    for name in outputs:
        message.outputs.add(name=name)
    return message.SerializeToString()


def _array(values: Any) -> Array:
    """Return values as an array; text becomes objects, since numpy's fixed-width text loses trailing zeros."""
    array = np.asarray(values)
    return np.asarray(values, object) if array.dtype.kind in "SU" else array


def _texts(raw: bytes) -> Array:
    elements, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        elements.append(raw[at + 4 : at + 4 + size].decode("utf-8", "surrogateescape"))
        at += 4 + size
    return np.array(elements, object)


def _remember(known: dict[tuple[Any, ...], bytes], key: tuple[Any, ...], head: bytes) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = head
