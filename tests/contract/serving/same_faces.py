"""Ask a server the same question in every form of the protocol, and keep the answer's bytes as they came."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import numpy as np
from same_models import Question, Sample, Tensor, Value, value_of
from tritonclient.grpc import service_pb2 as pb

WAIT_S = 30
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""The typed field of each datatype; FP16 and BF16 have none, in gRPC as in JSON."""

_NUMPY = {
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4",
    "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8", "BOOL": "?", "BYTES": "O",
}  # fmt: skip
_SERVICE = "/inference.GRPCInferenceService"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the place of POSIX shared memory


class Answer(NamedTuple):
    """What came: all bytes that carry it, and the outputs that were read from them.

    A protobuf message is written anew in its one deterministic way: the order of its fields and of the entries of a map
    means nothing, and is left to whoever writes it.
    """

    whole: bytes
    outputs: tuple[Value, ...]


class Program:
    """One server, asked over plain connections.

    Args:
        address: host:port of any of its ports; both protocols are spoken on each.
        key: What the caller shows.
    """

    def __init__(self, address: str, key: str) -> None:
        self._token = f"Bearer {key}"
        self._channel = grpc.insecure_channel(address)
        self._rest = HTTPConnection(address, timeout=WAIT_S)

    def close(self) -> None:
        """Close both connections."""
        self._channel.close()
        self._rest.close()

    def call(self, method: str, request: Any) -> bytes:
        """Return the bytes of the answer to a unary call."""
        made = self._channel.unary_unary(f"{_SERVICE}/{method}", request_serializer=type(request).SerializeToString)
        answer: bytes = made(request, timeout=WAIT_S, metadata=(("authorization", self._token),))
        return answer

    def stream(self, requests: list[Any]) -> list[bytes]:
        """Return the bytes of all answers on one stream."""
        made = self._channel.stream_stream(
            f"{_SERVICE}/ModelStreamInfer", request_serializer=pb.ModelInferRequest.SerializeToString
        )
        return list(made(iter(requests), timeout=WAIT_S, metadata=(("authorization", self._token),)))

    def post(self, model: str, body: bytes, headers: dict[str, str]) -> tuple[bytes, int]:
        """Return the body of an answer over REST and the length of its JSON."""
        self._rest.request("POST", f"/v2/models/{model}/infer", body, {"Authorization": self._token, **headers})
        answer = self._rest.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content, int(answer.headers.get("Inference-Header-Content-Length", len(content)))


def grpc_raw(program: Program, one: Sample, question: Question) -> Answer:
    """Ask with raw bytes."""
    return _read(program.call("ModelInfer", _raw_request(one, question)))


def grpc_typed(program: Program, one: Sample, question: Question) -> Answer:
    """Ask with typed values."""
    request = pb.ModelInferRequest(model_name=one.name, id="same")
    for tensor in one.inputs:
        array = question.inputs[tensor.name]
        made = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=array.shape)
        items = array.ravel().tolist()
        values = [item.encode() for item in items] if tensor.datatype == "BYTES" else items
        getattr(made.contents, CONTENTS[tensor.datatype]).extend(values)
    return _read(program.call("ModelInfer", request))


def grpc_stream(program: Program, one: Sample, question: Question) -> Answer:
    """Ask on a stream, between two others of the same kind."""
    requests = [_raw_request(one, question, number) for number in ("before", "same", "after")]
    found = {pb.ModelStreamInferResponse.FromString(body).infer_response.id: body for body in program.stream(requests)}
    assert set(found) == {"before", "same", "after"}
    reply = pb.ModelStreamInferResponse.FromString(found["same"])
    assert not reply.error_message
    return Answer(_ordered(reply), _values(reply.infer_response))


def grpc_memory(program: Program, one: Sample, question: Question) -> Answer:
    """Ask with inputs and outputs in shared memory."""
    values = one.values(question)
    room = [(value.name, len(value.raw)) for value in question.answer]
    with _region(program, b"".join(value.raw for value in values), sum(size for _, size in room)) as (name, memory):
        request = pb.ModelInferRequest(model_name=one.name, id="same")
        place = 0
        for value in values:
            made = request.inputs.add(name=value.name, datatype=value.datatype, shape=value.shape)
            _point(made.parameters, name, place, len(value.raw))
            place += len(value.raw)
        for output, size in room:
            _point(request.outputs.add(name=output).parameters, name, place, size)
            place += size
        reply = pb.ModelInferResponse.FromString(program.call("ModelInfer", request))
        content = memory.read_bytes()
    assert not reply.raw_output_contents
    place = sum(len(value.raw) for value in values)
    outputs = []
    for output in reply.outputs:
        size = output.parameters["shared_memory_byte_size"].int64_param
        outputs.append(Value(output.name, output.datatype, tuple(output.shape), content[place : place + size]))
        place += size
    # The region has a name of its own each time.
    return Answer(_ordered(reply).replace(name.encode(), b"") + content, tuple(outputs))


