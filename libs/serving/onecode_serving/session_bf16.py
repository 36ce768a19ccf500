"""Run graphs that really have BF16 tensors, which onnxruntime can neither take from nor give to numpy.

In the process such tensors are FP32 (see :mod:`onecode_serving.domain.bfloat16`); they are bound as two bytes here.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from onecode_common.errors import InvalidError
from onecode_serving.domain.bfloat16 import narrowed, widened
from onecode_serving.domain.tensors import Array

_TENSOR = "tensor(bfloat16)"
_ELEMENT = 16
"""BFLOAT16 in ONNX's list of element types."""


def has_bf16(session: ort.InferenceSession) -> bool:
    """Return whether any input or output of the graph is BF16."""
    return any(node.type == _TENSOR for node in (*session.get_inputs(), *session.get_outputs()))


class Bf16Session:
    """A session whose BF16 tensors are FP32 arrays outside; a copy slower than a plain one.

    Args:
        session: Of a graph with BF16 inputs or outputs.

    Raises:
        InvalidError: The graph takes texts too, which onnxruntime cannot bind beside BF16.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        texts = [node.name for node in session.get_inputs() if node.type == "tensor(string)"]
        if texts:
            message = f"input {texts[0]!r} is text: a model with BF16 tensors takes numbers only"
            raise InvalidError(message, code="contract.datatype", params={"field": texts[0]})
        self._session = session
        self._inputs = {node.name for node in session.get_inputs() if node.type == _TENSOR}

    def get_inputs(self) -> list[Any]:
        """Return the graph's inputs."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the graph's outputs."""
        return list(self._session.get_outputs())

    def get_overridable_initializers(self) -> list[Any]:
        """Return the inputs that the graph has values of its own for."""
        return list(self._session.get_overridable_initializers())

    def run(self, names: Sequence[str], feeds: Mapping[str, Array], options: Any = None) -> list[Array]:
        """Return the outputs of these names; raises onnxruntime's errors as a plain session does."""
        values = {name: self._value(name, array) for name, array in feeds.items()}
        return [_array(value) for value in self._session.run_with_ort_values(names, values, options)]

    def _value(self, name: str, array: Array) -> Any:
        if name in self._inputs:
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(narrowed(array), _ELEMENT)
        return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Array:
    if value.data_type() != _TENSOR:
        array: Array = value.numpy()
        return array
    shape = tuple(value.shape())
    content = ctypes.string_at(value.data_ptr(), int(np.prod(shape)) * 2) if 0 not in shape else b""
    return widened(content).reshape(shape)
