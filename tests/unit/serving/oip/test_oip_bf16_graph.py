"""A graph that really has BF16 tensors is run with two bytes an element and seen as FP32."""

from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
import serving_models as make
from oip_face import Face, features, request, tensor
from onnx import TensorProto, helper
from tritonclient.grpc import InferInput

from onecode_common.errors import InvalidError
from onecode_serving.data_plane import full_route
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.session_bf16 import Bf16Session, has_bf16
from onecode_serving.version import ServedVersion

KINDS = {"x": TensorProto.BFLOAT16, "i": TensorProto.INT64}


def session_of(kinds: dict[str, int]) -> Any:
    """Return the identity of each input, and the widened form of ``x``."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds]
    nodes.append(helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT))
    content = make.serialized(
        nodes,
        [make.value(name, kind, ["N", 4]) for name, kind in kinds.items()],
        [
            *(make.value(f"{name}_out", kind, ["N", 4]) for name, kind in kinds.items()),
            make.value("wide", TensorProto.FLOAT, ["N", 4]),
        ],
    )
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def test_plain_graphs_have_none() -> None:
    assert not has_bf16(make.session_of(make.plus(1)))
    assert has_bf16(session_of(KINDS))


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_all_outputs_are_right_for_any_number_of_rows(rows: int) -> None:
    array = features(rows).astype(ml_dtypes.bfloat16).astype(np.float32)
    whole = np.arange(4 * rows).reshape(rows, 4)
    same, number, wide = Bf16Session(session_of(KINDS)).run(["x_out", "i_out", "wide"], {"x": array, "i": whole})
    assert same.tolist() == wide.tolist() == array.tolist()
    assert number.tolist() == whole.tolist()


def test_texts_beside_it_are_refused_at_load() -> None:
    with pytest.raises(InvalidError, match="'s' is text"):
        Bf16Session(session_of({"x": TensorProto.BFLOAT16, "s": TensorProto.STRING}))


def test_it_serves_as_any_other_version() -> None:
    face = Face()
    contract = Contract(
        (TensorSpec("x", "BF16", (-1, 4)), TensorSpec("i", "INT64", (-1, 4))),
        (
            TensorSpec("x_out", "BF16", (-1, 4)),
            TensorSpec("i_out", "INT64", (-1, 4)),
            TensorSpec("wide", "FP32", (-1, 4)),
        ),
    )
    digest = "sha256:" + "b" * 64
    face.plane.install(ServedVersion("real", 1, digest, contract, Bf16Session(session_of(KINDS))))
    face.plane.set_routes({**face.plane.routes(), "real": full_route("real", digest, 1)})
    half = features(2).astype(ml_dtypes.bfloat16)
    one = InferInput("x", [2, 4], "BF16")
    one.set_data_from_numpy(half)
    result = face.infer(request("real", one, tensor("i", np.ones((2, 4), np.int64), "INT64")))
    assert result.get_response().raw_output_contents[0] == half.tobytes()
    assert result.as_numpy("wide").tolist() == half.astype(np.float32).tolist()
