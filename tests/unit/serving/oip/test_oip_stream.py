"""A stream answers each request once, in order, with its id; no more are in hand than allowed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_face import Face, StreamCall, features, grant_of, request, tensor
from tritonclient.grpc import InferResult

from onecode_common.errors import OnecodeError, UnauthenticatedError
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.rate import Rate
from onecode_serving.oip.calls import Stream
from onecode_serving.oip.options import OipOptions

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


def row(number: int, **fields: Any) -> bytes:
    """Return a request to ``plus`` whose answer is its number + 2."""
    array = np.full((1, 4), number, np.float32)
    return bytes(request("plus", tensor("features", array, "FP32"), id=str(number), **fields).SerializeToString())


BAD = request("nobody", id="bad").SerializeToString()


def opened(face: Face, **metadata: str) -> tuple[Stream, StreamCall]:
    return face.stream(PATH, metadata)


def numbers(call: StreamCall) -> list[tuple[str, float]]:
    """Return the id and the first number of each answer; -1 for errors."""
    found = []
    for one in call.replies():
        array = InferResult(one.infer_response).as_numpy("prediction")
        found.append((one.infer_response.id, -1.0 if array is None else float(array[0, 0])))
    return found


def test_planned_and_unplanned_requests_give_the_same_answers(face: Face) -> None:
    stream, call = opened(face)
    for number in range(10):
        stream.message(row(number))
        face.turns.run()
    assert numbers(call) == [(str(number), number + 2.0) for number in range(10)]


def test_many_in_hand_are_answered_in_order(face: Face) -> None:
    stream, call = opened(face)
    for number in range(40):
        stream.message(row(number))
    assert call.sent == []
    face.turns.run()
    assert numbers(call) == [(str(number), number + 2.0) for number in range(40)]


@CALM
@given(st.lists(st.sampled_from(["good", "bad", "broken", "turn"]), max_size=60), st.integers(1, 5))
def test_any_mix_is_answered_in_order_within_the_limit(face: Face, steps: list[str], most: int) -> None:
    face.service.options = OipOptions(max_in_stream=most)
    stream, call = opened(face)
    asked: list[tuple[str, float]] = []
    answered: list[tuple[str, float]] = []
    for number, step in enumerate(steps):
        if step == "turn":
            face.turns.run()
            answered += numbers(call)
            continue
        asked.append({"good": (str(number), number + 2.0), "bad": ("bad", -1.0), "broken": ("", -1.0)}[step])
        stream.message({"good": row(number), "bad": BAD, "broken": b"\xff"}[step])
    stream.half_close()
    face.turns.run()
    assert answered + numbers(call) == asked
    assert call.ended is True


def test_planned_requests_of_cheap_and_dear_models_are_answered_in_the_order_of_asking(face: Face) -> None:
    stream, call = opened(face)
    models = ["dense", "plus", "labelled", "gaps"]
    for turn in range(4):
        asked = [models[(place * 7 + turn) % 4] for place in range(20)]
        for place, model in enumerate(asked):
            message = request(model, tensor("features", features(1, place), "FP32"), id=f"{turn}-{place}")
            stream.message(message.SerializeToString())
            lanes = {lane.version.model: lane for lane in face.plane.state.lanes.values()}
            # Whatever their prices are today, the first model is the last to run.
            lanes["dense"].cost = Cost(1e-4, 0.0)
        face.turns.run()
        assert [(one.infer_response.id, one.infer_response.model_name) for one in call.replies()] == [
            (f"{turn}-{place}", model) for place, model in enumerate(asked)
        ]


@pytest.mark.parametrize("name", ["", "a", "é", "x" * 127, "x" * 128, "x" * 5000, "a\x1a\x01b"])
def test_any_id_comes_back_whatever_the_one_before_it_was(face: Face, name: str) -> None:
    stream, call = opened(face)
    for _ in range(2):
        for other in ("7", name, name, "8", "", name):
            message = request("plus", tensor("features", features(), "FP32"), id=other)
            stream.message(message.SerializeToString())
            face.turns.run()
            assert [one.infer_response.id for one in call.replies()] == [other]


@pytest.mark.parametrize(
    ("place", "byte"),
    [
        (8, 0xFF),  # an id that is no text
        (6, 0x12),  # a version in place of the id
        (7, 0x05),  # an id that takes a part of what follows
        (7, 0x80),  # a length of two bytes
        (7, 0xFF),
    ],
)
def test_a_message_that_only_looks_like_the_one_before_it_is_looked_at(face: Face, place: int, byte: int) -> None:
    stream, call = opened(face)
    for _ in range(4):
        stream.message(row(7))
        face.turns.run()
    assert all(not one.error_message for one in call.replies())
    body = bytearray(row(7))
    assert body[6:9] == b"\x1a\x017"
    body[place] = byte
    stream.message(bytes(body))
    face.turns.run()
    (one,) = call.replies()
    assert one.error_message
    stream.message(row(7))
    face.turns.run()
    assert numbers(call) == [("7", 9.0)]


def test_the_sender_waits_while_too_many_are_in_hand() -> None:
    face = Face(OipOptions(max_in_stream=3))
    stream, call = opened(face)
    for number in range(3):
        stream.message(row(number))
    assert not call.paused
    stream.message(row(3))
    stream.message(row(4))
    assert call.paused
    face.turns.run()
    assert numbers(call) == [(str(number), number + 2.0) for number in range(5)]
    assert not call.paused


def test_nothing_more_is_begun_while_the_caller_does_not_read(face: Face) -> None:
    face.service.options = OipOptions()
    stream, call = opened(face)
    call.waiting_bytes = 1 << 20
    stream.message(row(1))
    assert call.paused
    face.turns.run()
    assert call.sent == []
    call.waiting_bytes = 0
    stream.resume()
    face.turns.run()
    assert numbers(call) == [("1", 3.0)]
    assert not call.paused


def test_thousands_of_bad_requests_that_waited_do_not_nest() -> None:
    face = Face(OipOptions(max_in_stream=1))
    stream, call = opened(face)
    stream.message(row(0))
    for _ in range(5000):
        stream.message(BAD)
    face.turns.run()
    assert len(call.sent) == 5001


def test_half_close_answers_what_is_pending_and_ends_well(face: Face) -> None:
    stream, call = opened(face)
    stream.message(row(1))
    stream.half_close()
    assert call.ended is None
    face.turns.run()
    assert (numbers(call), call.ended) == ([("1", 3.0)], True)


def test_an_empty_stream_ends_well(face: Face) -> None:
    stream, call = opened(face)
    stream.half_close()
    assert (call.sent, call.ended) == ([], True)


def test_cancel_drops_what_has_not_run(face: Face) -> None:
    before = face.plane.statistics("plus", "2")[0].execution_count
    stream, call = opened(face)
    for number in range(3):
        stream.message(row(number))
    stream.cancelled()
    face.turns.run()
    stream.message(row(9))
    face.turns.run()
    assert (call.sent, call.ended) == ([], None)
    assert face.plane.statistics("plus", "2")[0].execution_count == before


def test_the_first_error_ends_a_stream_that_wants_it_after_the_answers_before_it(face: Face) -> None:
    stream, call = opened(face, triton_grpc_error="true")
    stream.message(row(1))
    stream.message(BAD)
    stream.message(row(2))
    face.turns.run()
    assert numbers(call) == [("1", 3.0)]
    assert isinstance(call.ended, OnecodeError)
    assert call.ended.kind == "not_found"
    stream.message(row(3))
    stream.half_close()
    face.turns.run()
    assert call.sent == []


@pytest.mark.parametrize("asked", [True, False, None])
def test_the_last_answer_of_a_request_says_so_if_asked(face: Face, asked: bool | None) -> None:
    stream, call = opened(face)
    for number in range(4):
        message = request("plus", tensor("features", np.zeros((1, 4), np.float32), "FP32"), id=str(number))
        if asked is not None:
            message.parameters["triton_enable_empty_final_response"].bool_param = asked
        stream.message(message.SerializeToString())
        face.turns.run()
    for one in call.replies():
        assert ("triton_final_response" in one.infer_response.parameters) is bool(asked)
        if asked:
            assert one.infer_response.parameters["triton_final_response"].bool_param is True


def test_an_answer_after_a_change_of_version_names_the_new_one(face: Face) -> None:
    from onecode_serving.data_plane import full_route

    stream, call = opened(face)
    digests = {
        one.release: one.digest
        for one in map(face.plane.version, face.plane.installed())
        if one and one.model == "plus"
    }
    routes = dict(face.plane.routes())
    try:
        for release in (2, 1, 2, 1):
            face.plane.set_routes({**routes, "plus": full_route("plus", digests[release], release)})
            for number in range(3):
                stream.message(row(number))
                face.turns.run()
            for number, one in enumerate(call.replies()):
                assert one.infer_response.model_version == str(release)
                assert InferResult(one.infer_response).as_numpy("prediction")[0, 0] == number + release
    finally:
        face.plane.set_routes(routes)


def test_limits_of_the_caller_hold_inside_a_stream() -> None:
    face = Face()
    face.grant = grant_of(concurrency=2)
    stream, call = opened(face)
    for turn in range(2):
        for number in range(4):
            stream.message(row(number))
        face.turns.run()
        errors = [one.error_message for one in call.replies()]
        assert [bool(text) for text in errors] == [False, False, True, True], turn
    stream.message(row(1))
    stream.cancelled()
    again, call = opened(face)
    again.message(row(1))
    again.message(row(2))
    face.turns.run()
    assert len(numbers(call)) == 2


def test_the_rate_of_the_caller_holds_inside_a_stream() -> None:
    face = Face()
    face.grant = grant_of(rate=Rate(0.001, 3))
    stream, call = opened(face)
    for number in range(5):
        stream.message(row(number))
        face.turns.run()
    assert [bool(one.error_message) for one in call.replies()] == [False] * 3 + [True] * 2


def test_a_grant_that_ends_inside_a_stream_is_asked_for_again_and_counts_where_it_was_taken() -> None:
    face = Face()
    first = face.grant = grant_of(concurrency=1)
    stream, call = opened(face)
    for number in range(3):
        stream.message(row(number))
        face.turns.run()
    assert numbers(call) == [("0", 2.0), ("1", 3.0), ("2", 4.0)]
    stream.message(row(3))
    first.until = face.service.clock.monotonic() - 1
    call.renewed = UnauthenticatedError("the credential is nobody's", code="auth.unknown_token")
    stream.message(row(4))
    call.renewed = second = grant_of(concurrency=1)
    stream.message(row(5))
    face.turns.run()
    assert numbers(call) == [("3", 5.0), ("4", -1.0), ("5", 7.0)]
    for grant in (first, second):
        grant.take("plus", 0.0)
