"""Every way to break the protocol ends as RFC 9113 says, and what only looks odd is ignored."""

import pytest
from http2_kit import (
    ANSWER_HEAD,
    ANSWER_TAIL,
    GREETING,
    STREAMING,
    UNARY,
    Frame,
    Wire,
    block_for,
    call,
    data,
    headers,
    resets_in,
)

from onecode_serving.http2 import encode_block
from onecode_serving.http2.frames import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    frame,
    reset_frame,
    settings_frame,
    window_frame,
)

SLEEPING = headers(1)  # a stream that waits for its body
ANSWERABLE = call(1)  # a stream that waits for its answer
CLOSED = call(1, block=block_for("/echo"))


@pytest.mark.parametrize(
    "hello",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", PREFACE[:-1] + b"x", b"PRI * HTTP/2.0\r\n\r\nSX", bytes(30), b"p"],
)
def test_a_stranger_to_the_protocol_is_left_without_a_word(hello: bytes) -> None:
    wire = Wire(greeting=b"")
    assert wire.put(hello) == []
    assert wire.engine.closing
    assert wire.engine.counts.faults == 1


def test_half_a_preface_is_waited_for() -> None:
    wire = Wire(greeting=b"")
    assert wire.put(PREFACE[:10]) == []
    assert not wire.engine.closing
    assert [one.kind for one in wire.put(PREFACE[10:], frame(SETTINGS, 0, 0))] == [SETTINGS, WINDOW_UPDATE, SETTINGS]


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 1, 0), headers(1), frame(99, 0, 0)])
def test_the_first_frame_is_settings(first: bytes) -> None:
    assert Wire(greeting=PREFACE).ended_by(first) == PROTOCOL_ERROR


@pytest.mark.parametrize(
    "oddity",
    [
        frame(PING, 0xFE, 0, bytes(8)),
        frame(SETTINGS, 0xFE, 0),
        settings_frame({0xFE03: 1, 0: 7, 0xFFFF: 2**32 - 1, 8: 1, 9: 1}),
        frame(0xAB, 0xFF, 0, b"unknown"),
        frame(0xAB, 0xFF, 5, b"unknown, on an idle stream"),
        frame(GOAWAY, 0, 0, bytes(4) + b"\xff\xff\xff\xff" + b"unknown code"),
        frame(PRIORITY, 0, 9, bytes(4) + b"\x01"),
        frame(PING, 0, -(2**31) & 0xFFFFFFFF, bytes(8)),
        settings_frame({1: 0, 2: 1, 3: 0, 4: 2**31 - 1, 5: 2**24 - 1, 6: 2**32 - 1}),
    ],
)
def test_what_only_looks_odd_is_ignored(oddity: bytes) -> None:
    wire = Wire()
    assert wire.ended_by(oddity) is None
    wire.put(call(1, b"still here", block_for("/echo")))
    assert wire.app.calls == [("whole", 1, b"/echo", b"still here")]


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 1, bytes(6)), FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(5)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
        (frame(SETTINGS, 1, 0, bytes(6)), FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(PING, 1, 0, bytes(9)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 1, bytes(5)), FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS | PRIORITISED, 3, bytes(4)), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS | PADDED, 3), FRAME_SIZE_ERROR),
        (frame(DATA, PADDED, 1), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, bytes(16_385)), FRAME_SIZE_ERROR),
        (frame(0xAB, 0, 0, bytes(16_385)), FRAME_SIZE_ERROR),
        (frame(HEADERS, END_HEADERS, 3, bytes(16_385)), FRAME_SIZE_ERROR),
        (frame(DATA, 0, 1, bytes(16_385))[:9], FRAME_SIZE_ERROR),
    ],
)
def test_a_frame_of_the_wrong_length_ends_the_connection(broken: bytes, code: int) -> None:
    assert Wire().ended_by(SLEEPING, broken) == code


@pytest.mark.parametrize(
    "misplaced",
    [
        data(0, b"x"),
        frame(HEADERS, END_HEADERS, 0, UNARY),
        frame(PRIORITY, 0, 0, bytes(5)),
        reset_frame(0, 8),
        frame(CONTINUATION, END_HEADERS, 0, UNARY),
        frame(SETTINGS, 0, 1),
        frame(PING, 0, 1, bytes(8)),
        frame(GOAWAY, 0, 1, bytes(8)),
        frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + UNARY),
        frame(PUSH_PROMISE, END_HEADERS, 0, bytes(4) + UNARY),
    ],
)
def test_a_frame_on_the_wrong_kind_of_stream_ends_the_connection(misplaced: bytes) -> None:
    assert Wire().ended_by(SLEEPING, misplaced) == PROTOCOL_ERROR


