"""Every form of a request gives the same arrays; every answer can be read by the stock client."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_face import Face, features, request, tensor
from oip_models import versions
from tritonclient.grpc import InferRequestedOutput, InferResult, service_pb2

from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import CONTENTS, NUMPY
from onecode_serving.domain.messages import InferenceReply, Output, RegionUse
from onecode_serving.domain.tensors import decode, encode_raw
from onecode_serving.oip.convert import id_field, raw_field, reply_head, reply_of, request_of, varint

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "FP64": st.floats(allow_nan=False, allow_infinity=False),
    "BYTES": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    **{
        name: st.integers(int(np.iinfo(NUMPY[name]).min), int(np.iinfo(NUMPY[name]).max))
        for name in ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
    },
}


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@CALM
@given(st.data(), st.sampled_from(sorted(VALUES)), st.integers(1, 4))
def test_typed_and_raw_contents_give_the_same_array(data: Any, datatype: str, rows: int) -> None:
    values = data.draw(st.lists(VALUES[datatype], min_size=2 * rows, max_size=2 * rows))
    spec = TensorSpec("x", datatype, (-1, 2))
    raw = service_pb2.ModelInferRequest(model_name="m")
    raw.inputs.add(name="x", datatype=datatype, shape=[rows, 2])
    raw.raw_input_contents.append(encode_raw(np.array(values, NUMPY[datatype]), datatype))
    typed = service_pb2.ModelInferRequest(model_name="m")
    contents = typed.inputs.add(name="x", datatype=datatype, shape=[rows, 2]).contents
    getattr(contents, CONTENTS[datatype]).extend([v.encode() if isinstance(v, str) else v for v in values])
    arrays = [
        decode(request_of(message.SerializeToString(), None, 1.0).inputs[0], spec, 1000) for message in (raw, typed)
    ]
    assert arrays[0].dtype == arrays[1].dtype
    assert encode_raw(arrays[0], datatype) == encode_raw(arrays[1], datatype)


def test_everything_of_a_request_is_read() -> None:
    message = request("m", tensor("x", features(), "FP32"), outputs=[InferRequestedOutput("y", 3)], id="7")
    message.model_version = "2"
    message.parameters["sequence_id"].string_param = "s"
    message.parameters["sequence_start"].bool_param = True
    message.parameters["priority"].uint64_param = (1 << 64) - 1
    message.parameters["timeout"].int64_param = 1500
    message.parameters["ratio"].double_param = 0.5
    found = request_of(message.SerializeToString(), "gateway-1", 9.0)
    assert (found.model, found.version, found.request_id, found.unit, found.deadline) == (
        "m",
        "2",
        "7",
        "gateway-1",
        9.0,
    )
    assert (found.sequence_id, found.sequence_start, found.sequence_end) == ("s", True, False)
    assert (found.priority, found.timeout_s, found.parameters["ratio"]) == ((1 << 64) - 1, 0.0015, 0.5)
    assert [(one.name, one.classes) for one in found.wanted] == [("y", 3)]


@pytest.mark.parametrize(("value", "expected"), [(0, ""), ("", ""), (7, "7"), ("press", "press")])
def test_no_sequence_is_zero_or_nothing(value: Any, expected: str) -> None:
    message = service_pb2.ModelInferRequest()
    setattr(message.parameters["sequence_id"], "string_param" if isinstance(value, str) else "uint64_param", value)
    assert request_of(message.SerializeToString(), None, 1.0).sequence_id == expected


def test_tensors_in_shared_memory_bring_no_contents() -> None:
    message = request("m", tensor("a", features(), "FP32"))
    for name in ("b", "c"):
        message.inputs.add(name=name, datatype="FP32", shape=[1, 4])
    message.inputs[1].parameters["shared_memory_region"].string_param = "r"
    message.inputs[1].parameters["shared_memory_byte_size"].int64_param = 16
    message.inputs[1].parameters["shared_memory_offset"].int64_param = 32
    message.raw_input_contents.append(bytes(16))
    found = request_of(message.SerializeToString(), None, 1.0).inputs
    assert [one.region for one in found] == [None, RegionUse("r", 16, 32), None]
    assert [one.raw for one in found] == [features().tobytes(), None, bytes(16)]


ARRAYS = st.sampled_from(["FP32", "INT64", "BOOL", "BYTES", "FP16", "FP64", "UINT8"])


@CALM
@given(st.data(), st.lists(ARRAYS, min_size=1, max_size=4), st.text(max_size=8), st.booleans())
def test_an_answer_is_what_the_stock_client_reads(data: Any, kinds: list[str], request_id: str, final: bool) -> None:
    outputs = []
    for number, datatype in enumerate(kinds):
        shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        drawn = data.draw(st.lists(VALUES.get(datatype, VALUES["FP32"]), min_size=9, max_size=9))
        with np.errstate(over="ignore"):
            array = np.resize(np.array(drawn, NUMPY[datatype]), shape)
        outputs.append(Output(f"o{number}", datatype, array))
    reply = InferenceReply("m", "3", request_id, tuple(outputs), "sha256:0", 3, "stable")
    result = InferResult(service_pb2.ModelInferResponse.FromString(reply_of(reply, final=final)))
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("m", "3", request_id)
    assert response.parameters["onecode_arm"].string_param == "stable"
    assert ("triton_final_response" in response.parameters) is final
    for output in outputs:
        array = result.as_numpy(output.name)
        if output.datatype == "BYTES":
            assert [item.decode() for item in array.ravel()] == output.array.ravel().tolist()
        else:
            assert array.tobytes() == output.array.tobytes()


@CALM
@given(st.text(max_size=300), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_an_answer_put_together_from_parts_is_the_same_message(request_id: str, raws: list[bytes]) -> None:
    outputs = [(f"o{number}", "UINT8", (len(raw),)) for number, raw in enumerate(raws)]
    head = reply_head("m", "3", "sha256:0", 3, "candidate", outputs)
    body = b"".join([head, id_field(request_id), *(part for raw in raws for part in (raw_field(len(raw)), raw))])
    arrays = [np.frombuffer(raw, np.uint8) for raw in raws]
    whole = reply_of(
        InferenceReply(
            "m",
            "3",
            request_id,
            tuple(Output(name, kind, array) for (name, kind, _), array in zip(outputs, arrays, strict=True)),
            "sha256:0",
            3,
            "candidate",
        )
    )
    assert service_pb2.ModelInferResponse.FromString(body) == service_pb2.ModelInferResponse.FromString(whole)


@CALM
@given(st.integers(0, 1 << 40))
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    assert service_pb2.StatisticDuration.FromString(b"\x08" + varint(value)).count == value


def test_outputs_behind_one_in_shared_memory_are_found_by_the_stock_client() -> None:
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    use = RegionUse("r", 16, 8)
    shared, plain = Output("a", "FP32", array, region=use), Output("b", "FP32", array + 1)
    for outputs, raws in [((shared, plain), 2), ((plain, shared), 1), ((shared,), 0)]:
        reply = InferenceReply("m", "1", "", outputs, "d", 1, "")
        response = service_pb2.ModelInferResponse.FromString(reply_of(reply))
        assert len(response.raw_output_contents) == raws
        if plain in outputs:
            assert InferResult(response).as_numpy("b").tolist() == [[1, 2, 3, 4]]
        said = next(one for one in response.outputs if one.name == "a").parameters
        assert said["shared_memory_region"].string_param == "r"
        assert (said["shared_memory_byte_size"].int64_param, said["shared_memory_offset"].int64_param) == (16, 8)


def test_an_answer_names_what_gave_it(face: Face) -> None:
    result = face.infer(request("plus", tensor("features", features(), "FP32"), id="ä")).get_response()
    parameters = {name: item.WhichOneof("parameter_choice") for name, item in result.parameters.items()}
    assert parameters == {
        "onecode_model_digest": "string_param",
        "onecode_release": "int64_param",
        "onecode_arm": "string_param",
    }
    digest = next(one.digest for one in versions() if (one.model, one.release) == ("plus", 2))
    assert (result.model_version, result.id, result.parameters["onecode_model_digest"].string_param) == (
        "2",
        "ä",
        digest,
    )
    assert not result.outputs[0].HasField("contents")


@pytest.mark.parametrize("version", ["1", "2", "01", "digest"])
def test_a_named_version_answers_whatever_the_route_says(face: Face, version: str) -> None:
    release = int(version) if version != "digest" else 1
    if version == "digest":
        version = next(one.digest for one in versions() if (one.model, one.release) == ("plus", 1))
    result = face.infer(request("plus", tensor("features", features(), "FP32"), model_version=version))
    assert np.allclose(result.as_numpy("prediction"), features() + release)
    assert "onecode_arm" not in result.get_response().parameters


@pytest.mark.parametrize("names", [["label"], ["probabilities", "label"], ["label", "probabilities"], []])
def test_outputs_come_in_the_wanted_order(face: Face, names: list[str]) -> None:
    outputs = [InferRequestedOutput(name) for name in names]
    result = face.infer(request("dense", tensor("features", features(3), "FP32"), outputs=outputs)).get_response()
    assert [one.name for one in result.outputs] == (names or ["label", "probabilities"])
    assert len(result.raw_output_contents) == len(result.outputs)
