"""Importing foreign files: what is safe and fits becomes a version, everything else is refused by name."""

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onecode.registry.v1 import registry_pb2 as pb
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError
from onecode_registry.adapters.inspect_child import RefusedError, inspect


def imported(bench: Any, content: bytes, golden: bytes | None = None, **changes: Any) -> pb.Version:
    fields: dict[str, Any] = {
        "project": "default",
        "request_id": "i1",
        "model": "shuttle",
        "model_sha256": bench.put(content),
        "source": "foreign.onnx",
        **({} if "golden_from" in changes else {"golden_sha256": bench.put(golden or bench.models.golden())}),
        **changes,
    }
    version: pb.Version = bench.stub("console").ImportVersion(pb.ImportVersionRequest(**fields)).version
    return version


def test_an_import_derives_its_contract_from_the_graph(bench: Any) -> None:
    version = imported(bench, bench.models.good())
    assert version.contract.task == "classification"
    assert [(one.name, one.datatype, list(one.shape)) for one in version.contract.inputs] == [
        ("features", "FP32", [-1, 3])
    ]
    assert [(one.name, one.datatype, list(one.shape)) for one in version.contract.outputs] == [
        ("label", "INT64", [-1]),
        ("probabilities", "FP32", [-1, 2]),
    ]
    assert not version.contract.inputs[0].allow_nan
    assert json.loads(version.lineage)["source"] == "foreign.onnx"
    assert json.loads(version.lineage)["created_by"] == "alice"
    assert version.p95_us > 0
    assert imported(bench, bench.models.good()).digest == version.digest


def test_an_import_takes_over_questions_and_meaning_of_the_version_it_must_answer_like(bench: Any) -> None:
    """Decision: import proves safety and contract; whether the answers are right is proven where it serves."""
    own = bench.register("r1")
    version = imported(bench, bench.models.good(seed=7), golden_from=own.digest)
    assert version.golden_sha256 == own.golden_sha256
    assert list(version.contract.inputs[0].columns) == ["s0", "s1", "s2"]
    assert version.contract.inputs[0].allow_nan
    assert list(version.contract.outputs[1].labels) == ["0", "1"]
    assert version.release == 2


def with_initializer(change: Callable[[onnx.TensorProto], None]) -> Callable[[onnx.ModelProto], None]:
    return lambda model: change(model.graph.initializer[0])


def external(location: str) -> Callable[[onnx.TensorProto], None]:
    def change(tensor: onnx.TensorProto) -> None:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensor.ClearField("raw_data")

    return change


def linear(extra: list[onnx.NodeProto] | None = None) -> list[onnx.NodeProto]:
    return [
        *(extra or []),
        helper.make_node("Gemm", ["features", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]


WEIGHTS = {"w": np.ones((3, 2)), "b": np.zeros(2)}


def loop(models: Any) -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("more", TensorProto.BOOL, [])],
    )
    endless = [
        helper.make_node("Constant", [], ["m"], value=numpy_helper.from_array(np.array(1 << 62))),
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),  # noqa: FBT003
        helper.make_node("Loop", ["m", "yes"], [], body=body),
    ]
    return models.build(linear(endless), WEIGHTS)


def bomb(models: Any) -> Any:
    shape = numpy_helper.from_array(np.array([700_000_000], np.int64))
    nodes = [
        helper.make_node("Constant", [], ["size"], value=shape),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["none"], keepdims=0),
        helper.make_node("Add", ["features", "none"], ["shifted"]),
        helper.make_node("Gemm", ["shifted", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    return models.build(nodes, WEIGHTS)


def doubling(models: Any) -> Any:
    nodes = [helper.make_node("Concat", ["features", "features"], ["c0"], axis=0)]
    nodes += [helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(32)]
    nodes.append(helper.make_node("ReduceMax", ["c32"], ["none"], keepdims=0))
    nodes.append(helper.make_node("Add", ["features", "none"], ["shifted"]))
    nodes += linear()
    nodes[-3] = helper.make_node("Gemm", ["shifted", "w", "b"], ["scores"])
    return models.build(nodes, WEIGHTS)


def not_a_number(models: Any) -> Any:
    nodes = [
        helper.make_node("ReduceSum", ["features"], ["sum"], keepdims=1),
        helper.make_node("Div", ["sum", "sum"], ["one"]),
        helper.make_node("Mul", ["features", "one"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    return models.build(nodes, WEIGHTS)


def nested(models: Any) -> Any:
    def branch(depth: int) -> onnx.GraphProto:
        node = helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(np.array(1.0, np.float32)))
        if depth:
            node = helper.make_node("If", ["yes"], ["out"], then_branch=branch(depth - 1), else_branch=branch(0))
        return helper.make_graph([node], "b", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, [])])

    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))  # noqa: FBT003
    return models.build(
        linear([yes, helper.make_node("If", ["yes"], ["x"], then_branch=branch(6), else_branch=branch(0))]), WEIGHTS
    )