@pytest.mark.parametrize("stream", [3, 5, 2])
@pytest.mark.parametrize(
    "make",
    [
        lambda stream: data(stream, b"x"),
        lambda stream: reset_frame(stream, 8),
        lambda stream: window_frame(stream, 1),
        lambda stream: frame(CONTINUATION, END_HEADERS, stream, UNARY),
    ],
)
def test_a_frame_on_an_idle_stream_ends_the_connection(make: object, stream: int) -> None:
    assert callable(make)
    assert Wire().ended_by(SLEEPING, make(stream)) == PROTOCOL_ERROR


def test_data_after_the_end_resets_the_stream() -> None:
    for body in (b"x", b""):
        wire = Wire()
        assert wire.resets(ANSWERABLE, data(1, body, end=True)) == {1: STREAM_CLOSED}
        assert wire.app.calls[-1] == ("gone", 1)


def test_data_after_the_end_of_a_streaming_request_resets_the_stream() -> None:
    wire = Wire()
    assert wire.resets(headers(1, STREAMING, end=True), data(1, b"x")) == {1: STREAM_CLOSED}
    assert wire.app.calls[1:] == [("ended", 1), ("gone", 1)]


def test_headers_after_the_end_reset_the_stream() -> None:
    wire = Wire()
    assert wire.resets(ANSWERABLE, headers(1, end=True)) == {1: STREAM_CLOSED}
    assert wire.app.calls[-1] == ("gone", 1)


@pytest.mark.parametrize("late", [reset_frame(1, 8), window_frame(1, 5), window_frame(1, 0)])
def test_what_may_still_be_under_way_to_a_closed_stream_is_ignored(late: bytes) -> None:
    wire = Wire()
    assert wire.ended_by(CLOSED, late) is None
    assert len(wire.app.calls) == 1


@pytest.mark.parametrize("late", [data(1, b"x"), headers(1), headers(1, end=True)])
def test_a_request_on_a_closed_stream_ends_the_connection(late: bytes) -> None:
    assert Wire().ended_by(CLOSED, late) == STREAM_CLOSED


def test_continuation_on_a_closed_stream_ends_the_connection() -> None:
    assert Wire().ended_by(CLOSED, frame(CONTINUATION, END_HEADERS, 1, UNARY)) == PROTOCOL_ERROR


def test_after_a_reset_by_the_client_the_stream_is_closed() -> None:
    wire = Wire()
    assert wire.put(ANSWERABLE, reset_frame(1, 8)) == []
    assert wire.app.calls[-1] == ("gone", 1)
    assert wire.ended_by(data(1, b"x")) == STREAM_CLOSED


def test_what_follows_our_own_reset_is_read_and_forgotten() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING))
    wire.engine.reset(1, 2)
    assert resets_in(wire.take()) == {1: 2}
    assert wire.resets(data(1, b"x"), window_frame(1, 9), data(1, b"y"), headers(1, end=True)) == {}
    assert wire.app.calls == [("opened", 1, b"/streaming")]
    assert wire.ended_by(data(1, b"beyond the end")) == STREAM_CLOSED


@pytest.mark.parametrize("stream", [2, 4, 2**31 - 2])
def test_even_streams_are_not_a_clients(stream: int) -> None:
    assert Wire().ended_by(headers(stream)) == PROTOCOL_ERROR


def test_falling_streams_end_the_connection() -> None:
    assert Wire().ended_by(call(5), call(3)) == PROTOCOL_ERROR


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_stream_is_not_opened_twice(*, seen_before: bool) -> None:
    first = call(1, block=block_for("/echo")) if seen_before else b""
    assert Wire().resets(first, headers(3), headers(3)) == {3: PROTOCOL_ERROR}


@pytest.mark.parametrize("length", [1, 2, 200])
def test_padding_as_long_as_the_frame_ends_the_connection(length: int) -> None:
    broken = bytes((length,)) + bytes(length - 1)
    assert Wire().ended_by(SLEEPING, frame(DATA, PADDED, 1, broken)) == PROTOCOL_ERROR
    assert Wire().ended_by(frame(HEADERS, END_HEADERS | PADDED, 1, broken)) == PROTOCOL_ERROR


def test_padding_counts_as_used_window() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING))
    wire.engine.pause_reading(1)
    padded = frame(DATA, PADDED, 1, b"\xff" + b"x" + bytes(255))
    wire.put(*[padded] * 16)
    assert wire.engine._streams[1].used == 16 * 257
    assert wire.app.calls[1:] == [("piece", 1, b"x")] * 16


