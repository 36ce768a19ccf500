"""Turn what a caller sent into an array of exactly the model's type, or say precisely what is wrong with it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from onecode_common.errors import InvalidError
from onecode_serving.domain import bfloat16
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import BINARY_ONLY, BYTES, CONTENTS, FLOATS, NUMPY
from onecode_serving.domain.messages import Tensor

Array = npt.NDArray[Any]
_LENGTH = 4
_MAX_DEPTH = 16
_QUOTED = ("datatype", "name")


def decode(tensor: Tensor, spec: TensorSpec, max_elements: int, *, finite: bool = True) -> Array:
    """Return the array that the model is given.

    Args:
        tensor: As received.
        spec: What the model takes under this name.
        max_elements: More are refused before anything is allocated.
        finite: Refuse NaN (unless the contract allows it) and infinities.

    Raises:
        InvalidError: Datatype, shape, length or a value does not fit; the message names input, expected and got.
    """
    if tensor.datatype != spec.datatype:
        raise wrong(tensor.name, "datatype", spec.datatype, tensor.datatype)
    count = _count(tensor, spec, max_elements)
    if tensor.raw is not None:
        array = _from_raw(tensor, tensor.raw, count)
    elif tensor.values is not None:
        array = _from_values(tensor, tensor.values, count)
    else:
        raise wrong(tensor.name, "contents", "raw or typed contents", "neither")
    if finite and spec.datatype in FLOATS:
        require_finite(array, spec)
    return array.reshape(tensor.shape)


def wrong(name: str, what: str, expected: object, got: object) -> InvalidError:
    """Return the refusal of an input: which, what was expected, what came."""
    # What the caller wrote is quoted; what was found by us is not.
    text = (repr(got) if what in _QUOTED else str(got))[:120]
    message = f"input {name[:80]!r}: expected {what} {str(expected)[:200]}, got {text}"
    params = {"field": name[:80], "expected": str(expected)[:200], "got": text}
    return InvalidError(message, code=f"input.{what.split(' ', 1)[0]}", params=params)


def encode_raw(array: Array, datatype: str) -> bytes:
    """Return the wire form: little-endian, row-major; texts with a length of four bytes before each.

    BF16 is rounded to nearest, ties to even, from the 32 bits that it has in the process.
    """
    if datatype == "BF16":
        return bfloat16.narrowed(array).tobytes()
    if datatype != BYTES:
        return np.ascontiguousarray(array, NUMPY[datatype]).tobytes()
    parts: list[bytes] = []
    for item in array.ravel().tolist():
        text = item if isinstance(item, bytes) else str(item).encode()
        parts += (len(text).to_bytes(_LENGTH, "little"), text)
    return b"".join(parts)


def _count(tensor: Tensor, spec: TensorSpec, max_elements: int) -> int:
    shape = tensor.shape
    if len(shape) != len(spec.shape):
        raise wrong(tensor.name, "shape", list(spec.shape), list(shape))
    for size, fixed in zip(shape, spec.shape, strict=True):
        if size < 0 or fixed not in (-1, size):
            raise wrong(tensor.name, "shape", list(spec.shape), list(shape))
    count = math.prod(shape)
    if count > max_elements:
        raise wrong(tensor.name, "elements", f"at most {max_elements}", count)
    if shape and count == 0:
        raise wrong(tensor.name, "shape", "at least one row and no empty axis", list(shape))
    return count


def _from_raw(tensor: Tensor, raw: bytes | memoryview, count: int) -> Array:
    if tensor.datatype == BYTES:
        return _texts_of_raw(tensor.name, bytes(raw), count)
    kind = NUMPY[tensor.datatype]
    size = count * (bfloat16.SIZE if tensor.datatype == "BF16" else kind.itemsize)
    if len(raw) != size:
        raise wrong(tensor.name, "bytes", size, len(raw))
    if tensor.datatype == "BF16":
        return bfloat16.widened(raw)
    if tensor.datatype == "BOOL":
        flags = np.frombuffer(raw, np.uint8)
        if flags.size and flags.max() > 1:
            raise wrong(tensor.name, "values", "bytes of 0 or 1", int(flags.max()))
        return flags.view(np.bool_)
    return np.frombuffer(raw, kind)


def _texts_of_raw(name: str, raw: bytes, count: int) -> Array:
    texts: list[bytes] = []
    position, end = 0, len(raw)
    while position < end and len(texts) < count:
        start = position + _LENGTH
        position = start + int.from_bytes(raw[position:start], "little")
        if start > end or position > end:
            raise wrong(name, "bytes", f"element {len(texts)} inside the {end} bytes", f"an end at {position}")
        texts.append(raw[start:position])
    if len(texts) != count or position != end:
        raise wrong(name, "elements", count, f"{len(texts)} and {end - position} bytes left over")
    return _texts(name, texts)


def _texts(name: str, items: Sequence[bytes | str]) -> Array:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        try:
            # onnxruntime cuts a text at its first NUL, and lone surrogates have no UTF-8 form.
            text = item.decode() if isinstance(item, bytes) else item
            text.encode()
        except UnicodeError as error:
            raise wrong(name, "UTF-8 text", f"in element {index}", repr(item)[:40]) from error
        if "\x00" in text:
            raise wrong(name, "UTF-8 text", f"without NUL in element {index}", repr(item)[:40])
        array[index] = text
    return array


def _from_values(tensor: Tensor, values: Sequence[Any], count: int) -> Array:
    name, datatype = tensor.name, tensor.datatype
    if tensor.field:
        expected = CONTENTS.get(datatype, "raw_input_contents")
        if tensor.fields != 1 or tensor.field != expected:
            raise wrong(name, "contents", f"{expected} alone for {datatype}", tensor.field)
        flat: Sequence[Any] = values
    else:
        if datatype in BINARY_ONLY:
            raise wrong(name, "contents", f"binary data for {datatype}", "JSON numbers")
        flat = _flat(name, values, tensor.shape)
    if len(flat) != count:
        raise wrong(name, "elements", f"{count} by its shape", len(flat))
    if datatype == BYTES:
        return _texts(name, _typed(tensor, flat, (str, bytes)))
    if datatype in FLOATS:
        return _floats(tensor, flat)
    if datatype == "BOOL":
        return np.array(_typed(tensor, flat, (bool,)), np.bool_)
    return _integers(tensor, flat)


def _typed(tensor: Tensor, flat: Sequence[Any], kinds: tuple[type, ...]) -> list[Any]:
    items = list(flat)
    strange = set(map(type, items)) - set(kinds)
    if strange:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise wrong(tensor.name, "values", f"{names} for {tensor.datatype}", strange.pop().__name__)
    return items


def _floats(tensor: Tensor, flat: Sequence[Any]) -> Array:
    kind = NUMPY[tensor.datatype]
    if tensor.field:
        return np.fromiter(flat, kind, len(flat))
    items = _typed(tensor, flat, (float, int, type(None)))
    try:
        with np.errstate(over="ignore"):
            # JSON has no NaN: null stands for a missing value.
            return np.array([math.nan if item is None else item for item in items], kind)
    except OverflowError as error:
        raise wrong(tensor.name, "values", f"numbers within {tensor.datatype}", "a larger one") from error


def _integers(tensor: Tensor, flat: Sequence[Any]) -> Array:
    items = _typed(tensor, flat, (int,))
    limits = np.iinfo(NUMPY[tensor.datatype])
    for extreme in (min(items), max(items)):
        if not limits.min <= extreme <= limits.max:
            raise wrong(tensor.name, "values", f"{limits.min}..{limits.max} for {tensor.datatype}", extreme)
    return np.array(items, NUMPY[tensor.datatype])


def _flat(name: str, values: Sequence[Any], shape: tuple[int, ...]) -> Sequence[Any]:
    """Flatten nested JSON lists, which must then agree with the shape; a flat list stays as it is."""
    if not values or not isinstance(values[0], list):
        return values
    level: list[Any] = list(values)
    for depth, size in enumerate(shape[:_MAX_DEPTH]):
        width = len(level) if depth == 0 else None
        if width is not None and width != size:
            raise wrong(name, "shape", list(shape), f"{width} items on axis 0")
        if depth == len(shape) - 1:
            break
        following: list[Any] = []
        for item in level:
            if not isinstance(item, list) or len(item) != shape[depth + 1]:
                raise wrong(name, "shape", list(shape), f"another nesting on axis {depth + 1}")
            following += item
        level = following
    return level


def require_finite(array: Array, spec: TensorSpec) -> None:
    """Refuse infinities, and NaN where it does not mean "missing".

    Raises:
        InvalidError: With the place of the first.
    """
    good = np.isfinite(array)
    if good.all():
        return
    if spec.allow_nan:
        good |= np.isnan(array)
        if good.all():
            return
    index = int(np.argmin(good))
    allowed = "finite numbers or NaN" if spec.allow_nan else "finite numbers"
    raise wrong(spec.name, "values", allowed, f"{array[index]} at element {index}")
