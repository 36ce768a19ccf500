"""Each bound holds at its number, and an honest client never meets it (H1-H8, H11)."""

from itertools import count

import pytest
from http2_kit import (
    ANSWER_HEAD,
    ANSWER_TAIL,
    GREETING,
    STREAMING,
    UNARY,
    Wire,
    block_for,
    call,
    data,
    headers,
    resets_in,
)

from onecode_common.errors import InvalidError
from onecode_serving.http2 import Budget, Http2Limits, encode_block
from onecode_serving.http2.frames import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    read_settings,
    reset_frame,
    settings_frame,
    window_frame,
)

ECHO = block_for("/echo")
FRESH = block_for("/fresh")
WIDE = settings_frame({INITIAL_WINDOW_SIZE: 2**31 - 1}) + window_frame(0, 2**31 - 1 - 65_535)


def odd() -> "count[int]":
    return count(1, 2)


# H1


@pytest.mark.parametrize("block", [UNARY, STREAMING, FRESH])
def test_more_streams_than_announced_are_refused(block: bytes) -> None:
    wire = Wire(Http2Limits(streams=4))
    streams = odd()
    assert wire.resets(*(headers(next(streams), block) for _ in range(4))) == {}
    assert wire.resets(call(9, block=block)) == {9: REFUSED_STREAM}
    assert wire.resets(data(1, end=True), headers(11, end=True)) == {11: REFUSED_STREAM}
    wire.engine.reset(1, 8)
    wire.take()
    assert wire.resets(call(13)) == {}
    assert wire.engine.counts.refused == 2


def test_the_fast_lane_counts_what_waits_for_an_answer() -> None:
    wire = Wire(Http2Limits(streams=4))
    assert wire.resets(*(call(stream) for stream in range(1, 13, 2))) == {9: REFUSED_STREAM, 11: REFUSED_STREAM}
    assert [entry[1] for entry in wire.app.calls] == [1, 3, 5, 7]


# H2


@pytest.mark.parametrize("body", [headers, call])
def test_a_rapid_reset_ends_the_connection(body: object) -> None:
    assert callable(body)
    wire = Wire()
    attack = b"".join(body(stream) + reset_frame(stream, 8) for stream in range(1, 1_001, 2))
    assert wire.ended_by(attack) == ENHANCE_YOUR_CALM
    assert wire.engine.counts.resets_received == 201
    assert wire.engine.counts.floods == 1


def test_work_of_a_reset_stream_is_taken_back() -> None:
    wire = Wire()
    wire.put(call(1), reset_frame(1, 8), headers(3, STREAMING), reset_frame(3, 8), headers(5), reset_frame(5, 8))
    assert wire.app.calls == [
        ("whole", 1, b"/unary", b"body"),
        ("gone", 1),
        ("opened", 3, b"/streaming"),
        ("gone", 3),
    ]


@pytest.mark.parametrize(
    "provoke",
    [
        lambda stream: call(stream) + window_frame(stream, 0),
        lambda stream: call(stream) + data(stream, b"more"),
        lambda stream: call(stream) + headers(stream, end=True),
        lambda stream: call(stream) + window_frame(stream, 2**31 - 1),
        lambda stream: call(stream, block=encode_block([(":method", "POST")])),
    ],
)
def test_resets_that_a_client_provokes_are_its_own(provoke: object) -> None:
    assert callable(provoke)
    wire = Wire()
    assert wire.ended_by(*(provoke(stream) for stream in range(1, 1_001, 2))) == ENHANCE_YOUR_CALM
    assert wire.engine.counts.resets_sent == 201


def test_a_client_that_cancels_every_second_call_is_honest() -> None:
    wire = Wire()
    for first in range(1, 4_001, 4):
        wire.put(call(first), call(first + 2, block=ECHO), reset_frame(first, 8))
    assert not wire.engine.closing


def test_a_client_that_cancels_every_second_call_of_many_at_once_is_honest() -> None:
    wire = Wire()
    streams = odd()
    flying: list[int] = []
    for number in range(2_000):
        flying.append(next(streams))
        wire.put(call(flying[-1]))
        if len(flying) == 64:
            # The other half is answered.
            for each, stream in enumerate(flying):
                if each % 2:
                    wire.put(reset_frame(stream, 8))
                else:
                    wire.engine.send(stream, ANSWER_HEAD, b"", ANSWER_TAIL)
            flying.clear()
        assert not wire.engine.closing, number


