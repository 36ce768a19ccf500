"""Shared memory holds exactly what was asked for, and nobody else's."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oip_face import Face, features, request, tensor
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import shared_memory as shm

from onecode_common.errors import OnecodeError
from onecode_serving.oip.options import OipOptions
from onecode_serving.oip.shared_memory import MAX_REGIONS, SharedMemory

OBJECTS = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is


@pytest.fixture
def face() -> Iterator[Face]:
    made = Face(OipOptions(shared_memory=True))
    yield made
    made.service.close()


@pytest.fixture
def key() -> Iterator[str]:
    """Return the key of an object of 256 bytes."""
    name = f"onecode_test_{uuid.uuid4().hex}"
    (OBJECTS / name).write_bytes(bytes(256))
    yield name
    (OBJECTS / name).unlink(missing_ok=True)


def content(key: str) -> bytes:
    return (OBJECTS / key).read_bytes()


def register(face: Face, key: str, name: str = "r", offset: int = 0, byte_size: int = 256) -> None:
    face.ask("SystemSharedMemoryRegister", name=name, key=key, offset=offset, byte_size=byte_size)


def shared(rows: int = 1, offset: int = 0, size: int | None = None) -> Any:
    one = InferInput("features", [rows, 4], "FP32")
    one.set_shared_memory("r", 16 * rows if size is None else size, offset)
    return one


def placed(size: int, offset: int = 0, region: str = "r") -> Any:
    one = InferRequestedOutput("prediction")
    one.set_shared_memory(region, size, offset)
    return one


def put(key: str, array: Any, offset: int = 0) -> None:
    with (OBJECTS / key).open("r+b") as file:
        file.seek(offset)
        file.write(array.tobytes())


def refused(face: Face, message: Any) -> tuple[str, str]:
    with pytest.raises(OnecodeError) as caught:
        face.infer(message)
    return caught.value.kind, caught.value.code


def test_tensors_travel_through_memory_at_their_offsets(face: Face, key: str) -> None:
    register(face, key, offset=64, byte_size=192)
    put(key, features(2), 64 + 32)
    result = face.infer(request("plus", shared(2, 32), outputs=[placed(64, 64)]))
    response = result.get_response()
    assert list(response.raw_output_contents) == []
    assert np.frombuffer(content(key)[128:160], np.float32).tolist() == (features(2) + 2).ravel().tolist()
    said = response.outputs[0].parameters
    assert (said["shared_memory_region"].string_param, said["shared_memory_byte_size"].int64_param) == ("r", 32)
    assert (content(key)[:96], content(key)[160:]) == (bytes(96), bytes(96))


def test_memory_is_read_when_the_request_comes_and_not_later(face: Face, key: str) -> None:
    register(face, key)
    put(key, features())
    body = request("plus", shared()).SerializeToString()
    call = face.begin("/inference.GRPCInferenceService/ModelInfer", body)
    put(key, features() * 100)
    face.turns.run()
    assert isinstance(call.answer, bytes)
    assert (features() + 2).tobytes() in call.answer


def test_the_regions_of_the_stock_client_work(face: Face) -> None:
    name = f"/onecode_{uuid.uuid4().hex}"
    handle = shm.create_shared_memory_region("r", name, 64)
    try:
        shm.set_shared_memory_region(handle, [features()])
        register(face, name, byte_size=64)
        face.infer(request("plus", shared(), outputs=[placed(32, 32)]))
        array = shm.get_contents_as_numpy(handle, np.float32, [1, 4], 32)
        assert array.tolist() == (features() + 2).tolist()
    finally:
        shm.destroy_shared_memory_region(handle)


def test_a_mixture_of_memory_and_message(face: Face, key: str) -> None:
    register(face, key)
    outputs = [InferRequestedOutput("label"), InferRequestedOutput("probabilities")]
    outputs[0].set_shared_memory("r", 8)
    message = request("dense", tensor("features", features(), "FP32"), outputs=outputs)
    result = face.infer(message)
    plain = face.infer(request("dense", tensor("features", features(), "FP32")))
    assert np.frombuffer(content(key)[:8], np.int64).tolist() == plain.as_numpy("label").tolist()
    assert result.as_numpy("probabilities").tolist() == plain.as_numpy("probabilities").tolist()


def test_texts_are_put_with_their_lengths_and_say_how_long_they_became(face: Face, key: str) -> None:
    register(face, key)
    texts = np.array([["gate", "网关"]], object)
    names = {"b": bool, "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4",
             "u64": "u8", "f16": "f2", "f32": "f4", "f64": "f8"}  # fmt: skip
    kinds = ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"]
    inputs = [
        tensor(name, np.zeros((1, 2), kind), datatype)
        for (name, kind), datatype in zip(names.items(), kinds, strict=True)
    ]
    wanted = InferRequestedOutput("s_out")
    wanted.set_shared_memory("r", 200)
    result = face.infer(request("types", *inputs, tensor("s", texts, "BYTES"), outputs=[wanted])).get_response()
    assert result.outputs[0].parameters["shared_memory_byte_size"].int64_param == 18
    assert content(key)[:18] == b"\x04\x00\x00\x00gate\x06\x00\x00\x00" + "网关".encode()
    wanted.set_shared_memory("r", 17)
    assert refused(face, request("types", *inputs, tensor("s", texts, "BYTES"), outputs=[wanted])) == (
        "invalid",
        "shared_memory.room",
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (request("plus", shared(size=15)), ("invalid", "input.bytes")),
        (request("plus", shared(2, 240)), ("invalid", "shared_memory.outside")),
        (request("plus", shared(size=1 << 62)), ("invalid", "shared_memory.outside")),
        (request("plus", shared(), outputs=[placed(15)]), ("invalid", "shared_memory.room")),
        (request("plus", shared(), outputs=[placed(16, 250)]), ("invalid", "shared_memory.outside")),
        (request("plus", shared(), outputs=[placed(16, region="other")]), ("not_found", "shared_memory.unknown")),
    ],
)
def test_what_does_not_fit_is_refused_before_the_model_runs(
    face: Face, key: str, message: Any, expected: tuple[str, str]
) -> None:
    register(face, key)
    assert refused(face, message) == expected
    assert face.plane.statistics("plus", "2")[0].execution_count == 0


def test_contents_beside_memory_are_refused(face: Face, key: str) -> None:
    register(face, key)
    message = request("plus", shared())
    message.raw_input_contents.append(bytes(16))
    assert refused(face, message) == ("invalid", "input.contents")
    message = request("plus", shared())
    message.inputs[0].contents.fp32_contents.extend([1.0] * 4)
    assert refused(face, message) == ("invalid", "input.contents")


def test_an_object_that_shrank_is_an_error_and_not_the_end_of_the_process(face: Face, key: str) -> None:
    register(face, key)
    os.truncate(OBJECTS / key, 8)
    assert refused(face, request("plus", shared())) == ("invalid", "shared_memory.outside")


def test_status_register_and_unregister(face: Face, key: str) -> None:
    register(face, key, "a", 16, 32)
    register(face, "/" + key, "b")
    status = face.ask("SystemSharedMemoryStatus").regions
    assert {name: (one.name, one.key, one.offset, one.byte_size) for name, one in status.items()} == {
        "a": ("a", key, 16, 32),
        "b": ("b", "/" + key, 0, 256),
    }
    assert list(face.ask("SystemSharedMemoryStatus", name="a").regions) == ["a"]
    face.ask("SystemSharedMemoryUnregister", name="a")
    face.ask("SystemSharedMemoryUnregister", name="never")
    assert list(face.ask("SystemSharedMemoryStatus").regions) == ["b"]
    face.ask("SystemSharedMemoryUnregister")
    assert list(face.ask("SystemSharedMemoryStatus").regions) == []
    with pytest.raises(OnecodeError, match="'a'") as caught:
        face.ask("SystemSharedMemoryStatus", name="a")
    assert caught.value.kind == "not_found"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": "r"}, "conflict"),
        ({"name": ""}, "invalid"),
        ({"name": "n" * 257}, "invalid"),
        ({"byte_size": 0}, "invalid"),
        ({"byte_size": 257}, "invalid"),
        ({"byte_size": (1 << 64) - 1}, "invalid"),
        ({"offset": 1}, "invalid"),
        ({"offset": (1 << 64) - 1}, "invalid"),
        ({"key": "onecode_that_is_not_there"}, "not_found"),
        ({"key": "/onecode_/../../etc/passwd"}, "invalid"),
        ({"key": "../etc/passwd"}, "invalid"),
        ({"key": "onecode_\0"}, "invalid"),
        ({"key": "onecode_x\n"}, "invalid"),
        ({"key": "//onecode_x"}, "invalid"),
        ({"key": "psm_of_somebody"}, "invalid"),
        ({"key": ""}, "invalid"),
    ],
)
def test_a_region_that_cannot_be_is_refused(face: Face, key: str, fields: dict[str, Any], kind: str) -> None:
    register(face, key)
    asked = {"name": "other", "key": key, "offset": 0, "byte_size": 256, **fields}
    with pytest.raises(OnecodeError) as caught:
        face.ask("SystemSharedMemoryRegister", **asked)
    assert caught.value.kind == kind
    assert list(face.ask("SystemSharedMemoryStatus").regions) == ["r"]


def test_links_pipes_and_folders_are_no_objects(tmp_path: Path) -> None:
    memory = SharedMemory(on=True, objects=tmp_path)
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "..", "."):
        with pytest.raises(OnecodeError):
            memory.register("r", name, 0, 16)
    assert memory.status() == []


def test_regions_are_limited_and_their_files_closed(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(bytes(64))
    memory = SharedMemory(on=True, objects=tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(MAX_REGIONS):
        memory.register(f"r{number}", "object", 0, 64)
    with pytest.raises(OnecodeError, match="unregister") as caught:
        memory.register("one more", "object", 0, 64)
    assert caught.value.kind == "exhausted"
    memory.unregister("r0")
    memory.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_it_is_off_by_default() -> None:
    face = Face()
    for name in ("SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"):
        with pytest.raises(OnecodeError) as caught:
            face.ask(name)
        assert caught.value.code == "rpc.unimplemented"
    assert list(face.ask("SystemSharedMemoryStatus").regions) == []
    assert list(face.ask("SystemSharedMemoryStatus", name="r").regions) == []
    assert refused(face, request("plus", shared())) == ("not_found", "shared_memory.unknown")
    assert "system_shared_memory" not in face.ask("ServerMetadata").extensions


def test_memory_of_a_gpu_is_not_served(face: Face) -> None:
    assert list(face.ask("CudaSharedMemoryStatus").regions) == []
    for name in ("CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"):
        with pytest.raises(OnecodeError) as caught:
            face.ask(name, name="r")
        assert caught.value.code == "rpc.unimplemented"
