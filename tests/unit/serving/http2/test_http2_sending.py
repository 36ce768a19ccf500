"""Answers keep to the peer's windows, take turns, and wait no longer than they must."""

import pytest
from http2_kit import (
    ANSWER_HEAD,
    ANSWER_TAIL,
    STREAMING,
    Frame,
    Wire,
    block_for,
    call,
    data,
    headers,
    resets_in,
)
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.http2 import Http2Limits
from onecode_serving.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    NO_ERROR,
    RST_STREAM,
    reset_frame,
    settings_frame,
    window_frame,
)

WIDE = settings_frame({INITIAL_WINDOW_SIZE: 2**31 - 1}) + window_frame(0, 2**31 - 1 - 65_535)


def sent(frames: list[Frame]) -> dict[int, bytes]:
    """Return the body bytes by stream."""
    bodies: dict[int, bytes] = {}
    for one in frames:
        if one.kind == DATA:
            bodies[one.stream] = bodies.get(one.stream, b"") + one.payload
    return bodies


def ended(frames: list[Frame]) -> set[int]:
    return {one.stream for one in frames if one.kind in (DATA, HEADERS) and one.flags & END_STREAM}


def test_an_answer_stops_at_the_streams_window_and_goes_on_with_credit() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 10}), call(1))
    wire.engine.send(1, ANSWER_HEAD, b"0123456789abcdefghij", ANSWER_TAIL)
    first = wire.take()
    assert (sent(first), ended(first), wire.engine.pending(1)) == ({1: b"0123456789"}, set(), 10)
    assert sent(wire.put(window_frame(1, 3))) == {1: b"abc"}
    last = wire.put(window_frame(1, 100))
    assert (sent(last), ended(last), wire.engine.pending(1)) == ({1: b"defghij"}, {1}, 0)
    assert wire.engine.idle


def test_a_blocked_stream_does_not_block_the_others() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 10}), call(1), call(3))
    wire.engine.send(1, ANSWER_HEAD, bytes(100), ANSWER_TAIL)
    wire.engine.send(3, ANSWER_HEAD, b"short", ANSWER_TAIL)
    assert ended(wire.take()) == {3}


def test_the_connections_window_holds_all_streams() -> None:
    wire = Wire()
    wire.put(*(call(stream) for stream in (1, 3, 5)))
    for stream in (1, 3, 5):
        wire.engine.send(stream, ANSWER_HEAD, bytes(40_000), ANSWER_TAIL)
    first = sent(wire.take())
    assert sum(map(len, first.values())) == 65_535
    rest = wire.put(window_frame(0, 1_000_000))
    assert {stream: len(first.get(stream, b"")) + len(sent(rest)[stream]) for stream in (1, 3, 5)} == {
        1: 40_000,
        3: 40_000,
        5: 40_000,
    }
    assert ended(rest) == {1, 3, 5}


def test_small_answers_keep_to_the_connections_window_too() -> None:
    wire = Wire()
    wire.put(*(call(stream) for stream in range(1, 13, 2)))
    for stream in range(1, 13, 2):
        wire.engine.send(stream, ANSWER_HEAD, bytes(16_000), ANSWER_TAIL)
    first = wire.take()
    assert sum(map(len, sent(first).values())) == 65_535
    assert ended(first) == {1, 3, 5, 7}
    assert ended(wire.put(window_frame(0, 100_000))) == {9, 11}


def test_streams_take_turns() -> None:
    wire = Wire()
    wire.put(WIDE, call(1), call(3))
    for stream in (1, 3):
        wire.engine.send(stream, ANSWER_HEAD, bytes(50_000), ANSWER_TAIL)
    assert [one.stream for one in wire.take() if one.kind == DATA] == [1, 3, 1, 3, 1, 3, 1, 3]


def test_frames_are_no_greater_than_the_peer_takes() -> None:
    wire = Wire()
    wire.put(WIDE, call(1), call(3))
    wire.engine.send(1, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    assert max(len(one.payload) for one in wire.take()) == 16_384
    wire.put(settings_frame({MAX_FRAME_SIZE: 40_000}))
    wire.engine.send(3, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    assert max(len(one.payload) for one in wire.take()) == 40_000


def test_a_changed_initial_window_moves_open_streams_also_below_zero() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 20}), call(1), headers(3, STREAMING))
    wire.engine.send(1, ANSWER_HEAD, bytes(30), ANSWER_TAIL)
    wire.engine.send(3, ANSWER_HEAD, bytes(5))
    wire.take()
    # Stream 1 is at -20 now, stream 3 at -5.
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}))
    wire.engine.send(3, b"", b"later")
    assert sent(wire.take()) == {}
    assert sent(wire.put(window_frame(1, 20), window_frame(3, 5))) == {}
    assert sent(wire.put(window_frame(1, 1), window_frame(3, 1))) == {1: b"\0", 3: b"l"}
    assert sent(wire.put(settings_frame({INITIAL_WINDOW_SIZE: 100}))) == {1: bytes(9), 3: b"ater"}


