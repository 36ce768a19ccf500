"""Make an ONNX file fit to leave this machine: small, anonymous, loadable by every runtime that we support."""

import onnx

from onecode_common.errors import InvalidError
from onecode_training.adapters.onnx_runs import open_session

MAX_IR, MAX_OPSET, MAX_OPSET_ML = 10, 20, 3
_ALLOWED = {"": MAX_OPSET, "ai.onnx.ml": MAX_OPSET_ML}
_PRODUCER = "onecode"
_FREE = "rows"
_WITHOUT_EFFECT = ("nodes_hitrates",)
"""Statistics of tree nodes that no runtime reads: four bytes a node."""


def finalise_onnx(model: onnx.ModelProto) -> bytes:
    """Return the bytes of the model without anything that tells of the machine that made it.

    Documentation, metadata and inner shapes go, the IR version is clamped, the first axis of inputs and outputs is
    freed, and the result is loaded once.

    Raises:
        InvalidError: ``model.opset``, ``model.external_data``, ``model.load``.
    """
    final = onnx.ModelProto()
    final.CopyFrom(model)
    final.ir_version = min(final.ir_version, MAX_IR)
    final.producer_name, final.producer_version, final.domain, final.model_version = _PRODUCER, "", "", 0
    final.doc_string = ""
    del final.metadata_props[:]
    _state_opsets(final)
    _strip(final.graph)
    for value in (*final.graph.input, *final.graph.output):
        _free_batch(value)
    onnx.checker.check_model(final)
    content: bytes = final.SerializeToString(deterministic=True)
    open_session(content)
    return content


def _state_opsets(model: onnx.ModelProto) -> None:
    """Import each set of operators once: converters name some of them twice."""
    if model.functions:
        message = "the graph has functions of its own, which small runtimes do not read"
        raise InvalidError(message, code="model.opset")
    newest: dict[str, int] = {}
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        newest[domain] = max(newest.get(domain, 0), opset.version)
    for domain, number in newest.items():
        if number > _ALLOWED.get(domain, 0):
            most = _ALLOWED.get(domain, "none")
            message = f"operators {domain or 'ai.onnx'} {number}: {most} can be served"
            raise InvalidError(message, code="model.opset", params={"domain": domain, "version": number})
    del model.opset_import[:]
    for domain, number in sorted(newest.items()):
        model.opset_import.add(domain=domain, version=number)


def _strip(graph: onnx.GraphProto) -> None:
    graph.doc_string, graph.name = "", "model"
    del graph.value_info[:]
    del graph.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            message = f"tensor {tensor.name!r} lies in a file of its own: a model is one file"
            raise InvalidError(message, code="model.external_data")
    for value in (*graph.input, *graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        kept = [attribute for attribute in node.attribute if attribute.name not in _WITHOUT_EFFECT]
        if len(kept) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(kept)
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.HasField("g"):
                _strip(attribute.g)


def _free_batch(value: onnx.ValueInfoProto) -> None:
    shape = value.type.tensor_type.shape
    if shape.dim:
        shape.dim[0].Clear()
        shape.dim[0].dim_param = _FREE
