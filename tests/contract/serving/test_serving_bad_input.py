"""Every wrong request gets the same typed refusal over gRPC and REST, and changes nothing."""

import copy
import json
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import serving_models as make
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from serving_server import Server, running
from tritonclient.grpc import service_pb2, service_pb2_grpc

CODES = {400: grpc.StatusCode.INVALID_ARGUMENT, 404: grpc.StatusCode.NOT_FOUND, 503: grpc.StatusCode.UNAVAILABLE}
CODES |= {
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
GOOD: dict[str, Any] = {
    "model": "dense",
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def with_input(**changes: Any) -> dict[str, Any]:
    return changed(inputs=[{**GOOD["inputs"][0], **changes}])


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


# name, request, HTTP status, code, text in the message
BOTH: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("unknown model", changed(model="nothing"), 404, "model.unknown", "'nothing'"),
    ("model on its way", changed(model="waiting"), 503, "model.not_loaded", "on its way"),
    ("unknown version", changed(version="77"), 404, "version.unknown", "'77'"),
    ("unknown digest", changed(version="sha256:" + "0" * 64), 404, "version.unknown", "sha256:0"),
    ("version no number", changed(version="abc"), 400, "version.invalid", "'abc'"),
    ("negative version", changed(version="-1"), 400, "version.invalid", "'-1'"),
    ("no inputs", changed(inputs=[]), 400, "input.tensor", "'features'"),
    ("unknown input", with_input(name="other"), 400, "input.name", "one of features"),
    ("input twice", changed(inputs=GOOD["inputs"] * 2), 400, "input.once", "'features'"),
    ("wrong datatype", with_input(datatype="FP64"), 400, "input.datatype", "expected datatype FP32, got 'FP64'"),
    ("unknown datatype", with_input(datatype="FP8"), 400, "input.datatype", "'FP8'"),
    ("wrong rank", with_input(shape=[4]), 400, "input.shape", "expected shape [-1, 4], got [4]"),
    ("fixed axis", with_input(shape=[2, 2]), 400, "input.shape", "got [2, 2]"),
    ("negative axis", with_input(shape=[-1, 4]), 400, "input.shape", "got [-1, 4]"),
    ("no rows", with_input(shape=[0, 4], data=[]), 400, "input.shape", "at least one row"),
    ("too many rows", with_input(shape=[2000, 4]), 400, "batch.too_large", "at most 1024 rows, got 2000"),
    ("overflowing shape", with_input(shape=[1 << 62, 4]), 400, "batch.too_large", "at most 1024"),
    ("too few values", with_input(data=[1.0]), 400, "input.elements", "expected elements 4 by its shape, got 1"),
    ("too many values", with_input(data=[1.0] * 5), 400, "input.elements", "got 5"),
    ("raw too short", with_input(raw=floats(1, 2, 3)), 400, "input.bytes", "expected bytes 16, got 12"),
    ("raw too long", with_input(raw=floats(1, 2, 3, 4, 5)), 400, "input.bytes", "got 20"),
    ("no contents", with_input(data=None), 400, "input.contents", "raw or typed"),
    ("NaN", with_input(raw=floats(1, 2, 3, float("nan"))), 400, "input.values", "got nan at element 3"),
    ("infinity", with_input(raw=floats(1, 2, float("inf"), 4)), 400, "input.values", "got inf at element 2"),
    ("unknown output", changed(outputs=[{"name": "other"}]), 400, "output.name", "'other' is unknown"),
    ("output twice", changed(outputs=[{"name": "label"}] * 2), 400, "output.name", "asked for twice"),
    ("classes below one", changed(outputs=[{"name": "label", "parameters": {"classification": -1}}]), 400,
     "output.classification", "above 0"),
    ("reserved parameter", changed(parameters={"triton_secret": 1}), 400, "parameter.reserved", "triton_secret"),
    ("parameter of another type", changed(parameters={"priority": "high"}), 400, "parameter.type", "expected int"),
    ("unit too long", changed(parameters={"onecode_unit": "u" * 300}), 400, "unit.too_long", "300 characters"),
    ("late already", changed(parameters={"timeout": 1}), 504, "deadline.exceeded", "deadline passed"),
    ("text cut", {"model": "types", "inputs": [{"name": "s", "datatype": "BYTES", "shape": [1, 2], "raw": b"\xff"}]},
     400, "input.bytes", "'s'"),
    ("flag of two", {"model": "types", "inputs": [{"name": "b", "datatype": "BOOL", "shape": [1, 2], "raw": b"\0\2"}]},
     400, "input.values", "0 or 1"),
    ("not UTF-8", {"model": "types", "inputs": [
        {"name": "s", "datatype": "BYTES", "shape": [1, 1], "raw": b"\1\0\0\0\xff"}]}, 400, "input.shape", "'s'"),
    ("non-finite answer", {"model": "root", "inputs": [{**GOOD["inputs"][0], "data": [-1.0, 1.0, 1.0, 1.0]}]}, 500,
     "model.non_finite_output", "'prediction'"),
]  # fmt: skip
NAMES = [case[0] for case in BOTH]


def over_grpc(stub: Any, case: dict[str, Any]) -> tuple[grpc.StatusCode, str, str]:
    message = service_pb2.ModelInferRequest(model_name=case["model"], model_version=case.get("version", ""))
    raw = any("raw" in entry for entry in case["inputs"])
    for entry in case["inputs"]:
        tensor = message.inputs.add(name=entry["name"], datatype=entry["datatype"], shape=entry["shape"])
        if raw:
            message.raw_input_contents.append(entry["raw"])
        elif entry["data"] is not None:
            tensor.contents.fp32_contents.extend(entry["data"])
    for entry in case.get("outputs", []):
        wanted = message.outputs.add(name=entry["name"])
        _parameters(wanted.parameters, entry.get("parameters", {}))
    _parameters(message.parameters, case.get("parameters", {}))
    return refused(lambda: stub.ModelInfer(message))


def refused(call: Any) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    if status is not None and status.details:
        status.details[0].Unpack(info)
    return caught.value.code(), str(caught.value.details()), info.reason


def _parameters(target: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        field = "string_param" if isinstance(value, str) else "int64_param"
        setattr(target[name], field, value)


def post(server: Server, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any], Any]:
    request = urllib.request.Request(f"http://{server.rest}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
            return reply.status, json.loads(reply.read()), reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), error.headers


def over_rest(server: Server, case: dict[str, Any]) -> tuple[int, str, str]:
    tail = b""
    inputs = []
    for entry in case["inputs"]:
        described = {name: entry[name] for name in ("name", "datatype", "shape")}
        if "raw" in entry:
            tail += entry["raw"]
            described["parameters"] = {"binary_data_size": len(entry["raw"])}
        elif entry["data"] is not None:
            described["data"] = entry["data"]
        inputs.append(described)
    document = {name: case[name] for name in ("outputs", "parameters") if name in case}
    head = json.dumps({**document, "inputs": inputs}).encode()
    version = f"/versions/{case['version']}" if "version" in case else ""
    path = f"/v2/models/{case['model']}{version}/infer"
    status, answer, _ = post(server, path, head + tail, **{"Inference-Header-Content-Length": str(len(head))})
    return status, answer["error"], answer["code"]


@pytest.mark.parametrize("case", BOTH, ids=NAMES)
def test_grpc_and_rest_refuse_alike(server: Server, stub: Any, case: tuple[str, dict[str, Any], int, str, str]) -> None:
    _, request, status, code, text = case
    got, message, reason = over_grpc(stub, request)
    assert got == CODES[status], message
    assert text in message
    # A deadline is told by the status alone.
    assert reason in (code, "")
    assert over_rest(server, request) == (status, message, code)


GRPC_ONLY: list[tuple[str, dict[str, Any], str]] = [
    ("raw and typed", {"raw": [floats(1, 2, 3, 4)], "fp32": [1.0, 2.0, 3.0, 4.0]}, "send one form"),
    (
        "raw of another number",
        {"raw": [floats(1, 2, 3, 4)] * 2},
        "expected 1, one for each input outside of shared memory, got 2",
    ),
    ("wrong typed field", {"fp64": [1.0, 2.0, 3.0, 4.0]}, "expected contents fp32_contents alone"),
    ("two typed fields", {"fp32": [1.0, 2.0, 3.0, 4.0], "fp64": [1.0]}, "alone"),
    ("parameter without value", {"fp32": [1.0] * 4, "empty": True}, "has no value"),
]


@pytest.mark.parametrize("case", GRPC_ONLY, ids=[case[0] for case in GRPC_ONLY])
def test_grpc_refuses_mixed_contents(stub: Any, case: tuple[str, dict[str, Any], str]) -> None:
    _, given, text = case
    message = service_pb2.ModelInferRequest(model_name="dense", raw_input_contents=given.get("raw", []))
    tensor = message.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    for field in ("fp32", "fp64"):
        getattr(tensor.contents, f"{field}_contents").extend(given.get(field, []))
    if not given.get("fp32") and not given.get("fp64"):
        tensor.ClearField("contents")
    if given.get("empty"):
        message.parameters["x"].SetInParent()
    code, details, _ = refused(lambda: stub.ModelInfer(message))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text in details


@pytest.mark.parametrize(
    ("method", "body", "code"),
    [
        ("inference.GRPCInferenceService/ModelInfer", b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("inference.GRPCInferenceService/ModelInfer", b"", grpc.StatusCode.INVALID_ARGUMENT),
        ("inference.GRPCInferenceService/ModelMetadata", b"\x0a\x05a", grpc.StatusCode.INVALID_ARGUMENT),
        ("inference.GRPCInferenceService/ModelInfer", bytes(5 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("inference.GRPCInferenceService/RepositoryModelLoad", b"", grpc.StatusCode.PERMISSION_DENIED),
        ("inference.GRPCInferenceService//ModelInfer", b"", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_refuses_what_is_no_call_of_the_protocol(
    server: Server, method: str, body: bytes, code: grpc.StatusCode
) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        got, details, _ = refused(lambda: channel.unary_unary(f"/{method}")(body, timeout=20))
    assert got == code
    assert "Traceback" not in details


def body_of(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**GOOD["inputs"][0], **changes}]}).encode()


REST_ONLY: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("no JSON", b"{", {}, 400, "json.invalid"),
    ("empty", b"", {}, 400, "json.invalid"),
    ("a list", b"[]", {}, 400, "json.invalid"),
    ("deep", b"[" * 5000 + b"]" * 5000, {}, 400, "json.invalid"),
    ("a key twice", body_of().replace(b'"shape"', b'"shape": [9, 9], "shape"'), {}, 400, "json.invalid"),
    ("NaN in JSON", body_of(data=[1, 2, 3, float("nan")]), {}, 400, "json.invalid"),
    ("null where refused", body_of(data=[1, 2, 3, None]), {}, 400, "input.values"),
    ("text for numbers", body_of(data=["1", "2", "3", "4"]), {}, 400, "input.values"),
    ("truth for numbers", body_of(data=[True, False, True, True]), {}, 400, "input.values"),
    ("data no list", body_of(data=7), {}, 400, "input.contents"),
    ("nesting against the shape", body_of(data=[[1, 2], [3, 4]]), {}, 400, "input.shape"),
    ("shape of floats", body_of(shape=[1.0, 4.0]), {}, 400, "input.shape"),
    ("shape no list", body_of(shape="1x4"), {}, 400, "input.shape"),
    ("name a number", body_of(name=3), {}, 400, "json.field"),
    ("inputs no list", b'{"inputs": {}}'.replace(b"{}", b'"x"'), {}, 400, "json.field"),
    ("length negative", body_of(), {"Inference-Header-Content-Length": "-1"}, 400, "body.header_length"),
    ("length beyond", body_of(), {"Inference-Header-Content-Length": "99999"}, 400, "body.header_length"),
    (
        "bytes left",
        body_of() + b"xx",
        {"Inference-Header-Content-Length": str(len(body_of()))},
        400,
        "body.binary_size",
    ),
    ("size beyond", body_of(parameters={"binary_data_size": 16}, data=None), {}, 400, "body.binary_size"),
    ("both forms", body_of(parameters={"binary_data_size": 0}), {}, 400, "input.contents"),
    ("unknown encoding", body_of(), {"Content-Encoding": "br"}, 415, "body.encoding"),
    ("broken gzip", b"\x1f\x8b\x08nonsense", {"Content-Encoding": "gzip"}, 400, "body.broken"),
    ("too large", bytes(5 << 20), {}, 413, "message.too_large"),
    ("timeout no number", body_of(), {"X-OneCode-Timeout-Ms": "soon"}, 400, "timeout.invalid"),
    ("no time", body_of(), {"X-OneCode-Timeout-Ms": "0"}, 504, "deadline.exceeded"),
]


@pytest.mark.parametrize("case", REST_ONLY, ids=[case[0] for case in REST_ONLY])
def test_rest_refuses_bodies_that_are_not_the_protocol(
    server: Server, case: tuple[str, bytes, dict[str, str], int, str]
) -> None:
    _, body, headers, status, code = case
    got, answer, _ = post(server, "/v2/models/dense/infer", body, **headers)
    assert (got, answer["code"]) == (status, code), answer


def test_a_body_that_grows_without_bound_is_not_unpacked(server: Server) -> None:
    import gzip

    bomb = gzip.compress(bytes(64 << 20))
    status, answer, _ = post(server, "/v2/models/dense/infer", bomb, **{"Content-Encoding": "gzip"})
    assert (status, answer["code"]) == (413, "message.too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2", 405),
        ("GET", "/v2/models/dense/infer", 405),
        ("DELETE", "/v2/health/live", 405),
        ("GET", "/", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models//infer", 404),
        ("GET", "/v2/models/dense/versions/1/other", 404),
        ("GET", "/v2/models/..%2f..%2fetc", 404),
        ("GET", "/v2/models/%ff%fe", 404),
        ("GET", "/v2/models/dense/versions/2", 404),
        ("GET", "/v2/models/nothing/ready", 400),
    ],
)
def test_rest_answers_other_paths_and_methods_in_the_protocols_words(
    server: Server, method: str, path: str, status: int
) -> None:
    request = urllib.request.Request(f"http://{server.rest}{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=20)  # noqa: S310
    with caught.value as error:
        assert error.code == status
        assert (error.headers["Allow"] is not None) == (status == 405)
        assert set(json.loads(error.read())) & {"error", "ready"}


def test_nothing_of_this_counts_as_an_error_of_a_model_but_its_own_failure(server: Server) -> None:
    """One request to ``root`` over each face broke its contract; all else was the callers' fault."""
    post(server, "/v2/models/root/infer", body_of(data=[-1.0, 1.0, 1.0, 1.0]))
    rows = {row["model"]: row for row in server.counters()}
    assert int(rows["root"]["errors"]) == int(rows["root"]["nonFinite"]) >= 1
    assert all("errors" not in row for name, row in rows.items() if name != "root")


def test_without_a_token_only_health_is_answered(tmp_path: Any) -> None:
    import hashlib

    tokens = tmp_path / "tokens"
    tokens.write_text(hashlib.sha256(b"open-sesame").hexdigest() + "\n")
    features = np.ones((1, make.FEATURES), np.float32)
    body = body_of(data=features.ravel().tolist())
    with running(str(tokens)) as closed, grpc.insecure_channel(closed.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        calls = {
            "ServerMetadata": service_pb2.ServerMetadataRequest(),
            "ModelMetadata": service_pb2.ModelMetadataRequest(name="dense"),
            "ModelReady": service_pb2.ModelReadyRequest(name="dense"),
            "ModelInfer": service_pb2.ModelInferRequest(model_name="dense"),
        }
        for name, message in calls.items():
            for wrong in ((), (("authorization", "Bearer wrong"),), (("authorization", "Basic open-sesame"),)):
                code, _, _ = refused(lambda: getattr(stub, name)(message, metadata=wrong))  # noqa: B023
                assert code == grpc.StatusCode.UNAUTHENTICATED, name
        right = (("authorization", "Bearer open-sesame"),)
        assert stub.ModelReady(calls["ModelReady"], metadata=right).ready
        status, _, headers = post(closed, "/v2/models/dense/infer", body)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert post(closed, "/v2/models/dense/infer", body, Authorization="Bearer wrong")[0] == 401
        status, _, headers = post(closed, "/v2/models/dense/infer", body, Authorization="Bearer open-sesame")
        assert status == 200
        assert headers["X-OneCode-Model-Digest"] == make.built("dense", 1, make.dense()).digest
        tokens.write_text(hashlib.sha256(b"another").hexdigest())
        assert post(closed, "/v2/models/dense/infer", body, Authorization="Bearer open-sesame")[0] == 401


def test_damaged_messages_are_refused_and_never_break_the_server(server: Server) -> None:
    """Each byte of a good message is changed in turn; whatever that makes of it, the answer is one of the protocol."""
    message = service_pb2.ModelInferRequest(model_name="dense", id="7", raw_input_contents=[floats(1, 2, 3, 4)])
    message.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    message.outputs.add(name="label")
    message.parameters["onecode_unit"].string_param = "u"
    good = message.SerializeToString()
    allowed = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK}
    seen: dict[grpc.StatusCode, int] = {}
    with grpc.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for place in range(len(good)):
            for change in (0x01, 0x80, 0xFF):
                damaged = good[:place] + bytes([good[place] ^ change]) + good[place + 1 :]
                code = _code(call, damaged)
                seen[code] = seen.get(code, 0) + 1
        assert call(good, timeout=20)
    assert set(seen) <= allowed, seen
    assert seen[grpc.StatusCode.INVALID_ARGUMENT] > 50


def _code(call: Any, body: bytes) -> grpc.StatusCode:
    try:
        call(body, timeout=20)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK
