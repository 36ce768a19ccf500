"""Turn what people have (rows, frames, arrays) into the tensors a model takes, and bytes back into arrays.

This is the one module of the client that needs numpy, and it says so when it is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onecode_common.errors import InvalidError, PreconditionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

BYTES, BF16 = "BYTES", "BF16"
_NUMPY: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    BF16: "<f4",
    BYTES: "O",
}
"""Little-endian numpy type of each datatype; BF16 is handled as FP32 and cut to its upper half."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One input or output as the server describes it: datatype, and shape with -1 for each free axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor on the wire: ``raw`` is little-endian and row-major, or length-prefixed elements for BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes


def tensors_of(model: str, inputs: Sequence[Spec], data: Any) -> list[Tensor]:
    """Return the tensors of a request.

    Args:
        model: Its name, for errors.
        inputs: What it takes.
        data: A mapping of input names to arrays; or rows as an array, a frame, lists, mappings by column name, one
            row alone, or a mapping of columns. Columns by name must stand in the model's order.

    Raises:
        InvalidError: The data does not fit the inputs; the message names the first that does not.
    """
    names = [spec.name for spec in inputs]
    if isinstance(data, Mapping) and data and set(data) <= set(names):
        return [tensor_of(spec, data[spec.name]) for spec in inputs if spec.name in data]
    if len(inputs) == 1 and hasattr(data, "dtype"):
        return [tensor_of(inputs[0], data)]
    rows = rows_of(data)
    texts = [spec for spec in inputs if spec.datatype == BYTES]
    numbers = [spec for spec in inputs if spec.datatype != BYTES]
    if len(texts) > 1 or len(numbers) > 1:
        message = f"model {model!r} takes {', '.join(names)}: give a mapping from these names to arrays, not rows"
        raise InvalidError(message, code="client.inputs", params={"model": model})
    if len(inputs) == 1:
        return [tensor_of(inputs[0], rows)]
    worded = {place for row in rows for place, value in enumerate(row) if isinstance(value, str)}
    split = {
        numbers[0].name: [[value for place, value in enumerate(row) if place not in worded] for row in rows],
        texts[0].name: [[row[place] for place in sorted(worded)] for row in rows],
    }
    return [tensor_of(spec, split[spec.name]) for spec in inputs if split[spec.name][0]]


def rows_of(data: Any) -> list[list[Any]]:
    """Return rows of values from an array, a frame, lists, mappings, or one row alone.

    Raises:
        InvalidError: There are none, or they are of different lengths or columns.
    """
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        data = data.to_numpy(dtype=object).tolist()
    elif isinstance(data, Mapping):
        columns = [list(value) if _many(value) else [value] for value in data.values()]
        data = [list(row) for row in zip(*columns, strict=True)] if len({len(one) for one in columns}) == 1 else []
    listed = data.tolist() if hasattr(data, "tolist") else list(data)
    if listed and not _many(listed[0]) and not isinstance(listed[0], Mapping):
        listed = [listed]
    columns = list(listed[0]) if listed and isinstance(listed[0], Mapping) else []
    try:
        rows = [[row[name] for name in columns] if columns else list(row) for row in listed]
    except (KeyError, TypeError) as error:
        message = f"a row differs from the first, which has the columns {', '.join(map(str, columns))}: {error}"
        raise InvalidError(message, code="client.rows") from error
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        message = "rows must be of one length, and at least one"
        raise InvalidError(message, code="client.rows")
    return rows


