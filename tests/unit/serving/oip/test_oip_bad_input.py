"""The bad-input table: what is wrong is refused by its right kind, named, before the model runs; the stream goes on."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oip_face import Face, features, grant_of, request, tensor
from tritonclient.grpc import InferRequestedOutput, service_pb2

from onecode_common.errors import OnecodeError

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
INFER = "/inference.GRPCInferenceService/ModelInfer"
F32, F64, I64 = "FP32", "FP64", "INT64"


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


def good(**fields: Any) -> Any:
    return request("dense", tensor("features", features(), F32), **fields)


def changed(change: Callable[[Any], object]) -> Any:
    message = good()
    change(message)
    return message


def typed(datatype: str, field: str, values: list[Any], name: str = "x") -> Any:
    """Return a request to ``types`` whose input of this type has typed contents."""
    message = service_pb2.ModelInferRequest(model_name="types")
    one = message.inputs.add(name=name, datatype=datatype, shape=[1, 2])
    getattr(one.contents, field).extend(values)
    return message


def raw(name: str, datatype: str, content: bytes) -> Any:
    message = service_pb2.ModelInferRequest(model_name="types")
    message.inputs.add(name=name, datatype=datatype, shape=[1, 2])
    message.raw_input_contents.append(content)
    return message


def shaped(*shape: int) -> Any:
    message = good()
    del message.inputs[0].shape[:]
    message.inputs[0].shape.extend(shape)
    return message


YES: Any = True


def parameter(name: str, kind: str, value: Any) -> Any:
    message = good()
    setattr(message.parameters[name], kind, value)
    return message


def wanted(**parameters: Any) -> Any:
    message = good()
    one = message.outputs.add(name=parameters.pop("name", "probabilities"))
    for name, value in parameters.items():
        kind = "string_param" if isinstance(value, str) else "bool_param" if isinstance(value, bool) else "int64_param"
        setattr(one.parameters[name], kind, value)
    return message


def region(**parameters: Any) -> Any:
    message = good()
    del message.raw_input_contents[:]
    for name, value in parameters.items():
        kind = "string_param" if isinstance(value, str) else "int64_param"
        setattr(message.inputs[0].parameters[name], kind, value)
    return message


def twice(field: str) -> Any:
    message = good()
    copy = type(getattr(message, field)[0])()
    copy.CopyFrom(getattr(message, field)[0])
    getattr(message, field).append(copy)
    if field == "inputs":
        message.raw_input_contents.append(message.raw_input_contents[0])
    return message


def doubled_outputs() -> Any:
    outputs = [InferRequestedOutput("label"), InferRequestedOutput("label")]
    return request("dense", tensor("features", features(), F32), outputs=outputs)


def non_finite(value: float, model: str = "dense") -> Any:
    row = features()
    row[0, 1] = value
    return request(model, tensor("features", row, F32))


REFUSED: list[tuple[str, str, Any]] = [
    ("invalid", "names no model", service_pb2.ModelInferRequest()),
    ("not_found", "'nobody'", request("nobody")),
    ("not_found", "no version '9'", good(model_version="9")),
    ("invalid", "'abc'", good(model_version="abc")),
    ("invalid", "'-1'", good(model_version="-1")),
    ("invalid", "'1.0'", good(model_version="1.0")),
    ("not_found", "no version", good(model_version="sha256:" + "0" * 64)),
    ("unavailable", "on its way", request("waiting")),
    ("invalid", "'features'", request("dense")),
    ("invalid", "'strange'", changed(lambda m: setattr(m.inputs[0], "name", "strange"))),
    ("invalid", "one tensor of this name", twice("inputs")),
    ("invalid", "datatype FP32", request("dense", tensor("features", features().astype(np.float64), F64))),
    ("invalid", "'FLOAT'", changed(lambda m: setattr(m.inputs[0], "datatype", "FLOAT"))),
    ("invalid", "datatype FP32", changed(lambda m: setattr(m.inputs[0], "datatype", ""))),
    ("invalid", "shape [-1, 4]", shaped(4)),
    ("invalid", "shape [-1, 4]", shaped()),
    ("invalid", "shape [-1, 4]", shaped(1, 4, 1)),
    ("invalid", "shape [-1, 4]", shaped(1, 5)),
    ("invalid", "shape [-1, 4]", shaped(-1, 4)),
    ("invalid", "at least one row", shaped(0, 4)),
    ("invalid", "at most", shaped((1 << 62), 4)),
    ("invalid", "1024 rows", request("dense", tensor("features", np.zeros((1025, 4), np.float32), F32))),
    ("invalid", "bytes 16", changed(lambda m: m.raw_input_contents.__setitem__(0, bytes(15)))),
    ("invalid", "bytes 16", changed(lambda m: m.raw_input_contents.__setitem__(0, bytes(17)))),
    ("invalid", "got 2", changed(lambda m: m.raw_input_contents.append(bytes(16)))),
    ("invalid", "neither", changed(lambda m: m.raw_input_contents.__delitem__(0))),
    ("invalid", "one form", changed(lambda m: m.inputs[0].contents.fp32_contents.extend([1.0] * 4))),
    ("invalid", "finite", non_finite(np.nan)),
    ("invalid", "finite", non_finite(np.inf)),
    ("invalid", "or NaN", non_finite(np.inf, "gaps")),
    ("invalid", "'strange' is unknown", wanted(name="strange")),
    ("invalid", "asked for twice", doubled_outputs()),
    ("invalid", "classification", wanted(classification=0)),
    ("invalid", "classification", wanted(classification=-1)),
    ("invalid", "classification", wanted(classification="2")),
    ("invalid", "classification", wanted(classification=True)),
    ("invalid", "cannot be put", wanted(classification=1, shared_memory_region="r", shared_memory_byte_size=9)),
    ("invalid", "shared_memory_byte_size", wanted(shared_memory_region="r")),
    ("invalid", "shared_memory_region", wanted(shared_memory_byte_size=9)),
    ("invalid", "shared_memory_region", region(shared_memory_byte_size=16)),
    ("invalid", "shared_memory_byte_size", region(shared_memory_region="r")),
    ("invalid", "shared_memory_offset",
     region(shared_memory_region="r", shared_memory_byte_size=16, shared_memory_offset=-1)),
    ("invalid", "shared_memory_region", region(shared_memory_offset=1)),
    ("not_found", "'r'", region(shared_memory_region="r", shared_memory_byte_size=16)),
    ("not_found", "'r'", wanted(shared_memory_region="r", shared_memory_byte_size=16)),
    ("invalid", "reserved", parameter("triton_anything", "bool_param", YES)),
    ("invalid", "expected bool", parameter("triton_enable_empty_final_response", "int64_param", 1)),
    ("invalid", "expected int or str", parameter("sequence_id", "double_param", 1.0)),
    ("invalid", "expected bool", parameter("sequence_start", "int64_param", 1)),
    ("invalid", "sequence_id beside", parameter("sequence_start", "bool_param", YES)),
    ("invalid", "sequence_id beside", parameter("sequence_end", "bool_param", YES)),
    ("invalid", "expected int", parameter("priority", "string_param", "1")),
    ("invalid", "expected int", parameter("priority", "bool_param", YES)),
    ("invalid", "from 0", parameter("priority", "int64_param", -1)),
    ("invalid", "expected int", parameter("timeout", "string_param", "1")),
    ("invalid", "from 0", parameter("timeout", "int64_param", -1)),
    ("invalid", "expected str", parameter("headers", "int64_param", 1)),
    ("invalid", "expected bool", parameter("binary_data_output", "string_param", "yes")),
    ("invalid", "expected str", parameter("onecode_unit", "int64_param", 7)),
    ("invalid", "at most 256", parameter("onecode_unit", "string_param", "u" * 257)),
    ("invalid", "no value", changed(lambda m: m.parameters["empty"].SetInParent())),
    ("invalid", "raw_input_contents alone for FP16", typed("FP16", "fp32_contents", [1.0, 2.0], "f16")),
    ("invalid", "fp32_contents alone", typed(F32, "fp64_contents", [1.0, 2.0], "f32")),
    ("invalid", "int_contents alone", typed("INT8", "int64_contents", [1, 2], "i8")),
    ("invalid", "int64_contents alone", typed(I64, "int_contents", [1, 2], "i64")),
    ("invalid", "uint_contents alone", typed("UINT8", "int_contents", [1, 2], "u8")),
    ("invalid", "bool_contents alone", typed("BOOL", "int_contents", [1, 0], "b")),
    ("invalid", "bytes_contents alone", typed("BYTES", "fp32_contents", [1, 0], "s")),
    ("invalid", "2 by its shape", typed(F32, "fp32_contents", [1.0], "f32")),
    ("invalid", "2 by its shape", typed(F32, "fp32_contents", [1.0] * 3, "f32")),
    ("invalid", "-128..127", typed("INT8", "int_contents", [0, 128], "i8")),
    ("invalid", "-32768..32767", typed("INT16", "int_contents", [-32769, 0], "i16")),
    ("invalid", "0..255", typed("UINT8", "uint_contents", [0, 256], "u8")),
    ("invalid", "0..65535", typed("UINT16", "uint_contents", [0, 65536], "u16")),
    ("invalid", "UTF-8", typed("BYTES", "bytes_contents", [b"\xff", b""], "s")),
    ("invalid", "0 or 1", raw("b", "BOOL", b"\x01\x02")),
    ("invalid", "inside", raw("s", "BYTES", b"\xff\xff\xff\x7fa")),
    ("invalid", "inside", raw("s", "BYTES", b"\x01\x00")),
    ("invalid", "elements 2", raw("s", "BYTES", b"\x01\x00\x00\x00a")),
    ("invalid", "elements 2", raw("s", "BYTES", bytes(12))),
    ("invalid", "UTF-8", raw("s", "BYTES", b"\x01\x00\x00\x00\xff" + bytes(4))),
]  # fmt: skip


def two_fields() -> Any:
    message = typed(F32, "fp32_contents", [1.0, 2.0], "f32")
    message.inputs[0].contents.fp64_contents.extend([1.0, 2.0])
    return message


REFUSED.append(("invalid", "alone", two_fields()))


@pytest.mark.parametrize(("kind", "named", "message"), REFUSED)
def test_a_bad_request_is_refused_by_kind_and_name(face: Face, kind: str, named: str, message: Any) -> None:
    with pytest.raises(OnecodeError) as caught:
        face.infer(message)
    assert (caught.value.kind, named in caught.value.message) == (kind, True), caught.value.message


@pytest.mark.parametrize(("kind", "named", "message"), REFUSED)
def test_a_stream_goes_on_after_a_bad_request(face: Face, kind: str, named: str, message: Any) -> None:
    message.id = "bad"
    stream, call = face.stream(STREAM)
    stream.message(message.SerializeToString())
    stream.message(good(id="good").SerializeToString())
    face.turns.run()
    bad, answer = call.replies()
    assert named in bad.error_message, kind
    assert bad.infer_response == service_pb2.ModelInferResponse(id="bad")
    assert (answer.infer_response.id, answer.error_message) == ("good", "")


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05abc", b"\x0a\x01\xff", b"\x3a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_message_are_invalid(face: Face, body: bytes) -> None:
    with pytest.raises(OnecodeError, match="cannot be parsed") as caught:
        face.bytes_of(INFER, body)
    assert (caught.value.kind, caught.value.code) == ("invalid", "rpc.undecodable")


@pytest.mark.parametrize("timeout", [1, 1000])
def test_a_deadline_that_is_past_on_arrival_is_unavailable_and_nothing_runs(face: Face, timeout: int) -> None:
    before = face.plane.statistics("dense", "1")[0].execution_count
    with pytest.raises(OnecodeError) as caught:
        face.infer(good(), deadline=face.service.clock.monotonic() - timeout)
    assert caught.value.code == "deadline.exceeded"
    assert face.plane.statistics("dense", "1")[0].execution_count == before


def test_a_failed_model_is_internal_without_the_runtimes_words(face: Face) -> None:
    with pytest.raises(OnecodeError) as caught:
        face.infer(request("root", tensor("features", -features(), F32)))
    assert caught.value.kind == "internal"
    assert "onnx" not in caught.value.message.lower()


@pytest.mark.parametrize(
    ("rules", "code"),
    [({"verbs": frozenset({"read"})}, "access.verb"), ({"models": re.compile("press")}, "access.model")],
)
def test_what_the_caller_may_not_do_is_denied(rules: dict[str, Any], code: str) -> None:
    face = Face()
    face.grant = grant_of(**rules)
    with pytest.raises(OnecodeError) as caught:
        face.infer(good())
    assert (caught.value.kind, caught.value.code) == ("denied", code)


def test_refused_requests_are_counted_as_failed(face: Face) -> None:
    before = face.plane.statistics("dense", "1")[0].fail[0]
    with pytest.raises(OnecodeError):
        face.infer(shaped(1, 5))
    assert face.plane.statistics("dense", "1")[0].fail[0] == before + 1