def test_a_client_that_cancels_all_it_has_in_flight_now_and_then_is_honest() -> None:
    wire = Wire()
    streams = odd()
    for _ in range(50):
        held = [next(streams) for _ in range(60)]
        wire.put(*(call(stream) for stream in held), *(reset_frame(stream, 8) for stream in held))
        wire.put(*(call(next(streams), block=ECHO) for _ in range(60)))
        wire.take()
    assert not wire.engine.closing


def test_resets_over_a_long_time_are_no_flood() -> None:
    wire = Wire()
    for stream in range(1, 2_001, 2):
        wire.put(call(stream), reset_frame(stream, 8))
        wire.now += 0.06
    assert not wire.engine.closing


def test_an_early_answer_is_not_a_reset() -> None:
    wire = Wire()
    for stream in range(1, 1_001, 2):
        wire.put(headers(stream, STREAMING))
        wire.engine.send(stream, trailers=ANSWER_TAIL)
        # The client's echo comes back.
        wire.put(reset_frame(stream, 0))
    assert not wire.engine.closing


# H3


def test_a_header_block_has_at_most_eight_frames() -> None:
    parts = [frame(HEADERS, 0, 1, UNARY), *[frame(CONTINUATION, 0, 1, b"")] * 7]
    wire = Wire()
    assert wire.ended_by(*parts) is None
    assert wire.resets(frame(CONTINUATION, END_HEADERS, 3)[:8]) == {}
    assert Wire().ended_by(*parts, frame(CONTINUATION, END_HEADERS, 1)) == ENHANCE_YOUR_CALM


def test_a_header_block_has_at_most_16_kib_counted_while_it_arrives() -> None:
    first = frame(HEADERS, 0, 1, UNARY.ljust(16_000, b"\x00"))
    assert Wire().ended_by(first, frame(CONTINUATION, 0, 1, bytes(384))) is None
    assert Wire().ended_by(first, frame(CONTINUATION, 0, 1, bytes(385))) == ENHANCE_YOUR_CALM


def test_the_bound_of_a_block_holds_for_one_frame_too() -> None:
    assert Wire(Http2Limits(block_bytes=20)).ended_by(headers(1, bytes(21))) == ENHANCE_YOUR_CALM


# H4


def test_a_header_list_has_at_most_16_kib() -> None:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/unary")]
    used = sum(len(name) + len(value) + 32 for name, value in fields)
    fits = encode_block([*fields, ("x", "v" * (16_384 - used - 33))])
    wire = Wire()
    assert wire.resets(frame(HEADERS, END_HEADERS, 1, fits), data(1, end=True)) == {}
    assert len(wire.app.calls) == 1
    bomb = encode_block([*fields, ("x", "v" * (16_384 - used - 32))])
    assert Wire().ended_by(headers(1, bomb)) == ENHANCE_YOUR_CALM


def test_a_header_list_has_at_most_100_fields() -> None:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/unary")]
    assert Wire().resets(call(1, block=encode_block([*fields, *[("x", "")] * 97]))) == {}
    assert Wire().ended_by(call(1, block=encode_block([*fields, *[("x", "")] * 98]))) == ENHANCE_YOUR_CALM


def test_an_indexed_header_bomb_is_stopped_while_it_is_decoded() -> None:
    stored = b"\x40\x01x" + b"\x7f\x81\x1e" + b"v" * 4_000  # 4,000 bytes in the dynamic table
    assert Wire().ended_by(headers(1, UNARY + stored + b"\xbe" * 12_000)) == ENHANCE_YOUR_CALM


def test_huffmans_code_cannot_blow_a_block_up() -> None:
    text = b"\x00" * 16_000  # 25,600 zeros... of the code of "0", five bits each
    block = UNARY + b"\x00\x01x" + b"\xff\x81\x7c" + text
    assert Wire().ended_by(frame(HEADERS, END_HEADERS, 1, block)) in (ENHANCE_YOUR_CALM, COMPRESSION_ERROR)


