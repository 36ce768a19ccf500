"""A graceful end loses no request that was accepted, and says which were not."""

import pytest
from http2_kit import ANSWER_HEAD, ANSWER_TAIL, STREAMING, Frame, Wire, block_for, call, data, headers, resets_in

from onecode_serving.http2.frames import GOAWAY, PING, REFUSED_STREAM, frame, unpack_u32

ECHO = block_for("/echo")


def last_streams(frames: list[Frame]) -> list[int]:
    return [unpack_u32(one.payload, 0)[0] for one in frames if one.kind == GOAWAY]


def echo_of(frames: list[Frame]) -> bytes:
    """Return the acknowledgement of the PING in the frames."""
    (ping,) = (one for one in frames if one.kind == PING)
    return frame(PING, 1, 0, ping.payload)


def test_two_goaways_around_a_ping_and_then_the_end() -> None:
    wire = Wire()
    wire.put(call(1))
    wire.engine.shutdown()
    first = wire.take()
    assert last_streams(first) == [2**31 - 1]
    # Sent before the client has read of it: still taken.
    assert wire.put(call(3)) == []
    second = wire.put(echo_of(first))
    assert last_streams(second) == [3]
    assert not wire.engine.finished
    for stream in (1, 3):
        wire.engine.send(stream, ANSWER_HEAD, b"done", ANSWER_TAIL)
    assert wire.engine.finished
    assert len(wire.take()) == 6
    assert wire.engine.closing
    assert [entry[:2] for entry in wire.app.calls] == [("whole", 1), ("whole", 3)]


@pytest.mark.parametrize("block", [ECHO, STREAMING, block_for("/never-seen")])
def test_new_streams_after_the_second_goaway_are_refused(block: bytes) -> None:
    wire = Wire()
    wire.put(call(1), call(3, block=ECHO))
    wire.engine.shutdown()
    wire.put(echo_of(wire.take()))
    before = list(wire.app.calls)
    frames = wire.put(headers(5, block), data(5, b"x"), call(7, b"x", block))
    assert resets_in(frames) == {5: REFUSED_STREAM, 7: REFUSED_STREAM}
    assert wire.app.calls == before
    assert not wire.engine.closing
    wire.engine.send(1, ANSWER_HEAD, b"", ANSWER_TAIL)
    wire.take()
    assert wire.engine.closing


def test_many_refusals_at_the_end_are_no_flood() -> None:
    wire = Wire()
    wire.put(call(1))
    wire.engine.shutdown()
    wire.put(echo_of(wire.take()))
    wire.put(*(call(stream) for stream in range(3, 2_003, 2)))
    wire.engine.send(1, ANSWER_HEAD, b"answered", ANSWER_TAIL)
    assert b"answered" in wire.engine.take()


def test_a_request_under_way_may_be_completed() -> None:
    wire = Wire()
    wire.put(headers(1), data(1, b"first "), headers(3, STREAMING))
    wire.engine.shutdown()
    wire.put(echo_of(wire.take()))
    wire.put(data(1, b"second", end=True), data(3, b"piece", end=True))
    assert wire.app.calls == [
        ("opened", 3, b"/streaming"),
        ("whole", 1, b"/unary", b"first second"),
        ("piece", 3, b"piece"),
        ("ended", 3),
    ]


def test_a_client_that_does_not_answer_the_ping_is_not_waited_for() -> None:
    wire = Wire()
    wire.engine.shutdown()
    wire.take()
    assert wire.engine.tick(10) == pytest.approx(12)
    assert not wire.engine.finished
    wire.engine.tick(12)
    assert wire.engine.finished
    assert last_streams(wire.take()) == [0]
    assert wire.engine.closing


def test_its_later_requests_are_refused_also_in_the_fast_lane() -> None:
    wire = Wire()
    wire.put(call(1), call(3, block=ECHO))
    wire.engine.shutdown()
    wire.engine.tick(10)
    wire.engine.tick(12)
    assert resets_in(wire.put(call(5, block=ECHO))) == {5: REFUSED_STREAM}


def test_what_waits_in_a_queue_is_still_delivered() -> None:
    wire = Wire()
    wire.put(call(1))
    wire.engine.send(1, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    wire.engine.shutdown()
    wire.put(echo_of(wire.take()))
    assert not wire.engine.finished
    assert not wire.engine.closing
    frames = wire.put(frame(8, 0, 0, (100_000).to_bytes(4, "big")), frame(8, 0, 1, (100_000).to_bytes(4, "big")))
    assert frames[-1].flags == 5
    assert wire.engine.closing


def test_asking_twice_changes_nothing() -> None:
    wire = Wire()
    wire.engine.shutdown()
    first = wire.take()
    wire.engine.shutdown()
    assert wire.take() == []
    wire.put(echo_of(first))
    assert wire.put(echo_of(first)) == []


def test_another_ping_does_not_end_the_wait() -> None:
    wire = Wire()
    wire.engine.shutdown()
    wire.take()
    assert wire.put(frame(PING, 1, 0, b"whatever")) == []
    assert not wire.engine.finished


def test_a_connection_that_has_not_greeted_is_closed_at_once() -> None:
    wire = Wire(greeting=b"")
    wire.engine.shutdown()
    assert wire.engine.closing
    assert wire.engine.take() == b""


def test_a_ping_of_the_same_bytes_without_shutdown_is_nothing() -> None:
    wire = Wire()
    assert wire.put(frame(PING, 1, 0, b"goodbye!")) == []
    assert not wire.engine.finished