def test_credit_that_comes_before_the_answer_counts() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), headers(1), window_frame(1, 5), data(1, end=True))
    wire.put(window_frame(1, 5))
    wire.engine.send(1, ANSWER_HEAD, b"0123456789", ANSWER_TAIL)
    frames = wire.take()
    assert (sent(frames), ended(frames)) == ({1: b"0123456789"}, {1})
    # The fast lane: the second request with the same block.
    wire.put(headers(3), window_frame(3, 10), data(3, end=True))
    wire.engine.send(3, ANSWER_HEAD, b"0123456789", ANSWER_TAIL)
    assert ended(wire.take()) == {3}


@pytest.mark.parametrize("seen_before", [False, True])
def test_credit_goes_to_the_stream_it_names_also_between_headers_and_data(*, seen_before: bool) -> None:
    wire = Wire()
    wire.put(call(1) if seen_before else b"", settings_frame({INITIAL_WINDOW_SIZE: 0}), call(3))
    wire.put(headers(5), window_frame(3, 4), data(5, end=True))
    for stream in (3, 5):
        wire.engine.send(stream, ANSWER_HEAD, b"0123456789", ANSWER_TAIL)
    assert sent(wire.take()) == {3: b"0123"}
    wire.put(headers(7), window_frame(0, 4), data(7, end=True))
    assert wire.engine._window == 65_535


def test_an_empty_answer_needs_no_window() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), call(1), headers(3, STREAMING, end=True))
    wire.engine.send(1, ANSWER_HEAD, b"", ANSWER_TAIL)
    wire.engine.send(3, ANSWER_HEAD)
    wire.engine.send(3, b"", b"", b"")
    assert ended(wire.take()) == {1, 3}


def test_an_answer_before_the_end_of_the_request_is_followed_by_a_reset_without_error() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING), data(1, b"go"))
    wire.engine.send(1, ANSWER_HEAD, b"enough", ANSWER_TAIL)
    frames = wire.take()
    assert [one.kind for one in frames] == [HEADERS, DATA, HEADERS, RST_STREAM]
    assert resets_in(frames) == {1: NO_ERROR}
    assert wire.resets(data(1, b"more"), data(1, b"", end=True)) == {}
    assert wire.app.calls[2:] == []


def test_an_application_hears_when_a_crowded_stream_has_room_again() -> None:
    wire = Wire(Http2Limits(high_water=1_000, low_water=100))
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), headers(1, STREAMING))
    wire.engine.send(1, ANSWER_HEAD)
    for _ in range(11):
        wire.engine.send(1, b"", bytes(100))
    assert wire.engine.pending(1) == 1_100
    wire.put(window_frame(1, 1_000))
    assert wire.engine.pending(1) == 100
    assert ("writable", 1) not in wire.app.calls
    wire.put(window_frame(1, 1))
    assert wire.app.calls.count(("writable", 1)) == 1
    wire.put(window_frame(1, 99))
    assert wire.app.calls.count(("writable", 1)) == 1


def test_what_an_application_adds_when_it_hears_of_room_is_written_at_once() -> None:
    wire = Wire(Http2Limits(high_water=1_000, low_water=100))
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), headers(1, STREAMING))
    wire.engine.send(1, ANSWER_HEAD, bytes(2_000))
    wire.app.writable = lambda stream: wire.engine.send(stream, b"", b"more", ANSWER_TAIL)  # type: ignore[method-assign]
    frames = wire.put(window_frame(1, 5_000))
    assert sent(frames) == {1: bytes(2_000) + b"more"}
    assert ended(frames) == {1}


def test_an_exception_while_bytes_are_taken_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(Http2Limits(high_water=1_000, low_water=100))
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), headers(1, STREAMING))
    wire.engine.send(1, ANSWER_HEAD, bytes(2_000))

    def broken(_: int) -> None:
        raise ZeroDivisionError

    wire.app.writable = broken  # type: ignore[method-assign]
    wire.put(window_frame(1, 5_000))
    assert wire.engine.closing
    assert wire.engine.counts.surprises == 1
    assert caplog.records


