"""Probes are told what is true now, and of each change once."""

import re
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from oip_face import Face, grant_of

from onecode_common.errors import OnecodeError

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


@pytest.fixture
def face() -> Face:
    made = Face()
    made.grant = None
    return made


def asked(service: str) -> bytes:
    return bytes(health_pb2.HealthCheckRequest(service=service).SerializeToString())


def status(face: Face, service: str) -> int:
    return int(health_pb2.HealthCheckResponse.FromString(face.bytes_of(CHECK, asked(service))).status)


def seen(call: Any) -> list[int]:
    sent, call.sent = call.sent, []
    return [health_pb2.HealthCheckResponse.FromString(one).status for one in sent]


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService"])
def test_the_server_serves_while_it_is_ready(face: Face, service: str) -> None:
    assert status(face, service) == SERVING
    face.plane.announce({}, "not yet")
    assert status(face, service) == NOT_SERVING


def test_each_model_is_a_service(face: Face) -> None:
    assert (status(face, "plus"), status(face, "waiting")) == (SERVING, NOT_SERVING)
    face.plane.unload("plus")
    assert status(face, "plus") == NOT_SERVING


@pytest.mark.parametrize("service", ["nobody", "grpc.health.v1.Nothing"])
def test_an_unknown_service_is_not_found(face: Face, service: str) -> None:
    with pytest.raises(OnecodeError) as caught:
        status(face, service)
    assert caught.value.kind == "not_found"


def test_a_name_that_is_secret_is_unknown(face: Face) -> None:
    face.grant = grant_of(models=re.compile("dense"))
    face.grant._secret = True
    with pytest.raises(OnecodeError):
        status(face, "plus")


def test_a_watch_tells_the_state_and_each_change_once(face: Face) -> None:
    others = list(face.plane._watchers)
    watch, call = face.stream(WATCH)
    watch.message(asked("plus"))
    watch.half_close()
    assert (seen(call), call.ended) == ([SERVING], None)
    face.plane.announce({}, None)
    face.plane.announce({"other": "why"}, None)
    face.turns.run()
    assert seen(call) == []
    face.plane.unload("plus")
    face.turns.run()
    face.plane.load("plus", lambda _: None)
    face.turns.run()
    assert seen(call) == [NOT_SERVING, SERVING]
    watch.cancelled()
    face.plane.unload("plus")
    face.turns.run()
    assert (seen(call), face.plane._watchers) == ([], others)


def test_a_watch_of_the_unknown_stays_open_until_it_is_known(face: Face) -> None:
    watch, call = face.stream(WATCH)
    watch.message(asked("later"))
    assert (seen(call), call.ended) == ([UNKNOWN], None)
    face.plane.announce({"later": "on its way"}, None)
    face.turns.run()
    assert seen(call) == [NOT_SERVING]
    watch.cancelled()


@pytest.mark.parametrize("steps", [["half"], ["bad"], ["good", "good"]])
def test_a_watch_that_is_none_ends_with_an_error(face: Face, steps: list[str]) -> None:
    others = list(face.plane._watchers)
    watch, call = face.stream(WATCH)
    for step in steps:
        if step == "half":
            watch.half_close()
        else:
            watch.message(asked("") if step == "good" else b"\xff")
    assert isinstance(call.ended, OnecodeError)
    assert call.ended.kind == "invalid"
    assert face.plane._watchers == others
