"""Small models for everything that a contract can say."""

import functools
import hashlib

import numpy as np
import onnxruntime
import serving_models as make
from onnx import TensorProto, helper, numpy_helper

from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.options import ModelOptions, WindowOptions
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion

WINDOW = 3
OPTIONS = {"moving": ModelOptions(window=WindowOptions("x", WINDOW))}
"""What an operator declares: the server keeps three rows of each sequence for ``moving``."""


def _described(name: str, session: onnxruntime.InferenceSession, contract: Contract) -> ServedVersion:
    digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    return ServedVersion(name, 1, digest, contract, session)


def brain() -> ServedVersion:
    """Return features + 1 over FP32, described as BF16."""
    spec = (TensorSpec("features", "BF16", (-1, make.FEATURES)),)
    out = (TensorSpec("prediction", "BF16", (-1, make.FEATURES)),)
    return _described("brain", make.session_of(make.plus(1.0)), Contract(spec, out))


def optional() -> ServedVersion:
    """Return features + c, where c is [1, 2, 3, 4] unless the caller says otherwise."""
    nodes = [helper.make_node("Add", ["features", "c"], ["prediction"])]
    shape = ["N", make.FEATURES]
    weights = [numpy_helper.from_array(np.arange(1, 5, dtype=np.float32), "c")]
    inputs = [make.value("features", TensorProto.FLOAT, shape), make.value("c", TensorProto.FLOAT, [make.FEATURES])]
    content = make.serialized(nodes, inputs, [make.value("prediction", TensorProto.FLOAT, shape)], weights)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    contract = Contract(
        (
            TensorSpec("features", "FP32", (-1, make.FEATURES)),
            TensorSpec("c", "FP32", (make.FEATURES,), optional=True),
        ),
        (TensorSpec("prediction", "FP32", (-1, make.FEATURES)),),
    )
    return _described("optional", session, contract)


def labelled() -> ServedVersion:
    """Return features as they are, with names for two of the classes; and one row without a batch axis."""
    contract = Contract(
        (TensorSpec("features", "FP32", (-1, make.FEATURES)),),
        (TensorSpec("prediction", "FP32", (-1, make.FEATURES), labels=("cold", "warm")),),
    )
    return _described("labelled", make.session_of(make.plus(0.0)), contract)


def moving() -> ServedVersion:
    """Return the sum over a window of three rows of two numbers."""
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    content = make.serialized(
        [helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0)],
        [make.value("x", TensorProto.FLOAT, ["N", WINDOW, 2])],
        [make.value("total", TensorProto.FLOAT, ["N", 2])],
        [axes],
    )
    contract = Contract((TensorSpec("x", "FP32", (-1, WINDOW, 2)),), (TensorSpec("total", "FP32", (-1, 2)),))
    return _described("moving", make.session_of(content), contract)


def whole() -> ServedVersion:
    """Return the identity of a tensor without a batch axis, and its transposed."""
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
    ]
    content = make.serialized(
        nodes,
        [make.value("x", TensorProto.INT64, [2, 3])],
        [make.value("same", TensorProto.INT64, [2, 3]), make.value("turned", TensorProto.INT64, [3, 2])],
    )
    contract = Contract(
        (TensorSpec("x", "INT64", (2, 3)),),
        (TensorSpec("same", "INT64", (2, 3)), TensorSpec("turned", "INT64", (3, 2))),
    )
    return _described("whole", make.session_of(content), contract)


@functools.cache
def versions() -> list[ServedVersion]:
    """Return every model of the tests, loaded once."""
    built = [
        make.built("dense", 1, make.dense()),
        make.built("gaps", 1, make.dense(), allow_nan=True),
        make.built("types", 1, make.many_types(), golden=b""),
        make.built("root", 1, make.root_of()),
        make.built("plus", 1, make.plus(1)),
        make.built("plus", 2, make.plus(2)),
    ]
    return [
        *(load_version(one.manifest, one.onnx) for one in built),
        brain(),
        optional(),
        labelled(),
        moving(),
        whole(),
    ]