def test_a_table_of_another_size_is_announced_and_held_once_acknowledged() -> None:
    wire = Wire(Http2Limits(table_bytes=64))
    assert dict(read_settings(wire.greeted[0].payload))[1] == 64
    stored = b"\x40\x01a\x01b"
    assert wire.resets(call(1, block=UNARY + stored)) == {}
    assert wire.resets(frame(SETTINGS, 1, 0)) == {}
    assert wire.resets(call(3, block=b"\x3f\x21" + UNARY + b"\xbe")) == {}
    assert wire.app.calls[-1][1] == 3
    assert wire.ended_by(call(5, block=b"\x3f\x22" + UNARY)) == COMPRESSION_ERROR
    unshrunk = Wire(Http2Limits(table_bytes=64))
    assert unshrunk.ended_by(call(1, block=UNARY + stored), frame(SETTINGS, 1, 0), call(3)) == COMPRESSION_ERROR


def test_a_larger_table_may_be_used_at_once() -> None:
    wire = Wire(Http2Limits(table_bytes=8_192))
    assert wire.resets(call(1, block=b"\x3f\xe1\x3f" + UNARY)) == {}


# H5


@pytest.mark.parametrize(
    "control",
    [
        frame(PING, 1, 0, bytes(8)),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(0xAB, 0, 0),
        frame(SETTINGS, 1, 0),
        frame(GOAWAY, 0, 0, bytes(8)),
        data(1),
        frame(DATA, 8, 1, b"\x02\0\0"),
    ],
)
def test_control_frames_are_at_most_100_a_second(control: bytes) -> None:
    wire = Wire()
    wire.put(headers(1))
    wire.now += 1
    assert wire.ended_by(control * 100) is None
    wire.now += 1
    assert wire.ended_by(control * 100) is None
    assert wire.ended_by(control) == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("asking", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 0, 0)])
def test_at_most_64_acknowledgements_wait(asking: bytes) -> None:
    wire = Wire()
    assert wire.ended_by(asking * 64) is None
    wire.now += 1
    assert wire.ended_by(asking * 65) == ENHANCE_YOUR_CALM


def test_settings_of_many_entries_count_more() -> None:
    many = frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x05" * 2_700)
    wire = Wire()
    assert wire.ended_by(many) is None
    assert wire.ended_by(many) == ENHANCE_YOUR_CALM


def test_window_updates_without_calls_or_answers_are_a_flood() -> None:
    wire = Wire()
    assert wire.ended_by(window_frame(0, 1) * 100) is None
    assert wire.ended_by(window_frame(0, 1)) == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("stream", [0, 1, 3])
def test_window_updates_are_counted_by_call(stream: int) -> None:
    wire = Wire()
    wire.put(call(1), headers(3, STREAMING))
    allowed = 100 + 2 * (10 + 4)
    assert wire.ended_by(window_frame(stream, 1) * allowed) is None
    assert wire.ended_by(window_frame(stream, 1)) == ENHANCE_YOUR_CALM


def test_window_updates_between_headers_and_data_are_counted() -> None:
    wire = Wire()
    wire.put(call(1, block=ECHO))
    assert wire.ended_by(headers(3, ECHO), window_frame(3, 1) * 128) is None
    assert wire.ended_by(window_frame(3, 1)) == ENHANCE_YOUR_CALM


def test_each_message_of_a_stream_allows_the_two_updates_that_grpcio_sends() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING))
    wire.engine.send(1, ANSWER_HEAD)
    for _ in range(1_000):
        wire.put(data(1, b"ask"))
        wire.engine.send(1, b"", b"answer")
        wire.put(window_frame(1, 6), window_frame(0, 6))
        assert not wire.engine.closing


def test_keep_alive_pings_without_calls_are_honest() -> None:
    wire = Wire()
    for number in range(1_000):
        wire.now += 10
        assert wire.put(frame(PING, 0, 0, number.to_bytes(8, "big"))) == [(PING, 1, 0, number.to_bytes(8, "big"))]
        wire.engine.tick(wire.now)
    assert not wire.engine.closing


def test_streams_one_after_the_other_never_end() -> None:
    wire = Wire()
    for stream in range(1, 20_001, 2):
        wire.put(headers(stream, ECHO), window_frame(stream, 5), data(stream, b"x", end=True), window_frame(0, 6))
    assert len(wire.app.calls) == 10_000
    assert not wire.engine.closing


