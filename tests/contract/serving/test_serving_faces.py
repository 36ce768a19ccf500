"""Every form of the protocol gives a stock client exactly what onnxruntime gives in process."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import serving_models as make
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from numpy.typing import NDArray
from serving_server import Server, running
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

Arrays = dict[str, NDArray[Any]]
Infer = Callable[..., Arrays]
DATATYPES = {
    "b": "BOOL", "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64", "u8": "UINT8", "u16": "UINT16",
    "u32": "UINT32", "u64": "UINT64", "f16": "FP16", "f32": "FP32", "f64": "FP64", "s": "BYTES", "features": "FP32",
}  # fmt: skip
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
FORMS = ("grpc raw", "grpc typed", "rest binary", "rest json")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def grpc_client(server: Server) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def http_client(server: Server) -> Iterator[triton_http.InferenceServerClient]:
    with triton_http.InferenceServerClient(server.rest) as client:
        yield client


@pytest.fixture(params=FORMS)
def infer(request: pytest.FixtureRequest, server: Server) -> Iterator[Infer]:
    face, form = request.param.split()
    if request.param == "grpc typed":
        with grpc.insecure_channel(server.grpc) as channel:
            yield lambda *arguments, **more: _typed(channel, *arguments, **more)
        return
    module = triton_grpc if face == "grpc" else triton_http
    address = server.grpc if face == "grpc" else server.rest
    with module.InferenceServerClient(address) as client:
        yield lambda *arguments, **more: _stock(module, client, form, *arguments, **more)


def _stock(
    module: Any, client: Any, form: str, model: str, arrays: Arrays, wanted: tuple[str, ...] = (), **more: Any
) -> Arrays:
    how = {"binary_data": form == "binary"} if module is triton_http else {}
    inputs = []
    for name, array in arrays.items():
        tensor = module.InferInput(name, list(array.shape), DATATYPES[name])
        inputs.append(tensor.set_data_from_numpy(array, **how) or tensor)
    outputs = [module.InferRequestedOutput(name, **how) for name in wanted] or None
    result = client.infer(model, inputs, outputs=outputs, **more)
    response = result.get_response() if module is triton_http else result.get_response(as_json=True)
    return {entry["name"]: result.as_numpy(entry["name"]) for entry in response["outputs"]}


def _typed(channel: grpc.Channel, model: str, arrays: Arrays, wanted: tuple[str, ...] = (), **more: Any) -> Arrays:
    request = service_pb2.ModelInferRequest(model_name=model, **more)
    for name, array in arrays.items():
        tensor = request.inputs.add(name=name, datatype=DATATYPES[name], shape=array.shape)
        values = array.ravel().tolist()
        getattr(tensor.contents, CONTENTS[tensor.datatype]).extend(values)
    for name in wanted:
        request.outputs.add(name=name)
    result = triton_grpc.InferResult(service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request))
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def rows(count: int) -> NDArray[Any]:
    return np.random.default_rng(count).normal(size=(count, make.FEATURES)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 7, 512])
def test_the_numbers_are_those_of_onnxruntime(infer: Infer, count: int) -> None:
    features = rows(count)
    label, probabilities = make.session_of(make.dense()).run(None, {"features": features})
    answer = infer("dense", {"features": features})
    assert list(answer) == ["label", "probabilities"]
    assert np.array_equal(answer["label"], label)
    assert answer["probabilities"].tobytes() == probabilities.tobytes()


def test_outputs_come_in_the_order_that_was_asked_for(infer: Infer) -> None:
    assert list(infer("dense", {"features": rows(1)}, wanted=("probabilities", "label"))) == ["probabilities", "label"]
    assert list(infer("dense", {"features": rows(1)}, wanted=("label",))) == ["label"]


def every_type() -> Arrays:
    arrays: Arrays = {"b": np.array([[True, False]])}
    for name in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"):
        kind = np.dtype(name.replace("i", "int").replace("u", "uint").replace("uintnt", "uint"))
        arrays[name] = np.array([[np.iinfo(kind).min, np.iinfo(kind).max]], kind)
    for name, kind in (("f16", np.float16), ("f32", np.float32), ("f64", np.float64)):
        arrays[name] = np.array([[0.1, np.finfo(kind).max]], kind)
    arrays["s"] = np.array([["网关".encode(), b""]], object)
    return arrays


def test_every_datatype_goes_there_and_back(grpc_client: Any, http_client: Any) -> None:
    arrays = every_type()
    for module, client in ((triton_grpc, grpc_client), (triton_http, http_client)):
        answer = _stock(module, client, "binary", "types", arrays)
        for name, array in arrays.items():
            assert answer[f"{name}_out"].tolist() == array.tolist(), name


@pytest.mark.parametrize("infer", [form for form in FORMS if form != "rest json"], indirect=True)
def test_missing_values_pass_where_the_contract_allows_them(infer: Infer) -> None:
    """Without JSON, which has no NaN: there the stock client writes something that is no JSON."""
    features = rows(1)
    features[0, 0] = np.nan
    # The model itself cannot take it: what is refused is its answer, not the input.
    with pytest.raises((InferenceServerException, grpc.RpcError), match="NaN or infinity"):
        infer("gaps", {"features": features})
    with pytest.raises((InferenceServerException, grpc.RpcError), match="expected values finite numbers, got nan"):
        infer("dense", {"features": features})


def test_the_answer_names_model_version_digest_release_and_arm(grpc_client: Any, http_client: Any) -> None:
    digest = make.built("dense", 1, make.dense()).digest
    tensor = triton_grpc.InferInput("features", [1, make.FEATURES], "FP32").set_data_from_numpy(rows(1))
    reply = grpc_client.infer("dense", [tensor], request_id="网-7").get_response()
    assert (reply.model_name, reply.model_version, reply.id) == ("dense", "1", "网-7")
    assert reply.parameters["onecode_model_digest"].string_param == digest
    assert reply.parameters["onecode_release"].int64_param == 1
    assert reply.parameters["onecode_arm"].string_param == "stable"
    other = triton_http.InferInput("features", [1, make.FEATURES], "FP32")
    other.set_data_from_numpy(rows(1))
    document = http_client.infer("dense", [other], request_id="x-7").get_response()
    assert (document["model_name"], document["model_version"], document["id"]) == ("dense", "1", "x-7")
    expected = {"onecode_model_digest": digest, "onecode_release": 1, "onecode_arm": "stable"}
    assert document["parameters"] == expected


def test_a_named_version_answers(infer: Infer) -> None:
    answer = infer("plus", {"features": rows(2)}, model_version="5")
    assert np.array_equal(answer["prediction"], rows(2) + np.float32(5))


def test_health_metadata_and_readiness_are_those_of_the_protocol(grpc_client: Any, http_client: Any) -> None:
    for client in (grpc_client, http_client):
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("plus")
        assert client.is_model_ready("plus", "7")
        assert not client.is_model_ready("plus", "8")
        assert not client.is_model_ready("nothing")
    described = http_client.get_model_metadata("dense")
    assert described["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert described["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}
    assert http_client.get_model_metadata("plus")["versions"] == ["1", "2", "3", "4", "5", "6", "7"]
    over_grpc = grpc_client.get_model_metadata("dense", as_json=True)
    assert (over_grpc["platform"], over_grpc["inputs"][0]["shape"]) == ("onnx_onnxv1", ["-1", "4"])
    assert http_client.get_server_metadata()["name"] == grpc_client.get_server_metadata().name == "onecode"


def test_top_classes_come_as_text(grpc_client: Any, http_client: Any) -> None:
    features = rows(3)
    probabilities = make.session_of(make.dense()).run(["probabilities"], {"features": features})[0]
    best = [[f"{row[index]:f}:{index}".encode() for index in np.argsort(-row)[:2]] for row in probabilities]
    for module, client in ((triton_grpc, grpc_client), (triton_http, http_client)):
        tensor = module.InferInput("features", list(features.shape), "FP32")
        tensor.set_data_from_numpy(features)
        wanted = [module.InferRequestedOutput("probabilities", class_count=2)]
        assert client.infer("dense", [tensor], outputs=wanted).as_numpy("probabilities").tolist() == best


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_rest_bodies_may_be_compressed_both_ways(http_client: Any, algorithm: str) -> None:
    features = rows(512)
    tensor = triton_http.InferInput("features", list(features.shape), "FP32")
    tensor.set_data_from_numpy(features)
    result = http_client.infer(
        "plus", [tensor], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
    )
    assert np.array_equal(result.as_numpy("prediction"), features + np.float32(1))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_grpc_messages_may_be_compressed(grpc_client: Any, algorithm: str) -> None:
    tensor = triton_grpc.InferInput("features", [512, make.FEATURES], "FP32").set_data_from_numpy(rows(512))
    result = grpc_client.infer("plus", [tensor], compression_algorithm=algorithm)
    assert np.array_equal(result.as_numpy("prediction"), rows(512) + np.float32(1))