def in_attribute(models: Any) -> Any:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    external("/etc/passwd")(tensor)
    return models.build(linear([helper.make_node("Constant", [], ["x"], value=tensor)]), WEIGHTS)


def zip_map(models: Any) -> Any:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        model.graph.node.append(
            helper.make_node("ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
        )
        kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        model.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(kind)))

    return models.build(linear(), WEIGHTS, change=change)


def function(models: Any) -> Any:
    def change(model: onnx.ModelProto) -> None:
        model.functions.append(
            helper.make_function(
                "evil", "f", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], model.opset_import
            )
        )

    return models.build(linear(), WEIGHTS, change=change)


def zipped(models: Any) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.onnx", models.good())
    return buffer.getvalue()


class Canary:
    """Writes a file when it is unpickled."""

    path = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def flipped(models: Any, place: bytes) -> bytes:
    content = bytearray(models.good())
    content[content.index(place)] ^= 0x04
    return bytes(content)


def sparse(models: Any) -> Any:
    def change(model: onnx.ModelProto) -> None:
        values = numpy_helper.from_array(np.ones(1, np.float32), "s")
        indices = numpy_helper.from_array(np.zeros(1, np.int64))
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 30, 1 << 30]))

    return models.build(linear(), WEIGHTS, change=change)


HOSTILE: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "empty": (lambda _: b"", "model.not_onnx"),
    "text": (lambda _: b"hello, I am a model", "model.not_onnx"),
    "random bytes": (lambda _: np.random.default_rng(1).bytes(5000), "model.not_onnx"),
    "zip named onnx": (zipped, "model.not_onnx"),
    "gzip": (lambda models: gzip.compress(models.good()), "model.not_onnx"),
    "truncated": (lambda models: models.good()[:-40], "model.not_onnx"),
    "cut to its head": (lambda models: models.good()[:9], "model.not_onnx"),
    "bit flipped in a length": (lambda m: bytes([8, 10, 0x3A, m.good()[3] ^ 0x40]) + m.good()[4:], "model.not_onnx"),
    "bit flipped in an operator": (lambda m: flipped(m, b"Softmax"), "model.unsupported"),
    "bit flipped in a tensor's name": (lambda m: flipped(m, b"features"), "model.unsupported"),
    "only a golden set": (lambda models: models.golden(), "model.not_onnx"),
    "external data above": (
        lambda m: m.build(linear(), WEIGHTS, change=with_initializer(external("../../x"))),
        "model.external_data",
    ),
    "external data absolute": (
        lambda m: m.build(linear(), WEIGHTS, change=with_initializer(external("/etc/passwd"))),
        "model.external_data",
    ),
    "external data in an attribute": (in_attribute, "model.external_data"),
    "endless loop": (loop, "model.op_not_allowed"),
    "nested too deep": (nested, "model.over_budget"),
    "unknown domain": (
        lambda m: m.build(linear([helper.make_node("Evil", ["features"], ["x"], domain="com.evil")]), WEIGHTS),
        "model.unsupported",
    ),
    "contrib operator": (
        lambda m: m.build(linear([helper.make_node("Gelu", ["features"], ["x"], domain="com.microsoft")]), WEIGHTS),
        "model.unsupported",
    ),
    "unknown operator": (
        lambda m: m.build(linear([helper.make_node("Frobnicate", ["features"], ["x"])]), WEIGHTS),
        "model.unsupported",
    ),
    "opset 999": (lambda m: m.build(linear(), WEIGHTS, opset=999), "model.unsupported"),
    "opset 1": (lambda m: m.build(linear(), WEIGHTS, opset=1), "model.unsupported"),
    "ir version 99": (
        lambda m: m.build(linear(), WEIGHTS, change=lambda model: setattr(model, "ir_version", 99)),
        "model.unsupported",
    ),
    "own function": (function, "model.unsupported"),
    "maps as output": (zip_map, "model.unsupported"),
    "sparse tensor of 2^60": (sparse, "model.over_budget"),
    "constant of 2.8 GB": (bomb, "model.over_budget"),
    "doubling concat": (doubling, "model.over_budget"),
    "fixed batch": (lambda m: m.build(linear(), WEIGHTS, batch=1), "model.fixed_batch"),
    "NaN on a probe": (not_a_number, "model.nan_on_probe"),
    "does not load": (lambda m: m.build(linear(), {"w": np.ones((5, 2)), "b": np.zeros(2)}), "model.unsupported"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_name_and_changes_nothing(shared: Any, name: str) -> None:
    make, code = HOSTILE[name]
    with pytest.raises(InvalidError) as caught:
        imported(shared, make(shared.models))
    assert caught.value.code == code, caught.value.message
    assert not shared.stub("console").ListModels(pb.ListModelsRequest(project="default")).models


def test_every_cut_and_many_flips_are_looked_into_without_a_surprise(shared: Any) -> None:
    """What the child's walk meets first: damaged bytes either are a graph still, or are refused by name."""
    good = shared.models.good()
    damaged = [good[:length] for length in range(0, len(good), 3)]
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << (place % 8)
        damaged.append(bytes(changed))
    codes = set()
    for content in damaged:
        try:
            inspect(content, foreign=True)
        except RefusedError as error:
            codes.add(error.code)
    assert codes <= {"model.not_onnx", "model.unsupported", "model.over_budget", "model.external_data"}
    assert "model.not_onnx" in codes


def test_a_pickle_is_refused_without_being_read(shared: Any, tmp_path: Path) -> None:
    Canary.path = str(tmp_path / "canary")
    content = pickle.dumps(Canary())
    for source, code in (("evil.onnx", "model.not_onnx"), ("evil.pkl", "model.format_not_accepted")):
        with pytest.raises(InvalidError) as caught:
            imported(shared, content, source=source)
        assert caught.value.code == code
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("suffix", [".pt", ".joblib", ".h5", ".pb", ".safetensors", ".tflite", ".zip"])
def test_another_format_is_refused_with_the_way_to_convert_it(shared: Any, suffix: str) -> None:
    with pytest.raises(InvalidError) as caught:
        imported(shared, shared.models.good(), source=f"model{suffix.upper()}")
    assert caught.value.code == "model.format_not_accepted"
    assert caught.value.hint


def golden_with(bench: Any, line: int, change: Callable[[dict[str, Any]], None]) -> bytes:
    documents = [json.loads(one) for one in bench.models.golden().splitlines()]
    change(documents[line])
    return b"\n".join(json.dumps(one).encode() for one in documents)


def test_a_golden_set_that_cannot_be_asked_is_refused(shared: Any) -> None:
    content = golden_with(shared, 3, lambda row: row["inputs"][0].update(name="x"))
    asked: list[Callable[[], pb.Version]] = [
        lambda: imported(shared, shared.models.good(), content),
        lambda: shared.register("golden", golden_sha256=shared.put(content)),
    ]
    for ask in asked:
        with pytest.raises(InvalidError) as caught:
            ask()
        assert (caught.value.code, caught.value.params["line"]) == ("golden.invalid", "4")


def test_missing_values_in_golden_rows_make_the_input_accept_them(bench: Any) -> None:
    content = golden_with(bench, 5, lambda row: row["inputs"][0].update(data=[None, 1.0, 2.0]))
    version = imported(bench, bench.models.good(), content)
    assert version.contract.inputs[0].allow_nan


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"golden_sha256": ""}, InvalidError, "golden.missing"),
        ({"golden_from": "sha256:" + "0" * 64}, NotFoundError, "version.missing"),
        ({"golden_from": "latest"}, InvalidError, "digest.invalid"),
        ({"golden_sha256": "f" * 64}, NotFoundError, "object.missing"),
        ({"model_sha256": "0" * 64}, NotFoundError, "object.missing"),
    ],
)
def test_an_import_without_its_parts_is_refused(
    shared: Any, changes: dict[str, Any], error: type[OnecodeError], code: str
) -> None:
    with pytest.raises(error) as caught:
        imported(shared, shared.models.good(), **changes)
    assert caught.value.code == code