def rest_json(program: Program, one: Sample, question: Question) -> Answer:
    """Ask in JSON, and be answered in JSON."""
    inputs = [
        {**_described(tensor, question), "data": question.inputs[tensor.name].ravel().tolist()} for tensor in one.inputs
    ]
    body, _ = program.post(one.name, json.dumps({"id": "same", "inputs": inputs}).encode(), {})
    outputs = []
    for entry in json.loads(body)["outputs"]:
        array = np.array(entry["data"], _NUMPY[entry["datatype"]]).reshape(entry["shape"])
        outputs.append(value_of(Tensor(entry["name"], entry["datatype"], ()), array))
    return Answer(body, tuple(outputs))


def rest_binary(program: Program, one: Sample, question: Question) -> Answer:
    """Ask with bytes behind the JSON, and be answered alike."""
    values = one.values(question)
    inputs = [
        {**_described(tensor, question), "parameters": {"binary_data_size": len(value.raw)}}
        for tensor, value in zip(one.inputs, values, strict=True)
    ]
    document = {"id": "same", "parameters": {"binary_data_output": True}, "inputs": inputs}
    head = json.dumps(document).encode()
    content = b"".join([head, *(value.raw for value in values)])
    return _binary(*program.post(one.name, content, {"Inference-Header-Content-Length": str(len(head))}))


def rest_bytes(program: Program, one: Sample, question: Question) -> Answer:
    """Ask with a body that is the one input's bytes alone."""
    (value,) = one.values(question)
    return _binary(*program.post(one.name, value.raw, {"Inference-Header-Content-Length": "0"}))


Face = Callable[[Program, Sample, Question], Answer]

FACES: dict[str, Face] = {
    "gRPC raw": grpc_raw,
    "gRPC typed": grpc_typed,
    "gRPC stream": grpc_stream,
    "gRPC shared memory": grpc_memory,
    "REST JSON": rest_json,
    "REST binary": rest_binary,
    "REST body": rest_bytes,
}


def can_carry(face: str, one: Sample, question: Question) -> bool:
    """Return whether the protocol has this form for a question."""
    if face in ("gRPC typed", "REST JSON"):
        return one.datatypes <= set(CONTENTS)
    if face == "REST body":
        first = question.inputs[one.inputs[0].name].shape[0]
        return len(one.inputs) == 1 and one.inputs[0].datatype != "BYTES" and (first == 1 or one.inputs[0].shape[0] > 0)
    return True


def _raw_request(one: Sample, question: Question, number: str = "same") -> Any:
    request = pb.ModelInferRequest(model_name=one.name, id=number)
    for value in one.values(question):
        request.inputs.add(name=value.name, datatype=value.datatype, shape=value.shape)
        request.raw_input_contents.append(value.raw)
    return request


def _read(body: bytes) -> Answer:
    reply = pb.ModelInferResponse.FromString(body)
    return Answer(_ordered(reply), _values(reply))


def _ordered(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _values(reply: Any) -> tuple[Value, ...]:
    pairs = zip(reply.outputs, reply.raw_output_contents, strict=True)
    return tuple(Value(output.name, output.datatype, tuple(output.shape), raw) for output, raw in pairs)


def _binary(body: bytes, length: int) -> Answer:
    place, outputs = length, []
    for entry in json.loads(body[:length])["outputs"]:
        size = entry["parameters"]["binary_data_size"]
        outputs.append(Value(entry["name"], entry["datatype"], tuple(entry["shape"]), body[place : place + size]))
        place += size
    assert place == len(body)
    return Answer(body, tuple(outputs))


def _described(tensor: Tensor, question: Question) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(question.inputs[tensor.name].shape)}


def _point(parameters: Any, region: str, offset: int, size: int) -> None:
    parameters["shared_memory_region"].string_param = region
    parameters["shared_memory_offset"].int64_param = offset
    parameters["shared_memory_byte_size"].int64_param = size


@contextmanager
def _region(program: Program, content: bytes, room: int) -> Iterator[tuple[str, Path]]:
    """Register shared memory with some bytes and room behind them."""
    name = f"onecode_same_{uuid4().hex}"
    memory = _MEMORY / name
    memory.write_bytes(content + bytes(room))
    size = len(content) + room
    try:
        program.call(
            "SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name=name, key=name, byte_size=size)
        )
        yield name, memory
        program.call("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name=name))
    finally:
        memory.unlink()
