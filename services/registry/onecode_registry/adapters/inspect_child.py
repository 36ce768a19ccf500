"""Look into an ONNX file in a process that can do no harm, and say what it is or why it is refused.

Run as ``python -I -m onecode_registry.adapters.inspect_child`` by :mod:`onecode_registry.adapters.inspector`.
A header line on standard input, then the file; one line of JSON on standard output. Nothing is executed: the
protobuf is parsed and walked.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import onnx
from google.protobuf.message import DecodeError

_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES = 1, 38
_OPEN_FILES = 16

IR_VERSIONS = range(3, 11)
OPSETS = {"": range(7, 21), "ai.onnx.ml": range(1, 4)}
_CONTRIB = {"com.microsoft": {"Tokenizer"}}
"""Operators beyond the standard that our own converters write."""
_STANDARD = ("", "ai.onnx")
_CONTROL_FLOW = frozenset({"Loop", "Scan", "If", "SequenceMap"})
_MOST_NODES = 20_000
_MOST_TENSORS = 50_000
_DEEPEST = 4
_MOST_TENSOR_BYTES = 1 << 30
_EXTERNAL = onnx.TensorProto.EXTERNAL

_DATATYPES: Mapping[int, str] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}


class RefusedError(Exception):
    """The file is refused; ``code`` says why, ``found`` names the offending value."""

    def __init__(self, code: str, text: str, found: object = "") -> None:
        super().__init__(text)
        self.code = code
        self.found = str(found)[:200]


class _Place(NamedTuple):
    graph: onnx.GraphProto
    depth: int


def inspect(content: bytes, *, foreign: bool) -> dict[str, Any]:
    """Return inputs, outputs and versions of the graph.

    Raises:
        RefusedError: With the first reason found.
    """
    model = _parse(content)
    places = list(_graphs(model.graph))
    _check_tensors(model, places)
    _check_versions(model)
    _check_nodes(model, places, foreign=foreign)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        "inputs": [_tensor(value) for value in model.graph.input if value.name not in constants],
        "outputs": [_tensor(value) for value in model.graph.output],
        "ir_version": model.ir_version,
        "opset": next((opsets[name] for name in _STANDARD if name in opsets), 0),
        "opset_ml": opsets.get("ai.onnx.ml", 0),
    }


def _parse(content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise RefusedError("model.not_onnx", "the file is not ONNX, or it is cut off or damaged") from error
    if not model.ir_version or not model.opset_import or not model.graph.node or not model.graph.output:
        raise RefusedError("model.not_onnx", "the file is not ONNX: it has no graph")
    return model


def _graphs(graph: onnx.GraphProto) -> Iterator[_Place]:
    """Yield the graph and those inside it; refuse too many or too deep before walking on."""
    waiting = [_Place(graph, 1)]
    nodes = tensors = 0
    while waiting:
        place = waiting.pop()
        nodes += len(place.graph.node)
        tensors += len(place.graph.initializer) + len(place.graph.sparse_initializer)
        if nodes > _MOST_NODES:
            raise RefusedError("model.over_budget", f"the graph has more than {_MOST_NODES} nodes", nodes)
        if tensors > _MOST_TENSORS:
            raise RefusedError("model.over_budget", f"the graph has more than {_MOST_TENSORS} constants", tensors)
        if place.depth > _DEEPEST:
            raise RefusedError("model.over_budget", f"graphs are nested deeper than {_DEEPEST}", place.depth)
        yield place
        for node in place.graph.node:
            for attribute in node.attribute:
                inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                waiting += [_Place(one, place.depth + 1) for one in inner]


def _check_tensors(model: onnx.ModelProto, places: Iterable[_Place]) -> None:
    for place in places:
        sparse = [*place.graph.sparse_initializer]
        dense = [*place.graph.initializer]
        for node in place.graph.node:
            for attribute in node.attribute:
                dense += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
                sparse += attribute.sparse_tensors
                if attribute.HasField("sparse_tensor"):
                    sparse.append(attribute.sparse_tensor)
        dense += [part for one in sparse for part in (one.values, one.indices)]
        for tensor in dense:
            _check_tensor(tensor)
        for one in sparse:
            _require_small(f"sparse tensor {one.values.name[:80]!r}", one.dims)
    for function in model.functions:
        name = f"{function.domain}.{function.name}"[:120]
        raise RefusedError("model.unsupported", f"the file defines its own function {name}: inline functions", name)


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        text = f"tensor {tensor.name[:80]!r} lies outside the file, at {place[:120]!r}: save it as one file"
        raise RefusedError("model.external_data", text, place)
    _require_small(f"tensor {tensor.name[:80]!r}", tensor.dims)


def _require_small(what: str, dims: Iterable[int]) -> None:
    elements = 1
    for size in dims:
        if size < 0:
            raise RefusedError("model.unsupported", f"{what} has the negative size {size}", size)
        elements *= size
    if elements > _MOST_TENSOR_BYTES:
        raise RefusedError("model.over_budget", f"{what} states {elements} elements", elements)


def _check_versions(model: onnx.ModelProto) -> None:
    if model.ir_version not in IR_VERSIONS:
        text = f"IR version {model.ir_version} is not within {IR_VERSIONS.start}..{IR_VERSIONS.stop - 1}"
        raise RefusedError("model.unsupported", text, model.ir_version)
    domains = [_text(entry.domain) for entry in model.opset_import]
    if len(set(domains)) != len(domains):
        raise RefusedError("model.unsupported", "an operator set is imported twice", domains)
    for entry in model.opset_import:
        domain = "" if entry.domain in _STANDARD else entry.domain
        accepted = OPSETS.get(domain)
        if accepted is not None and entry.version not in accepted:
            text = f"opset {domain or 'ai.onnx'} {entry.version} is not within {accepted.start}..{accepted.stop - 1}"
            raise RefusedError("model.unsupported", text, entry.version)


def _check_nodes(model: onnx.ModelProto, places: Iterable[_Place], *, foreign: bool) -> None:
    opsets = {"" if entry.domain in _STANDARD else entry.domain: entry.version for entry in model.opset_import}
    seen = set()
    for place in places:
        for node in place.graph.node:
            key = (_text("" if node.domain in _STANDARD else node.domain), _text(node.op_type))
            if key not in seen:
                seen.add(key)
                _check_operator(*key, opsets, foreign=foreign)


def _check_operator(domain: str, name: str, opsets: dict[str, int], *, foreign: bool) -> None:
    full = f"{domain or 'ai.onnx'}.{name}"[:120]
    if domain in _CONTRIB and name in _CONTRIB[domain]:
        return
    if domain not in OPSETS or domain not in opsets:
        raise RefusedError("model.unsupported", f"operator {full} is of a domain that is not accepted", full)
    if foreign and domain == "" and name in _CONTROL_FLOW:
        text = f"operator {full} is not accepted in imported models: unroll it"
        raise RefusedError("model.op_not_allowed", text, full)
    try:
        onnx.defs.get_schema(name, opsets[domain], domain)
    except onnx.defs.SchemaError as error:
        text = f"operator {full} does not exist in opset {opsets[domain]}"
        raise RefusedError("model.unsupported", text, full) from error


def _text(value: str | bytes) -> str:
    """Return a name; protobuf hands out what is not UTF-8 as bytes."""
    if isinstance(value, bytes):
        raise RefusedError("model.not_onnx", f"the file is damaged: {value[:80]!r} is not text", value[:80])
    return value


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        text = f"{value.name[:80]!r} is a {(kind or 'nothing').removesuffix('_type')}: only plain tensors can be served"
        raise RefusedError("model.unsupported", f"{text} (convert with zipmap off)", kind)
    tensor = value.type.tensor_type
    datatype = _DATATYPES.get(tensor.elem_type)
    if datatype is None:
        text = f"{value.name[:80]!r} has element type {tensor.elem_type}, which cannot be served"
        raise RefusedError("model.unsupported", text, tensor.elem_type)
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return {"name": _text(value.name), "datatype": datatype, "shape": shape}


def confine(memory: int, cpu_s: int) -> None:
    """Give up memory, time, files, new privileges and a life without the parent."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    limits = (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, int(time.process_time()) + 1 + cpu_s),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for name, value in limits:
        resource.setrlimit(name, (value, value))


def main() -> None:
    """Read the question, answer it, exit 0; anything else is told by how the process ends."""
    header = json.loads(sys.stdin.buffer.readline(1 << 16))
    confine(header["memory"], header["cpu"])
    content = sys.stdin.buffer.read(header["length"])
    try:
        answer = {"graph": inspect(content, foreign=header["foreign"])}
    except RefusedError as error:
        answer = {"refused": {"code": error.code, "text": str(error), "found": error.found}}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