def test_a_stream_that_depends_on_itself_ends_the_connection() -> None:
    assert Wire().ended_by(frame(PRIORITY, 0, 1, b"\x80\0\0\x01\x10")) == PROTOCOL_ERROR
    itself = frame(HEADERS, END_HEADERS | PRIORITISED, 1, b"\0\0\0\x01\x10" + UNARY)
    assert Wire().ended_by(itself) == PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        (2, 2, PROTOCOL_ERROR),
        (2, 2**32 - 1, PROTOCOL_ERROR),
        (4, 2**31, FLOW_CONTROL_ERROR),
        (5, 16_383, PROTOCOL_ERROR),
        (5, 2**24, PROTOCOL_ERROR),
    ],
)
def test_settings_outside_their_range_end_the_connection(setting: int, value: int, code: int) -> None:
    assert Wire().ended_by(settings_frame({setting: value})) == code


def test_the_last_of_several_values_of_a_setting_wins() -> None:
    wire = Wire()
    several = b"".join(b"\0\x04" + value.to_bytes(4, "big") for value in (0, 2**31 - 1, 7))
    wire.put(frame(SETTINGS, 0, 0, several), call(1))
    wire.engine.send(1, ANSWER_HEAD, b"123456789", ANSWER_TAIL)
    assert [one.payload for one in wire.take() if one.kind == DATA] == [b"1234567"]


