"""Answer with the top classes instead of numbers, as the protocol's classification extension asks."""

import numpy as np

from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.tensors import Array


def top_classes(array: Array, spec: TensorSpec, wanted: int) -> Array:
    """Return ``value:index[:label]`` of the largest values by row: shape [rows, k], or [k] without a batch axis.

    Equal values keep the order of their indices.
    """
    rows = array.reshape(array.shape[0], -1) if spec.batched else array.reshape(1, -1)
    count = min(wanted, rows.shape[1])
    result = np.empty((rows.shape[0], count), object)
    for number, row in enumerate(rows):
        order = np.argsort(-row.astype(np.float64), kind="stable")[:count]
        for place, index in enumerate(order.tolist()):
            label = f":{spec.labels[index]}" if index < len(spec.labels) else ""
            result[number, place] = f"{row[index]:f}:{index}{label}"
    return result if spec.batched else result[0]
