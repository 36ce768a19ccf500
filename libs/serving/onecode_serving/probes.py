"""Make rows that a model can be asked before anybody asks it: harmless ones, and ones that differ."""

import numpy as np

from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import BYTES, FLOATS, NUMPY
from onecode_serving.domain.tensors import Array

_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927
"""Multiples of these, without their whole parts, lie evenly between 0 and 1 and follow no short pattern."""


def probe_rows(contract: Contract) -> list[dict[str, Array]]:
    """Return harmless inputs: one and two rows of zeros, and the middle of the range seen in training.

    They prove that a version answers at all; what it answers is the golden set's affair.
    """
    probes = [{spec.name: filled_rows(spec, rows) for spec in contract.inputs} for rows in (1, 2)]
    if any(spec.minimum and spec.maximum for spec in contract.inputs):
        probes.append({spec.name: _middle(spec) for spec in contract.inputs})
    return probes


def drawn_rows(spec: TensorSpec, rows: int) -> Array:
    """Return rows that differ: within the range seen in training, or around zero; texts and whole numbers are empty."""
    array = filled_rows(spec, rows)
    if spec.datatype not in FLOATS:
        return array
    # Draws alone are multiples of one small number, and their sums need no rounding that could differ: products do.
    # Two sequences that fill an interval evenly do for dice, whose library is 4 MiB in every server's memory.
    place = np.arange(1.0, array.size + 1.0).reshape(array.shape)
    drawn = (2.0 * (place * _GOLDEN % 1.0) - 1.0) * (place * _PLASTIC % 1.0)
    if array.size and array[0].size == len(spec.minimum) == len(spec.maximum):
        low, high = (np.array(edge).reshape(array.shape[1:]) for edge in (spec.minimum, spec.maximum))
        drawn = low + (drawn + 1) / 2 * (high - low)
    return drawn.astype(array.dtype)


def filled_rows(spec: TensorSpec, rows: int) -> Array:
    """Return rows of zeros or empty texts, in the shape and type of an input; open axes have one place."""
    shape = _shape(spec, rows)
    return np.full(shape, "", object) if spec.datatype == BYTES else np.zeros(shape, NUMPY[spec.datatype])


def _middle(spec: TensorSpec) -> Array:
    row = filled_rows(spec, 1)
    if spec.datatype in FLOATS and row.size == len(spec.minimum) == len(spec.maximum):
        middle = [(low + high) / 2 for low, high in zip(spec.minimum, spec.maximum, strict=True)]
        return np.array(middle, row.dtype).reshape(row.shape)
    return row


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    tail = tuple(1 if size < 0 else size for size in spec.shape[1:])
    return (rows, *tail) if spec.batched else tuple(1 if size < 0 else size for size in spec.shape)
