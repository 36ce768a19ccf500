"""A model of any datatype that can be served can be imported, proven and served."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onecode.registry.v1 import registry_pb2 as pb
from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError
from onecode_delivery.client import Delivery
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.golden import check_golden, parse_golden
from onecode_serving.loading import load_version
from onecode_serving.trial import try_model

ROWS = 64
HALVES = {"FP16": (TensorProto.FLOAT16, np.float16), "BF16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16)}


def serialized(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> bytes:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "typed", inputs, outputs)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnx.ModelProto.SerializeToString(model)


def doubling(kind: int) -> bytes:
    """``y = 2 x`` in a half type, by way of FP32."""
    two = helper.make_node("Constant", [], ["two"], value=helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]))
    nodes = [
        two,
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "two"], ["doubled"]),
        helper.make_node("Cast", ["doubled"], ["y"], to=kind),
    ]
    value = helper.make_tensor_value_info
    return serialized(nodes, [value("x", kind, [None, 3])], [value("y", kind, [None, 3])])


def naming() -> bytes:
    """Text in, text and its number out."""
    encode = helper.make_node(
        "LabelEncoder", ["x"], ["code"], domain="ai.onnx.ml", keys_strings=["rot", "gr\u00fcn"], values_int64s=[1, 2]
    )
    nodes = [helper.make_node("Identity", ["x"], ["y"]), encode]
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.STRING, [None, 1]), value("code", TensorProto.INT64, [None, 1])]
    return serialized(nodes, [value("x", TensorProto.STRING, [None, 1])], outputs)


def golden(rows: list[tuple[list[Any], dict[str, tuple[str, list[Any]]]]], datatype: str) -> bytes:
    lines = [{"format": 1, "rows": len(rows), "atol": 1e-3, "rtol": 1e-3, "allowed_mismatch": 0}]
    for given, answers in rows:
        inputs = [{"name": "x", "datatype": datatype, "shape": [1, len(given)], "data": given}]
        outputs = [
            {"name": name, "datatype": kind, "shape": [1, len(values)], "data": values}
            for name, (kind, values) in answers.items()
        ]
        lines.append({"inputs": inputs, "outputs": outputs})
    return "\n".join(map(json.dumps, lines)).encode() + b"\n"


def half_rows(datatype: str, rows: int = ROWS) -> list[tuple[list[Any], dict[str, tuple[str, list[Any]]]]]:
    kind = HALVES[datatype][1]
    numbers = [[number + 0.5, -number / 3, 0.1] for number in range(rows)]
    return [(row, {"y": (datatype, (2 * np.array(row, kind).astype(np.float32)).tolist())}) for row in numbers]


def cases() -> dict[str, tuple[bytes, bytes]]:
    found = {name: (doubling(kind), golden(half_rows(name), name)) for name, (kind, _) in HALVES.items()}
    words = [("rot", 1), ("gr\u00fcn", 2), ("", -1), ("blau", -1)]
    rows = [([word], {"y": ("BYTES", [word]), "code": ("INT64", [code])}) for word, code in words * 16]
    found["BYTES"] = (naming(), golden(rows, "BYTES"))
    return found


def policy(version: pb.Version) -> bytes:
    arm = {"from": 0, "to": 10_000, "release": version.release, "digest": version.digest, "role": "stable"}
    entry = {
        "name": "typed", "rollout": "r_1", "revision": 1, "unit": "request", "salt": "r_1", "arms": [arm],
        "mode": "active", "probation_s": 1800, "rollback_to": [], "floor": 1, "hold": False,
    }  # fmt: skip
    document = {
        "schema": 1, "tenant": "default", "segment": "line-1", "generation": 1, "issued": "2026-01-01T00:00:00Z",
        "poll_s": 30, "report_s": 30, "interval_s": 60, "critical": [], "models": [entry],
    }  # fmt: skip
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def imported(bench: Any, content: bytes, answers: bytes) -> pb.Version:
    request = pb.ImportVersionRequest(
        project="default", request_id="i1", model="typed", source="typed.onnx",
        model_sha256=bench.put(content), golden_sha256=bench.put(answers),
    )  # fmt: skip
    version: pb.Version = bench.stub("console").ImportVersion(request).version
    return version


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "BYTES"])
def test_it_comes_from_a_file_to_a_model_that_answers(bench: Any, tmp_path: Path, datatype: str) -> None:
    content, answers = cases()[datatype]
    version = imported(bench, content, answers)
    assert [one.datatype for one in version.contract.inputs] == [datatype]
    request = bench.fleet.request(1, {"fleet/line-1/policy.json": policy(version)})
    bench.stub("rollout").PublishPolicy(request)
    root = (bench.home / "registry" / "public" / "root.json").read_bytes()
    delivery = Delivery(tmp_path / "gw", bench.url, "default", "line-1", bench.gateway, root, SystemClock())
    delivery.refresh()
    delivery.fetch(delivery.manifest("typed", version.release, version.digest))
    verified = delivery.open_version(version.digest)

    report = try_model(verified.onnx, verified.manifest, verified.golden)
    assert report.ok, report.detail
    served = load_version(verified.manifest, verified.onnx)
    questions = parse_golden(verified.golden)
    assert check_golden(served, questions).passed
    plane = DataPlane(Counters(60), SystemClock())
    plane.install(served)
    plane.set_routes({"typed": full_route("typed", served.digest, 1)})
    reply = plane.infer(InferenceRequest("typed", questions.rows[1].inputs))
    assert [one.datatype for one in reply.outputs] == [one.datatype for one in version.contract.outputs]
    if datatype == "BYTES":
        assert [one.array.ravel().tolist() for one in reply.outputs] == [["gr\u00fcn"], [2]]
    else:
        model = ReferenceEvaluator(onnx.load_from_string(content))
        (expected,) = model.run(None, {"x": np.array([[1.5, -1 / 3, 0.1]], HALVES[datatype][1])})
        assert np.array_equal(reply.outputs[0].array, np.asarray(expected, reply.outputs[0].array.dtype))


@pytest.mark.parametrize(("datatype", "value"), [("FP16", 70000.0), ("BF16", 1e39), ("BF16", 10**40)])
def test_a_golden_number_that_the_type_cannot_hold_is_refused(bench: Any, datatype: str, value: float) -> None:
    rows = half_rows(datatype)
    rows[5][0][1] = value
    with pytest.raises(InvalidError, match="line 7"):
        imported(bench, cases()[datatype][0], golden(rows, datatype))


@pytest.mark.parametrize("text", ["with\0nul", "half\ud800"])
def test_a_golden_text_that_no_model_can_be_given_is_refused(bench: Any, text: str) -> None:
    rows = [([text if number == 5 else "rot"], {"code": ("INT64", [1])}) for number in range(ROWS)]
    with pytest.raises(InvalidError, match="line 7"):
        imported(bench, naming(), golden(rows, "BYTES"))