def test_a_ping_for_each_answer_is_honest() -> None:
    """grpc-go measures its bandwidth so."""
    wire = Wire()
    wire.put(call(1, block=STREAMING))
    wire.engine.send(1, ANSWER_HEAD)
    for number in range(1_000):
        wire.put(call(2 * number + 3, block=ECHO), frame(PING, 0, 0, bytes(8)))
        wire.engine.send(1, b"", b"answer")
        wire.put(frame(PING, 0, 0, bytes(8)))
    assert not wire.engine.closing
    wire.now += 1
    assert wire.ended_by(frame(PING, 1, 0, bytes(8)) * 101) == ENHANCE_YOUR_CALM


# H6


def test_a_window_beyond_its_range_is_an_error() -> None:
    assert Wire().ended_by(window_frame(0, 2**31 - 1)) == FLOW_CONTROL_ERROR
    assert Wire().ended_by(window_frame(0, 2**31 - 65_536)) is None
    wire = Wire()
    assert wire.resets(call(1), window_frame(1, 2**31 - 1)) == {1: FLOW_CONTROL_ERROR}
    assert wire.app.calls[-1] == ("gone", 1)
    assert wire.resets(headers(3, STREAMING), window_frame(3, 2**31 - 1)) == {3: FLOW_CONTROL_ERROR}
    # In the fast lane as well, where the block was seen before.
    wire.put(call(5, block=ECHO))
    assert wire.resets(headers(7, ECHO), window_frame(7, 2**31 - 1), data(7, end=True)) == {7: FLOW_CONTROL_ERROR}
    assert ("whole", 7, b"/echo", b"") not in wire.app.calls


def test_an_increment_of_nothing_is_an_error() -> None:
    assert Wire().ended_by(window_frame(0, 0)) == PROTOCOL_ERROR
    assert Wire().resets(call(1), window_frame(1, 0)) == {1: PROTOCOL_ERROR}
    wire = Wire()
    wire.put(call(1, block=ECHO))
    assert wire.resets(headers(3, ECHO), window_frame(3, 0), data(3, end=True)) == {3: PROTOCOL_ERROR}
    assert len(wire.app.calls) == 1


def test_an_initial_window_that_lifts_a_stream_too_high_is_an_error() -> None:
    wide = settings_frame({INITIAL_WINDOW_SIZE: 2**31 - 1})
    for opening in (call(1), headers(1, STREAMING)):
        assert Wire().ended_by(opening, window_frame(1, 1), wide) == FLOW_CONTROL_ERROR
    assert Wire().ended_by(call(1), wide) is None


def test_sending_beyond_our_window_resets_the_stream() -> None:
    wire = Wire(Http2Limits(stream_window=65_535))
    wire.put(headers(1, STREAMING))
    wire.engine.pause_reading(1)
    assert wire.resets(*[data(1, bytes(16_000))] * 4, data(1, bytes(1_535))) == {}
    assert wire.resets(data(1, b"x")) == {1: FLOW_CONTROL_ERROR}
    assert wire.app.calls[-1] == ("gone", 1)


# H7


def test_a_slow_reader_has_at_most_the_stream_queue_waiting() -> None:
    wire = Wire(Http2Limits(stream_queue=100_000))
    wire.put(headers(1, STREAMING))
    wire.engine.send(1, ANSWER_HEAD)
    wire.take()
    for _ in range(3):
        wire.engine.send(1, b"", bytes(65_535))
        wire.take()
    wire.engine.send(1, b"", b"too much")
    assert resets_in(wire.take()) == {1: ENHANCE_YOUR_CALM}
    assert wire.app.calls[-1] == ("gone", 1)
    assert (wire.budget.used, wire.engine.counts.overfull) == (0, 1)


def test_a_single_answer_may_be_larger_than_the_stream_queue() -> None:
    wire = Wire(Http2Limits(stream_queue=100_000))
    wire.put(WIDE, call(1))
    body = bytes(range(256)) * 2_000
    wire.engine.send(1, ANSWER_HEAD, body, ANSWER_TAIL)
    assert b"".join(one.payload for one in wire.take() if one.kind == DATA) == body


def test_a_connection_has_at_most_its_queue_waiting() -> None:
    wire = Wire(Http2Limits(connection_queue=100_000))
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), *(call(stream) for stream in (1, 3, 5)))
    for stream in (1, 3, 5):
        wire.engine.send(stream, ANSWER_HEAD, bytes(40_000), ANSWER_TAIL)
    assert resets_in(wire.take()) == {5: ENHANCE_YOUR_CALM}
    # The application had done its part.
    assert ("gone", 5) not in wire.app.calls
    wire.engine.lost()
    assert wire.budget.used == 0