def tensor_of(spec: Spec, values: Any) -> Tensor:
    """Return one tensor from an array or nested lists; a row alone gets its batch axis.

    Raises:
        InvalidError: Values or shape do not fit.
    """
    np = numpy()
    if spec.datatype not in _NUMPY:
        message = f"input {spec.name!r} is of datatype {spec.datatype!r}, which this client does not know: update it"
        raise InvalidError(message, code="client.datatype", params={"field": spec.name})
    array = _array(spec, values)
    if array.ndim == len(spec.shape) - 1 and spec.shape[0] == -1:
        array = array[np.newaxis]
    if array.ndim != len(spec.shape) or any(want not in (-1, got) for want, got in zip(spec.shape, array.shape)):  # noqa: B905 - lengths were compared first
        message = f"input {spec.name!r} is of shape {list(array.shape)}, expected {list(spec.shape)} (-1: any size)"
        raise InvalidError(message, code="client.shape", params={"field": spec.name})
    return Tensor(spec.name, spec.datatype, array.shape, _raw(spec.datatype, array))


def array_of(tensor: Tensor) -> "Array":
    """Return the array of a tensor; BYTES come as text, or as bytes where they are none; BF16 comes as FP32.

    Raises:
        InvalidError: The bytes do not fill the shape.
    """
    np = numpy()
    array: Array
    try:
        if tensor.datatype == BYTES:
            array = np.array([_text(one) for one in _elements(tensor.raw)], dtype=object)
        elif tensor.datatype == BF16:
            array = (np.frombuffer(tensor.raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(tensor.raw, _NUMPY[tensor.datatype])
        return array.reshape(tensor.shape)
    except (ValueError, KeyError) as error:
        message = f"output {tensor.name!r} of the answer cannot be read as {tensor.datatype} {list(tensor.shape)}"
        raise InvalidError(message, code="client.answer", params={"field": tensor.name}) from error


def numpy() -> Any:
    """Return the numpy module.

    Raises:
        PreconditionError: It is not installed.
    """
    try:
        import numpy  # noqa: ICN001, PLC0415 - optional, and half of the client's start
    except ImportError as error:
        message = "predictions by address need numpy: install it with: pip install numpy"
        raise PreconditionError(message, code="client.no_numpy") from error
    return numpy


def _array(spec: Spec, values: Any) -> Any:
    """Return the values as an array of the input's type; nothing that changes a value is done silently."""
    np = numpy()
    wanted = np.dtype(_NUMPY[spec.datatype])
    try:
        if spec.datatype == BYTES:
            return np.array(values, dtype=object)
        plain = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
        if plain.dtype == object and wanted.kind == "f":
            # None is what JSON and frames call a missing number.
            return plain.astype(wanted)
        cast = plain.astype(wanted, copy=False)
        exact = wanted.kind == "f" or bool((cast == plain).all())
    except (ValueError, TypeError, OverflowError) as error:
        message = f"input {spec.name!r} takes {spec.datatype}: {error}"
        raise InvalidError(message, code="client.values", params={"field": spec.name}) from error
    if not exact or plain.dtype.kind not in "biufO":
        message = f"input {spec.name!r} takes {spec.datatype}, and some values are none: convert them first"
        raise InvalidError(message, code="client.values", params={"field": spec.name})
    return cast


def _raw(datatype: str, array: Any) -> bytes:
    if datatype == BYTES:
        words = [one if isinstance(one, bytes) else str("" if one is None else one).encode() for one in array.flat]
        return b"".join(len(word).to_bytes(4, "little") + word for word in words)
    if datatype == BF16:
        return bytes((array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes())
    return bytes(array.tobytes())


def _elements(raw: bytes) -> list[bytes]:
    elements, place = [], 0
    while place < len(raw):
        length = int.from_bytes(raw[place : place + 4], "little")
        elements.append(raw[place + 4 : place + 4 + length])
        place += 4 + length
    return elements


def _text(element: bytes) -> str | bytes:
    try:
        return element.decode()
    except UnicodeDecodeError:
        return element


def _many(value: Any) -> bool:
    """Return whether a value holds others: no number, no text."""
    if isinstance(value, str | bytes):
        return False
    return isinstance(value, Sequence) or (hasattr(value, "tolist") and getattr(value, "ndim", 1) > 0)
