"""Shared memory works as a stock client uses it, in every way of asking."""

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from oip_stock import Ask, Stock, features, status_of, tensor
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import shared_memory as shm


@pytest.fixture
def region(ask: Ask) -> Iterator[Any]:
    """Return a registered region ``r`` of 256 bytes."""
    name = f"/onecode_{uuid.uuid4().hex}"
    handle = shm.create_shared_memory_region("r", name, 256)
    ask("register_system_shared_memory", "r", name, 256)
    yield handle
    ask("unregister_system_shared_memory")
    shm.destroy_shared_memory_region(handle)


def in_region(offset: int = 0, size: int = 16) -> list[InferInput]:
    one = InferInput("features", [1, 4], "FP32")
    one.set_shared_memory("r", size, offset)
    return [one]


def placed(name: str, size: int, offset: int) -> InferRequestedOutput:
    one = InferRequestedOutput(name)
    one.set_shared_memory("r", size, offset)
    return one


@pytest.mark.parametrize("form", ["plain", "gzip", "callback", "aio", "stream", "aio stream"])
def test_tensors_travel_through_shared_memory(stock: Stock, region: Any, form: str) -> None:
    for seed in range(3):
        shm.set_shared_memory_region(region, [features(1, seed)], offset=32)
        result = stock.infer(form, "plus", in_region(32), outputs=[placed("prediction", 32, 64)])
        assert shm.get_contents_as_numpy(region, np.float32, [1, 4], 64).tolist() == (features(1, seed) + 2).tolist()
        assert result.get_output("prediction").parameters["shared_memory_region"].string_param == "r"
        assert (
            stock.infer(form, "plus", in_region(32)).as_numpy("prediction").tolist() == (features(1, seed) + 2).tolist()
        )


@pytest.mark.parametrize("form", ["plain", "aio", "stream"])
def test_one_output_in_memory_and_one_in_the_message(stock: Stock, region: Any, form: str) -> None:
    inputs = [tensor("features", features())]
    plain = stock.infer(form, "dense", inputs)
    mixed = stock.infer(form, "dense", inputs, outputs=[placed("label", 8, 0), InferRequestedOutput("probabilities")])
    assert mixed.as_numpy("probabilities").tolist() == plain.as_numpy("probabilities").tolist()
    assert shm.get_contents_as_numpy(region, np.int64, [1], 0).tolist() == plain.as_numpy("label").tolist()


@pytest.mark.parametrize(
    ("inputs", "outputs", "code"),
    [
        (in_region(250), [], "INVALID_ARGUMENT"),
        (in_region(0, 15), [], "INVALID_ARGUMENT"),
        (in_region(), [placed("prediction", 15, 0)], "INVALID_ARGUMENT"),
        (in_region(), [placed("prediction", 16, 250)], "INVALID_ARGUMENT"),
    ],
)
def test_what_does_not_fit_into_memory(
    stock: Stock, region: Any, inputs: list[InferInput], outputs: list[InferRequestedOutput], code: str
) -> None:
    assert region is not None
    assert status_of(lambda: stock.infer("plain", "plus", inputs, outputs=outputs or None)) == code


def test_the_status_of_shared_memory(ask: Ask, region: Any) -> None:
    assert region is not None
    assert list(ask("get_system_shared_memory_status").regions) == ["r"]
    found = ask("get_system_shared_memory_status", "r").regions["r"]
    assert (found.name, found.offset, found.byte_size) == ("r", 0, 256)
    assert status_of(lambda: ask("get_system_shared_memory_status", "other")) == "NOT_FOUND"
    assert status_of(lambda: ask("register_system_shared_memory", "r", found.key, 8)) == "ALREADY_EXISTS"
    assert status_of(lambda: ask("register_system_shared_memory", "s", found.key, 257)) == "INVALID_ARGUMENT"
    assert status_of(lambda: ask("register_system_shared_memory", "s", "/etc/passwd", 8)) == "INVALID_ARGUMENT"
    assert status_of(lambda: ask("register_system_shared_memory", "s", "/onecode_no_such", 8)) == "NOT_FOUND"
    ask("unregister_system_shared_memory", "r")
    assert list(ask("get_system_shared_memory_status").regions) == []


def test_memory_of_a_gpu(ask: Ask) -> None:
    assert list(ask("get_cuda_shared_memory_status").regions) == []
    assert (
        status_of(lambda: ask("register_cuda_shared_memory", "r", base64.b64encode(bytes(64)), 0, 8)) == "UNIMPLEMENTED"
    )
    assert status_of(lambda: ask("unregister_cuda_shared_memory")) == "UNIMPLEMENTED"