def test_a_process_has_at_most_its_budget_waiting() -> None:
    budget = Budget(limit=100_000)
    wires = [Wire(budget=budget, greeting=GREETING + settings_frame({INITIAL_WINDOW_SIZE: 0})) for _ in range(3)]
    for wire in wires:
        wire.put(call(1))
        wire.engine.send(1, ANSWER_HEAD, bytes(40_000), ANSWER_TAIL)
    assert [resets_in(wire.take()) for wire in wires] == [{}, {}, {1: ENHANCE_YOUR_CALM}]
    wires[0].put(reset_frame(1, 8))
    assert budget.used == 40_000
    wires[1].put(window_frame(1, 40_000))
    assert budget.used == 0


def test_a_reader_without_progress_is_reset_after_30_s() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 10}), call(1), headers(3, STREAMING))
    wire.engine.send(1, ANSWER_HEAD, bytes(1_000), ANSWER_TAIL)
    wire.engine.send(3, ANSWER_HEAD, bytes(1_000))
    wire.take()
    wire.now = 100
    wire.engine.tick(wire.now)
    wire.now = 129
    wire.put(data(3, b"still sending"), window_frame(3, 10))
    wire.engine.tick(wire.now)
    assert resets_in(wire.take()) == {}
    wire.now = 130
    wire.engine.tick(wire.now)
    assert resets_in(wire.take()) == {1: 8}
    wire.engine.tick(158.9)
    assert resets_in(wire.take()) == {}
    wire.engine.tick(159)
    assert resets_in(wire.take()) == {3: 8}
    assert [entry for entry in wire.app.calls if entry[0] == "gone"] == [("gone", 3)]
    assert (wire.engine.counts.stalled, wire.budget.used) == (2, 0)


def test_a_reader_that_holds_the_whole_connection_back_loses_it() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 2**20}), call(1))
    wire.engine.send(1, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    wire.take()
    wire.engine.tick(1)
    wire.engine.tick(30.9)
    assert not wire.engine.closing
    wire.engine.tick(31)
    assert wire.engine.closing
    assert [one.kind for one in wire.take()] == [GOAWAY]


def test_a_transport_that_takes_nothing_for_30_s_is_closed() -> None:
    wire = Wire()
    wire.engine.receive(call(1, block=ECHO), 5)
    for now in (10, 25, 39.9):
        assert wire.engine.tick(now) is not None
    assert wire.engine.tick(40) is None
    assert wire.engine.closing
    assert wire.engine.counts.stalled == 1


# H8


@pytest.mark.parametrize("body", [b"", data(1, b"a part")])
def test_a_unary_request_has_30_s(body: bytes) -> None:
    wire = Wire()
    wire.put(headers(1), body)
    assert wire.engine.tick(29.9) == pytest.approx(30)
    assert resets_in(wire.take()) == {}
    wire.engine.tick(30)
    assert resets_in(wire.take()) == {1: 8}
    assert (wire.app.calls, wire.engine.counts.slow, wire.budget.used) == ([], 1, 0)


def test_a_header_block_has_30_s_as_well() -> None:
    wire = Wire()
    wire.put(frame(HEADERS, 0, 1, UNARY))
    for wire.now in (10.0, 20.0):
        wire.put(frame(CONTINUATION, 0, 1))
        wire.engine.tick(wire.now)
    assert not wire.engine.closing
    wire.engine.tick(30)
    assert wire.engine.closing


def test_a_trickle_does_not_extend_a_unary_request() -> None:
    wire = Wire()
    wire.put(headers(1))
    for wire.now in range(1, 30):
        wire.put(data(1, b"x"))
        wire.engine.tick(wire.now)
    wire.engine.tick(30)
    assert resets_in(wire.take()) == {1: 8}


def test_a_streaming_request_has_5_min_between_messages() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING), headers(3, STREAMING, end=True))
    wire.now = 250
    wire.put(data(1, b"here I am"))
    wire.engine.tick(549)
    assert wire.engine.take() == b""
    wire.engine.tick(550)
    # The one that only waits for its answers has all the time.
    assert resets_in(wire.take()) == {1: 8}
    assert wire.app.calls[-1] == ("gone", 1)