def test_output_may_be_taken_in_parts() -> None:
    wire = Wire()
    wire.put(WIDE, call(1))
    wire.engine.send(1, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    parts = []
    while part := wire.engine.take(20_000):
        parts.append(len(part))
    assert len(parts) == 4
    assert max(parts) < 33_000


def test_a_reset_stream_leaves_nothing_behind() -> None:
    wire = Wire()
    wire.put(settings_frame({INITIAL_WINDOW_SIZE: 0}), call(1), headers(3, STREAMING), call(5))
    for stream in (1, 3, 5):
        wire.engine.send(stream, ANSWER_HEAD, bytes(1_000))
    wire.take()
    wire.put(reset_frame(1, 8), reset_frame(3, 8))
    wire.engine.reset(5, 2)
    assert wire.engine.idle
    assert (wire.budget.used, wire.engine._queued, wire.engine._ready) == (0, 0, {})
    assert wire.app.calls[-2:] == [("gone", 1), ("gone", 3)]


@pytest.mark.parametrize("size", [0, 5, 4_095])
def test_a_peer_with_a_small_table_is_told_once_that_it_is_empty(size: int) -> None:
    """Some decoders insist on hearing it before the next block."""
    wire = Wire()
    wire.put(call(1), settings_frame({HEADER_TABLE_SIZE: size}), call(3), settings_frame({HEADER_TABLE_SIZE: size}))
    for stream in (1, 3):
        wire.engine.send(stream, ANSWER_HEAD, b"x", ANSWER_TAIL)
    blocks = [one.payload for one in wire.take() if one.kind == HEADERS]
    assert blocks == [b"\x20" + ANSWER_HEAD, ANSWER_TAIL, ANSWER_HEAD, ANSWER_TAIL]


def test_a_long_header_block_is_continued() -> None:
    wire = Wire()
    wire.put(call(1))
    long = ANSWER_HEAD * 4_000
    wire.engine.send(1, long, b"x", ANSWER_TAIL)
    frames = wire.take()
    assert {one.kind for one in frames[1:-2]} == {CONTINUATION}
    blocks = [one for one in frames if one.kind in (HEADERS, CONTINUATION)]
    assert b"".join(one.payload for one in blocks) == long + ANSWER_TAIL
    assert [bool(one.flags & END_HEADERS) for one in blocks] == [False] * (len(blocks) - 2) + [True, True]


def test_many_kinds_of_answers_are_remembered_within_bounds() -> None:
    wire = Wire()
    for number in range(200):
        wire.put(call(2 * number + 1))
        head = block_for(f"/{number}")
        wire.engine.send(2 * number + 1, head, b"x", ANSWER_TAIL)
        assert wire.take()[0].payload == head
    assert len(wire.engine._heads) + len(wire.engine._tails) < 40


@given(
    st.integers(0, 3_000),
    st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(0, 2_000)), max_size=20),
    st.lists(st.tuples(st.sampled_from([0, 1, 3, 5]), st.integers(1, 2_000)), max_size=30),
)
def test_windows_are_kept_and_every_byte_arrives_in_order(
    initial: int, messages: list[tuple[int, int]], updates: list[tuple[int, int]]
) -> None:
    """A peer that counts for itself never sees more than it allowed."""
    wire = Wire()
    allowed = {0: 65_535, 1: initial, 3: initial, 5: initial}
    expected = {1: b"", 3: b"", 5: b""}
    got = {1: b"", 3: b"", 5: b""}

    def note(frames: list[Frame]) -> None:
        for stream, body in sent(frames).items():
            got[stream] += body
            allowed[stream] -= len(body)
            allowed[0] -= len(body)
        assert min(allowed.values()) >= 0
        for stream in (1, 3, 5):
            # Nothing is held back that might go.
            assert not wire.engine.pending(stream) or not allowed[stream] or not allowed[0]

    note(wire.put(settings_frame({INITIAL_WINDOW_SIZE: initial}), *(headers(one, STREAMING) for one in (1, 3, 5))))
    for number, (stream, size) in enumerate(messages):
        body = bytes((number,)) * size
        expected[stream] += body
        wire.engine.send(stream, b"" if got[stream] else ANSWER_HEAD, body)
        note(wire.take())
    for stream, credit in updates:
        allowed[stream] += credit
        note(wire.put(window_frame(stream, credit)))
    for stream in (1, 3, 5):
        wire.engine.send(stream, b"", b"", ANSWER_TAIL)
        allowed[stream] += 1_000_000
        allowed[0] += 1_000_000
        note(wire.put(window_frame(stream, 1_000_000), window_frame(0, 1_000_000)))
    assert got == expected
    assert wire.engine.idle
    assert wire.budget.used == 0
