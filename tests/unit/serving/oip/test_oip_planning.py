"""A request is split where protobuf would split it, or not at all."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_face import features, request, tensor
from tritonclient.grpc import InferRequestedOutput, service_pb2

from onecode_serving.oip.planning import split_head, split_request
from onecode_serving.oip.wire import pb

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(max_size=12)


@st.composite
def messages(draw: Any) -> Any:
    """Return any request, good or bad."""
    message = service_pb2.ModelInferRequest(model_name=draw(TEXT), model_version=draw(TEXT), id=draw(TEXT))
    for name in draw(st.lists(TEXT, max_size=3)):
        message.parameters[name].int64_param = draw(st.integers(-(1 << 63), (1 << 63) - 1))
    for name in draw(st.lists(TEXT, max_size=3)):
        one = message.inputs.add(
            name=name, datatype=draw(TEXT), shape=draw(st.lists(st.integers(-5, 1 << 40), max_size=4))
        )
        one.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32), max_size=3)))
    for name in draw(st.lists(TEXT, max_size=3)):
        message.outputs.add(name=name)
    message.raw_input_contents.extend(draw(st.lists(st.binary(max_size=300), max_size=3)))
    return message


@CALM
@given(messages())
def test_the_split_of_a_message_is_that_of_protobuf(message: Any) -> None:
    body = message.SerializeToString()
    start = split_head(body)
    if len(message.raw_input_contents) != 1:
        assert start is None
        return
    assert start is not None
    assert body[start:] == message.raw_input_contents[0]
    parts = split_request(body)
    assert parts is not None
    assert (parts.request_id.decode(), parts.start) == (message.id, start)
    # The head says everything but the id; with other numbers of the same length it is the same request.
    message.id = ""
    assert pb.ModelInferRequest.FromString(parts.head + body[start:]).SerializeToString(deterministic=True) == (
        pb.ModelInferRequest.FromString(message.SerializeToString()).SerializeToString(deterministic=True)
    )


@CALM
@given(messages(), st.binary(max_size=20), st.integers(0, 400))
def test_bytes_that_were_cut_or_grew_never_say_something_else(message: Any, more: bytes, cut: int) -> None:
    body = message.SerializeToString()[:cut] + more
    start = split_head(body)
    if start is None:
        return
    # Nothing is looked at inside of fields: either protobuf agrees, or it refuses the whole.
    try:
        parsed = pb.ModelInferRequest.FromString(body)
    except Exception:  # noqa: BLE001 - the runtime's error is what is expected
        return
    assert list(parsed.raw_input_contents) == [body[start:]]


@CALM
@given(st.binary(max_size=60))
def test_any_bytes_are_split_or_not(body: bytes) -> None:
    start = split_head(body)
    assert start is None or 2 <= start <= len(body)


HEAD = b"\x0a\x01m"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEAD,
        HEAD + b"\x3a\x02a",  # ends too early
        HEAD + b"\x3a\x01ab",  # something follows
        HEAD + b"\x3a\x01a\x3a\x01b",  # two of them
        HEAD + b"\x3a\x01a\x1a\x01i",  # the id comes after it
        HEAD + b"\x38\x01\x3a\x01a",  # field 7 as a number
        HEAD + b"\x0b\x0c\x3a\x01a",  # a group
        b"\x02\x00" + b"\x3a\x01a",  # field 0
        b"\x0f\x00" + b"\x3a\x01a",  # wire type 7
        b"\x0a\xff\xff\xff\xff\x0f",  # a field of 4 GiB
        b"\x0a\x80\x80\x80\x80\x80\x01",  # a length of six bytes
        b"\x40" + b"\xff" * 11 + b"\x3a\x01a",  # a number of eleven bytes
    ],
)
def test_what_is_not_one_payload_at_the_end_is_not_split(body: bytes) -> None:
    assert split_head(body) is None
    assert split_request(body) is None


def test_fields_that_are_not_known_are_passed_over() -> None:
    unknown = b"\x40\x96\x01" + b"\x49" + bytes(8) + b"\x55" + bytes(4) + b"\xa2\x06\x02xy"
    assert split_head(HEAD + unknown + b"\x3a\x01a") == len(HEAD + unknown) + 2


def test_two_ids_or_one_that_is_no_text_are_left_to_protobuf() -> None:
    for ids in (b"\x1a\x01a\x1a\x01b", b"\x1a\x01\xff"):
        assert split_head(HEAD + ids + b"\x3a\x01a") is not None
        assert split_request(HEAD + ids + b"\x3a\x01a") is None


@pytest.mark.parametrize("rows", [1, 3, 300])
def test_requests_of_a_stock_client_that_differ_in_id_and_numbers_have_one_head(rows: int) -> None:
    wanted = [InferRequestedOutput("label"), InferRequestedOutput("probabilities")]
    heads = set()
    for seed in range(5):
        body = request(
            "dense", tensor("features", features(rows, seed), "FP32"), outputs=wanted, id=str(seed)
        ).SerializeToString()
        parts = split_request(body)
        assert parts is not None
        assert np.frombuffer(body[parts.start :], np.float32).tobytes() == features(rows, seed).tobytes()
        heads.add(parts.head)
    assert len(heads) == 1