def test_a_request_that_waits_for_its_answer_has_all_the_time() -> None:
    wire = Wire()
    wire.put(call(1))
    assert wire.engine.tick(10_000) is not None
    assert wire.engine.take() == b""


@pytest.mark.parametrize("greeting", [b"", GREETING[:20], GREETING[:24], GREETING[:-1]])
def test_the_greeting_has_10_s(greeting: bytes) -> None:
    wire = Wire(greeting=greeting)
    assert wire.engine.tick(3) == pytest.approx(8)
    assert wire.engine.tick(9.9) == pytest.approx(10)
    assert wire.engine.tick(10) is None
    assert wire.engine.closing


def test_an_idle_connection_is_ended_gracefully_after_5_min() -> None:
    wire = Wire()
    wire.put(call(1, block=ECHO))
    wire.engine.tick(299.9)
    assert wire.engine.take() == b""
    wire.engine.tick(300)
    assert [one.kind for one in wire.take()] == [GOAWAY, PING]
    wire.engine.tick(301)
    assert not wire.engine.closing
    wire.engine.tick(303)
    assert [one.kind for one in wire.take()] == [GOAWAY]
    assert wire.engine.closing


def test_the_next_moment_is_never_in_the_past_and_never_far() -> None:
    wire = Wire()
    wire.put(headers(1), headers(3, STREAMING), call(5))
    now = 0.0
    while now < 400:
        following = wire.engine.tick(now)
        assert following is not None
        assert now < following <= now + 5
        wire.engine.take()
        now = following


# H11


def test_frames_have_at_most_16_kib() -> None:
    wire = Wire()
    assert wire.resets(headers(1), data(1, bytes(16_384))) == {}
    assert wire.ended_by(data(1, bytes(16_385))) == FRAME_SIZE_ERROR


def test_the_fast_lane_takes_no_greater_frames() -> None:
    wire = Wire()
    wire.put(call(1, block=ECHO))
    assert wire.ended_by(call(3, bytes(16_384), ECHO)) is None
    assert wire.ended_by(call(5, bytes(16_385), ECHO)) == FRAME_SIZE_ERROR
    assert [entry[1] for entry in wire.app.calls] == [1, 3]


def test_a_greater_frame_may_be_announced() -> None:
    wire = Wire(Http2Limits(frame_bytes=20_000))
    assert dict(read_settings(wire.greeted[0].payload))[5] == 20_000
    assert wire.resets(headers(1), data(1, bytes(20_000), end=True)) == {}
    assert wire.ended_by(data(3, bytes(20_001))) == FRAME_SIZE_ERROR


def test_what_waits_for_a_frame_is_no_more_than_the_frame() -> None:
    wire = Wire()
    wire.put(headers(1))
    whole = data(1, bytes(16_384))
    for at in range(0, len(whole) - 1, 5):
        wire.put(whole[at : min(at + 5, len(whole) - 1)])
    assert sum(map(len, wire.engine._tail)) == len(whole) - 1
    assert [one.kind for one in wire.put(whole[-1:])] == []
    assert wire.engine._tail == []


def test_a_header_flood_of_distinct_blocks_keeps_a_bounded_cache() -> None:
    wire = Wire()
    for number in range(500):
        wire.put(call(2 * number + 1, block=block_for("/echo", ("x-unit", str(number)))))
    assert len(wire.engine._blocks.known) == 32
    wire.put(call(1_001, block=block_for("/echo", ("x-long", "v" * 512))))
    assert all(len(block) <= 512 for block in wire.engine._blocks.known)
    assert len(wire.app.calls) == 501


def test_window_updates_are_written_in_whole_steps_not_for_each_frame() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING))
    written = [one for _ in range(600) for one in wire.put(data(1, bytes(16_384)))]
    assert {one.kind for one in written} == {WINDOW_UPDATE}
    assert len(written) <= 6


@pytest.mark.parametrize(
    "wrong",
    [{"stream_window": 65_534}, {"stream_window": 2**31}, {"connection_window": 0}, {"frame_bytes": 1_000}],
)
def test_limits_that_the_protocol_cannot_say_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidError, match=next(iter(wrong))):
        Http2Limits(**wrong)  # type: ignore[arg-type]
