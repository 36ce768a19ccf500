"""Answer with the top classes instead of numbers, as the protocol's classification extension asks."""

import numpy as np

from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import FLOATS
from onecode_serving.domain.tensors import Array


def top_classes(array: Array, spec: TensorSpec, wanted: int) -> Array:
    """Return ``value:index[:label]`` of the largest values by row: shape [rows, k], or [k] without a batch axis.

    Equal values keep the order of their indices. Fractions have six decimals, whole numbers none.

    Args:
        array: Numbers of a ranked datatype.
        spec: Of the output, with its labels.
        wanted: The k; capped by the number of classes.
    """
    rows = array.reshape(array.shape[0], -1) if spec.batched else array.reshape(1, -1)
    classes = rows.shape[1]
    count = min(wanted, classes)
    form = "f" if spec.datatype in FLOATS else "d"
    result = np.empty((rows.shape[0], count), object)
    for number, row in enumerate(rows):
        # Sorted backwards twice, so that equal values stay in order and no whole number loses a digit.
        order = classes - 1 - np.argsort(row[::-1], kind="stable")[::-1][:count]
        for place, index in enumerate(order.tolist()):
            label = f":{spec.labels[index]}" if index < len(spec.labels) else ""
            result[number, place] = f"{row[index]:{form}}:{index}{label}"
    return result if spec.batched else result[0]
