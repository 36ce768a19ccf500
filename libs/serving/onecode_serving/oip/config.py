"""Describe a model's configuration in the protocol's words, for both faces."""

from collections.abc import Sequence
from typing import Any

from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import BYTES
from onecode_serving.loading import MODEL_FILE
from onecode_serving.version import ServedVersion

PLATFORM = "onnx_onnxv1"
BACKEND = "onnxruntime"


def config_document(
    version: ServedVersion, contract: Contract, held: Sequence[str], max_rows: int, *, stateful: bool
) -> dict[str, Any]:
    """Return the fields of ``ModelConfig`` that are true of an ONNX model.

    Args:
        version: That answers.
        contract: What callers send and get.
        held: Numbers of all versions of the model that can be asked for.
        max_rows: Of one request to a model whose first axes count rows.
        stateful: The server keeps rows of each sequence for the model.
    """
    # Rows of a window belong together: such a request is whole.
    batched = not stateful and all(spec.batched for spec in (*contract.inputs, *contract.outputs))
    document: dict[str, Any] = {
        "name": version.model,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"specific": {"versions": [int(number) for number in held]}},
        # Without rows to count the protocol's 0 means: shapes are whole.
        "max_batch_size": max_rows if batched else 0,
        "input": [_tensor(spec, batched) | ({"optional": True} if spec.optional else {}) for spec in contract.inputs],
        "output": [_tensor(spec, batched) for spec in contract.outputs],
        "instance_group": [{"name": version.model, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": MODEL_FILE,
        "parameters": {
            "onecode_model_digest": {"string_value": version.digest},
            "onecode_release": {"string_value": str(version.release)},
        },
        "model_transaction_policy": {"decoupled": False},
    }
    if stateful:
        document["sequence_batching"] = {}
    elif batched and version.limit > 1:
        document["dynamic_batching"] = {"preferred_batch_size": [version.limit], "max_queue_delay_microseconds": 0}
    return document


def _tensor(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    datatype = "STRING" if spec.datatype == BYTES else spec.datatype
    return {
        "name": spec.name,
        "data_type": f"TYPE_{datatype}",
        "dims": list(spec.shape[1:] if batched else spec.shape),
    }
