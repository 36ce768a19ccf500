"""Read one inference request whole: decompress it, understand it, make large lists of numbers bytes."""

from array import array
from dataclasses import replace
from typing import Any

from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.datatypes import FLOATS
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.rest.body import Form, request_from_body, request_from_raw
from onecode_serving.rest.encoding import inflated
from onecode_serving.rest.numbers import CODES
from onecode_serving.rest.route import RestRoute

_LARGE = 4096
"""Elements from which a list is made bytes here, which may be a thread, and not later on the loop."""


def read_request(
    plane: DataPlane, route: RestRoute, body: bytes, deadline: float, max_message: int
) -> tuple[InferenceRequest, Form]:
    """Return the request and the form of its answer; may be called in any thread.

    Raises:
        InvalidError: It is not the protocol's.
        ExhaustedError: It is larger than allowed once it is decompressed.
    """
    plain = inflated(body, route.encoding, max_message)
    if route.json_length == 0:
        contract = plane.contract(plane.metadata(route.model, route.version)[0])
        return request_from_raw(route.model, route.version, plain, contract, route.unit, deadline)
    request, form = request_from_body(route.model, route.version, plain, route.json_length, route.unit, deadline)
    inputs = tuple([_packed(tensor) for tensor in request.inputs])
    return replace(request, inputs=inputs), form


def _packed(tensor: Tensor) -> Tensor:
    """Return the tensor with its bytes, if its values are many and beyond doubt; else as it is."""
    code = CODES.get(tensor.datatype)
    if code is None or tensor.values is None or len(tensor.values) < _LARGE:
        return tensor
    values: list[Any] = list(tensor.values)
    kinds = {int, float} if tensor.datatype in FLOATS else {int}
    size = 1
    for length in tensor.shape:
        size *= length
    if size != len(values) or not kinds.issuperset(map(type, values)):
        return tensor
    try:
        return replace(tensor, raw=array(code, values).tobytes(), values=None)
    except OverflowError:
        return tensor
