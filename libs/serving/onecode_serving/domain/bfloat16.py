"""Carry BF16, the upper half of an FP32, which numpy does not know: in the process it is always widened."""

import numpy as np
import numpy.typing as npt

SIZE = 2
"""Bytes of an element on the wire."""

_HALF = 16


def widened(raw: bytes | memoryview) -> npt.NDArray[np.float32]:
    """Return the same numbers as FP32; every BF16 has one.

    Args:
        raw: Little-endian, two bytes for each element.
    """
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << _HALF).view(np.float32)


def narrowed(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest BF16, ties to even; NaN stays NaN, what is too large becomes infinity."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> _HALF) & np.uint32(1))) >> _HALF
    # Adding to a NaN's bits could make it an infinity or another sign: keep its upper half and a quiet bit.
    quiet = (bits >> _HALF) | np.uint32(0x40)
    return np.where(np.isnan(array), quiet, rounded).astype("<u2")