def test_a_wrong_value_is_wrong_even_if_a_right_one_follows() -> None:
    assert Wire().ended_by(frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02\0\x02\0\0\0\0")) == PROTOCOL_ERROR


def test_settings_are_acknowledged_and_pings_echoed() -> None:
    wire = Wire()
    assert wire.put(settings_frame({3: 5}), frame(PING, 0, 0, b"12345678")) == [
        Frame(SETTINGS, 1, 0, b""),
        Frame(PING, 1, 0, b"12345678"),
    ]
    assert wire.put(frame(PING, 1, 0, b"12345678"), frame(SETTINGS, 1, 0)) == []


@pytest.mark.parametrize(
    "between",
    [data(1, b"x"), frame(PING, 0, 0, bytes(8)), frame(0xAB, 0, 1, b"x"), headers(3), window_frame(1, 5),
     frame(CONTINUATION, END_HEADERS, 3, b"x"), frame(SETTINGS, 0, 0)],
)  # fmt: skip
@pytest.mark.parametrize("seen_before", [False, True])
def test_nothing_may_stand_within_a_header_block(between: bytes, *, seen_before: bool) -> None:
    wire = Wire()
    if seen_before:
        # The fast lane must not jump in either.
        wire.put(call(1, block=block_for("/echo")), call(3))
        between = between.replace(b"\0\0\0\x01", b"\0\0\0\x05", 1).replace(b"\0\0\0\x03", b"\0\0\0\x07", 1)
    stream = 5 if seen_before else 1
    assert wire.ended_by(frame(HEADERS, 0, stream, UNARY[:5]), between) == PROTOCOL_ERROR


@pytest.mark.parametrize("stray", [frame(CONTINUATION, END_HEADERS, 1, UNARY), frame(CONTINUATION, 0, 3, b"")])
def test_continuation_without_headers_ends_the_connection(stray: bytes) -> None:
    assert Wire().ended_by(SLEEPING, stray) == PROTOCOL_ERROR


GOOD = [(":method", "POST"), (":scheme", "http"), (":path", "/unary"), (":authority", "here")]


@pytest.mark.parametrize(
    "fields",
    [
        [*GOOD, ("Capital", "x")],
        [*GOOD, ("", "x")],
        [*GOOD, ("na me", "x")],
        [*GOOD, ("na:me", "x")],
        [*GOOD, ("name\n", "x")],
        [*GOOD, ("name", "a\r\nb")],
        [*GOOD, ("name", "a\0b")],
        [*GOOD, (":unknown", "x")],
        [*GOOD, (":protocol", "websocket")],
        [*GOOD, (":status", "200")],
        [*GOOD, (":path", "/other")],
        [*GOOD, (":method", "POST")],
        [GOOD[0], GOOD[1]],
        [GOOD[0], GOOD[2]],
        [GOOD[1], GOOD[2]],
        [GOOD[0], ("te", "trailers"), GOOD[1], GOOD[2]],
        [GOOD[0], GOOD[1], (":path", "")],
        [GOOD[0], GOOD[1], (":path", "/a\nb")],
        [(":method", ""), GOOD[1], GOOD[2]],
        [(":method", "CONNECT"), GOOD[2]],
        [(":method", "CONNECT"), *GOOD[1:]],
        [*GOOD, ("connection", "close")],
        [*GOOD, ("keep-alive", "timeout=5")],
        [*GOOD, ("proxy-connection", "keep-alive")],
        [*GOOD, ("transfer-encoding", "chunked")],
        [*GOOD, ("upgrade", "h2c")],
        [*GOOD, ("te", "gzip")],
        [*GOOD, ("te", "trailers, deflate")],
        [],
    ],
)
def test_a_malformed_request_is_reset_and_seen_by_nobody(fields: list[tuple[str, str]]) -> None:
    wire = Wire()
    assert wire.resets(call(1, b"x", encode_block(fields)), call(3, b"next", block_for("/echo"))) == {1: PROTOCOL_ERROR}
    assert wire.app.calls == [("whole", 3, b"/echo", b"next")]
    assert wire.engine.counts.malformed == 1


@pytest.mark.parametrize(
    "fields", [[*GOOD, ("te", "Trailers")], GOOD[:3], [*GOOD, ("name", " spaces stay ")], [*GOOD, ("x-bin", "\u00e9")]]
)
def test_an_unusual_request_is_not_malformed(fields: list[tuple[str, str]]) -> None:
    wire = Wire()
    assert wire.resets(call(1, b"x", encode_block(fields))) == {}
    assert wire.app.calls == [("whole", 1, b"/unary", b"x")]


@pytest.mark.parametrize("fields", [GOOD[:1], [(":status", "200")], [("Capital", "x")], [("connection", "close")]])
@pytest.mark.parametrize("block", [UNARY, STREAMING])
def test_malformed_trailers_reset_the_stream(fields: list[tuple[str, str]], block: bytes) -> None:
    wire = Wire()
    assert wire.resets(headers(1, block), headers(1, encode_block(fields), end=True)) == {1: PROTOCOL_ERROR}
    assert not [entry for entry in wire.app.calls if entry[0] in ("whole", "ended")]


def test_a_second_header_block_must_end_the_stream() -> None:
    assert Wire().resets(headers(1), headers(1, encode_block([("x-sum", "1")]))) == {1: PROTOCOL_ERROR}


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff\x00",  # 127: not in the table
        b"\xbe",  # 62: the dynamic table is empty
        b"\x7f\x00\x01a",  # the same as a name
        b"\x3f\xe2\x1f",  # a table of 4,097 bytes
        UNARY + b"\x20",  # an update after a field
        b"\x00\x81\x1e\x01a",  # padding of Huffman's code that is not all ones
        b"\x00\x84\xff\xff\xff\xff\x01a",  # its end-of-string symbol
        b"\x00\x82\x1f\xff\x01a",  # padding of a whole byte
        b"\x00\x81\x00\x01a",  # padding of zeros
        b"\x00\x05ab",  # a text that ends early
        b"\x00",
        b"\x7f",
        b"\xff\xff\xff\xff\xff\xff\x7f",  # an integer without end
        b"\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_a_block_that_cannot_be_decoded_ends_the_connection(block: bytes) -> None:
    assert Wire().ended_by(headers(1, block)) == COMPRESSION_ERROR
    assert Wire().ended_by(headers(1), headers(1, block, end=True)) == COMPRESSION_ERROR


def test_a_block_of_a_refused_stream_still_counts_for_the_table() -> None:
    from hpack import Encoder

    wire = Wire()
    encoder = Encoder()
    request = [*GOOD[:2], (":path", "/echo"), ("x-a", "1")]
    first, second = encoder.encode(request), encoder.encode(request)
    assert len(second) < len(first)
    wire.put(*(call(2 * number + 1) for number in range(64)))
    assert wire.resets(call(129, block=first)) == {129: 7}
    wire.engine.reset(1, 8)
    wire.take()
    assert wire.resets(call(131, b"in step", block=second)) == {}
    assert wire.app.calls[-1] == ("whole", 131, b"/echo", b"in step")


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_greeting_may_come_in_pieces(cut: int) -> None:
    wire = Wire(greeting=b"")
    whole = GREETING + call(1, b"x", block_for("/echo"))
    assert [one.kind for one in wire.put(whole[:cut]) + wire.put(whole[cut:])][:3] == [
        SETTINGS,
        WINDOW_UPDATE,
        SETTINGS,
    ]
    assert wire.app.calls == [("whole", 1, b"/echo", b"x")]


def test_the_end_of_the_stream_on_headers_before_continuation_counts() -> None:
    wire = Wire()
    wire.put(frame(HEADERS, END_STREAM, 1, UNARY[:4]), frame(CONTINUATION, END_HEADERS, 1, UNARY[4:]))
    assert wire.app.calls == [("whole", 1, b"/unary", b"")]
