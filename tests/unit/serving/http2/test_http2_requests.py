"""Requests arrive as they were sent, over the fast lane and over the slow one."""

import pytest
from http2_kit import (
    ANSWER_HEAD,
    ANSWER_TAIL,
    SMALL,
    STREAMING,
    UNARY,
    Frame,
    Wire,
    block_for,
    call,
    data,
    frames_of,
    headers,
    resets_in,
)

from onecode_serving.http2 import Budget, Http2Engine, Http2Limits, encode_block
from onecode_serving.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    NO_ERROR,
    PADDED,
    PRIORITISED,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    read_settings,
    unpack_u32,
    window_frame,
)

ECHO = block_for("/echo")


def test_the_server_greets_with_its_limits_and_a_wide_connection_window() -> None:
    greeted = Wire().greeted
    assert dict(read_settings(greeted[0].payload)) == {3: 64, 4: 4 * 1024 * 1024 + 65_536, 5: 16_384, 6: 16_384}
    assert greeted[1] == Frame(WINDOW_UPDATE, 0, 0, (16 * 1024 * 1024 - 65_535).to_bytes(4, "big"))
    assert greeted[2] == Frame(SETTINGS, 1, 0, b"")


@pytest.mark.parametrize(
    "shape",
    [
        headers(1) + window_frame(1, 5) + data(1, b"hello", end=True),
        headers(1) + data(1, b"hello", end=True),
        headers(1) + window_frame(1, 5) + window_frame(1, 7) + window_frame(0, 9) + data(1, b"hello", end=True),
        headers(1) + data(1, b"hel") + data(1, b"lo", end=True),
        headers(1) + data(1, b"hello") + data(1, end=True),
        headers(1) + data(1, b"hello") + headers(1, encode_block([("x-sum", "1")]), end=True),
        headers(1) + frame(DATA, END_STREAM | PADDED, 1, b"\x03hello\0\0\0"),
        headers(1) + frame(DATA, END_STREAM | 0xF6, 1, b"hello"),
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\x02" + UNARY + b"\0\0") + data(1, b"hello", end=True),
        frame(HEADERS, END_HEADERS | PRIORITISED, 1, bytes(4) + b"\x10" + UNARY) + data(1, b"hello", end=True),
        frame(HEADERS, END_HEADERS | PRIORITISED | PADDED, 1, b"\x01" + bytes(5) + UNARY + b"\0")
        + data(1, b"hello", end=True),
        frame(HEADERS, 0, 1, UNARY[:7])
        + frame(CONTINUATION, 0, 1, UNARY[7:9])
        + frame(CONTINUATION, END_HEADERS, 1, UNARY[9:])
        + data(1, b"hello", end=True),
        frame(HEADERS, END_HEADERS | 0xD2, 1, UNARY) + data(1, b"hello", end=True),
        headers(1) + frame(0x77, 0xFF, 1, b"what is this") + data(1, b"hello", end=True),
        headers(1, block_for("/unary", ("content-length", "5"))) + data(1, b"hello", end=True),
    ],
)
@pytest.mark.parametrize("seen_before", [False, True])
def test_every_shape_of_a_unary_request_is_the_same_request(shape: bytes, *, seen_before: bool) -> None:
    wire = Wire()
    expected = [("whole", 1, b"/unary", b"hello")]
    if seen_before:
        wire.put(call(1, b"before"))
        shape = b"".join(frame(one.kind, one.flags, 3 if one.stream else 0, one.payload) for one in frames_of(shape))
        expected = [("whole", 1, b"/unary", b"before"), ("whole", 3, b"/unary", b"hello")]
    assert wire.resets(shape) == {}
    assert wire.app.calls == expected


def test_the_reserved_bit_is_ignored() -> None:
    wire = Wire()
    wire.put(call(1), *(frame(one.kind, one.flags, one.stream | 1 << 31, one.payload) for one in frames_of(call(3))))
    assert [entry[:2] for entry in wire.app.calls] == [("whole", 1), ("whole", 3)]


def test_a_request_without_a_body_is_whole_at_once() -> None:
    wire = Wire()
    wire.put(headers(1, end=True), headers(3, end=True))
    assert wire.app.calls == [("whole", 1, b"/unary", b""), ("whole", 3, b"/unary", b"")]


def test_headers_are_judged_once_for_a_block_that_changes_nothing() -> None:
    wire = Wire()
    wire.put(*(call(stream) for stream in range(1, 41, 2)))
    assert (wire.app.heads, len(wire.app.calls)) == (1, 20)


def test_a_route_that_is_not_cacheable_is_judged_each_time() -> None:
    wire = Wire()
    wire.put(*(call(stream, block=block_for("/fresh")) for stream in range(1, 41, 2)))
    assert (wire.app.heads, len(wire.app.calls)) == (20, 20)


def test_a_large_body_is_joined_once_it_is_complete() -> None:
    wire = Wire(Http2Limits(stream_window=65_535))
    body = bytes(range(256)) * 3_000
    wire.put(headers(1))
    for at in range(0, len(body), 16_384):
        wire.put(data(1, body[at : at + 16_384]))
    assert wire.app.calls == []
    assert wire.budget.used == len(body)
    wire.put(data(1, end=True))
    assert wire.app.calls == [("whole", 1, b"/unary", body)]
    assert wire.budget.used == 0


def test_a_body_in_single_bytes_is_the_same_body() -> None:
    wire = Wire()
    body = bytes(range(250)) * 10
    wire.put(headers(1), *(data(1, bytes((one,))) for one in body), data(1, end=True))
    assert wire.app.calls == [("whole", 1, b"/unary", body)]


def test_a_stream_comes_in_pieces() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING), data(1, b"one"))
    wire.put(data(1, b"two"), data(1, end=True))
    assert wire.app.calls == [
        ("opened", 1, b"/streaming"),
        ("piece", 1, b"one"),
        ("piece", 1, b"two"),
        ("ended", 1),
    ]
    wire.engine.send(1, ANSWER_HEAD, b"three")
    wire.engine.send(1, b"", b"four", ANSWER_TAIL)
    assert [(one.kind, one.flags, one.payload) for one in wire.take()] == [
        (HEADERS, END_HEADERS, ANSWER_HEAD),
        (DATA, 0, b"three"),
        (DATA, 0, b"four"),
        (HEADERS, END_HEADERS | END_STREAM, ANSWER_TAIL),
    ]
    assert wire.engine.idle


def test_a_stream_without_a_body_is_opened_and_ended() -> None:
    wire = Wire()
    wire.put(headers(1, STREAMING, end=True))
    assert wire.app.calls == [("opened", 1, b"/streaming"), ("ended", 1)]


def test_an_answer_is_three_frames() -> None:
    wire = Wire()
    assert [(one.kind, one.flags, one.stream, one.payload) for one in wire.put(call(1, b"hi", ECHO))] == [
        (HEADERS, END_HEADERS, 1, ANSWER_HEAD),
        (DATA, 0, 1, b"hi"),
        (HEADERS, END_HEADERS | END_STREAM, 1, ANSWER_TAIL),
    ]
    assert wire.engine.idle


def test_an_error_may_be_one_block_of_trailers() -> None:
    wire = Wire()
    wire.put(call(1))
    error = encode_block([(":status", "200"), ("grpc-status", "3")])
    wire.engine.send(1, trailers=error)
    assert wire.take() == [Frame(HEADERS, END_HEADERS | END_STREAM, 1, error)]


def test_an_answer_may_end_without_trailers() -> None:
    wire = Wire()
    wire.put(call(1), call(3))
    wire.engine.send(1, ANSWER_HEAD, b"body", b"")
    wire.engine.send(3, ANSWER_HEAD, b"", b"")
    assert [(one.kind, one.flags) for one in wire.take()] == [
        (HEADERS, END_HEADERS),
        (DATA, END_STREAM),
        (HEADERS, END_HEADERS),
        (DATA, END_STREAM),
    ]
    assert wire.engine.idle


def test_an_answer_to_nobody_is_nothing() -> None:
    wire = Wire()
    wire.put(call(1, block=ECHO))
    for stream in (0, 1, 2, 3, 2**31 - 1):
        wire.engine.send(stream, ANSWER_HEAD, b"late", ANSWER_TAIL)
        wire.engine.reset(stream, 8)
    assert wire.engine.take() == b""


def test_a_second_answer_is_nothing() -> None:
    wire = Wire()
    wire.put(window_frame(0, 1), headers(1, STREAMING, end=True))
    wire.engine.send(1, ANSWER_HEAD, bytes(100_000), ANSWER_TAIL)
    first = wire.engine.take()
    wire.engine.send(1, b"", b"again", ANSWER_TAIL)
    assert b"again" not in first + wire.engine.take()


def test_a_body_that_is_too_long_is_told_at_once_and_dropped() -> None:
    wire = Wire()
    wire.put(headers(1, SMALL), data(1, bytes(60)))
    assert wire.resets(data(1, bytes(60))) == {}
    assert wire.app.calls == [("too_large", 1, b"/small")]
    assert wire.budget.used == 0
    assert wire.resets(data(1, bytes(60))) == {}
    wire.engine.send(1, trailers=ANSWER_TAIL)
    answered = wire.take()
    assert [one.kind for one in answered] == [HEADERS, 3]
    assert resets_in(answered) == {1: NO_ERROR}
    # What is still under way harms nobody.
    assert wire.resets(data(1, bytes(60)), data(1, bytes(60), end=True)) == {}
    assert wire.app.calls == [("too_large", 1, b"/small")]
    assert wire.engine.counts.too_large == 1


def test_a_body_that_is_too_long_in_one_frame_never_reaches_the_application() -> None:
    wire = Wire()
    wire.put(call(1, b"fits", SMALL), call(3, bytes(101), SMALL))
    assert wire.app.calls == [("whole", 1, b"/small", b"fits"), ("too_large", 3, b"/small")]
    wire.engine.send(3, trailers=ANSWER_TAIL)
    assert resets_in(wire.take()) == {}


@pytest.mark.parametrize(
    "pieces", [[b"abe"], [b"abe" + bytes(50)], [b"a", b"be"], [b"ab", b"e", b"more"], [b"a", b"b", b"e"]]
)
def test_a_body_that_says_itself_that_it_is_too_long_is_refused_when_it_has_said_so(pieces: list[bytes]) -> None:
    wire = Wire()
    wire.put(headers(1, block_for("/counted")), *[data(1, piece) for piece in pieces])
    assert wire.app.calls == [("too_large", 1, b"/counted")]
    assert wire.budget.used == 0
    wire.engine.send(1, trailers=ANSWER_TAIL)
    assert resets_in(wire.take()) == {1: NO_ERROR}
    assert wire.resets(data(1, bytes(60), end=True)) == {}


@pytest.mark.parametrize("pieces", [[b"ab"], [b"abd", b"rest"], [b"a", b"bd" + bytes(90)], [b""]])
def test_a_body_that_says_that_it_fits_or_says_nothing_is_taken(pieces: list[bytes]) -> None:
    wire = Wire()
    wire.put(headers(1, block_for("/counted")), *[data(1, piece) for piece in pieces], data(1, b"", end=True))
    assert wire.app.calls == [("whole", 1, b"/counted", b"".join(pieces))]
    assert wire.budget.used == 0


def test_an_announced_length_that_is_too_long_is_told_before_the_body() -> None:
    wire = Wire()
    wire.put(headers(1, block_for("/small", ("content-length", "101"))))
    assert wire.app.calls == [("too_large", 1, b"/small")]


@pytest.mark.parametrize(
    ("length", "body"), [("3", b"four"), ("5", b"four"), ("0", b"x"), ("4, 4", b"four"), ("-1", b""), ("", b"")]
)
@pytest.mark.parametrize("path", ["/unary", "/streaming"])
def test_a_body_of_another_length_than_announced_is_malformed(path: str, length: str, body: bytes) -> None:
    wire = Wire()
    block = block_for(path, ("content-length", length))
    assert wire.resets(headers(1, block), data(1, body), data(1, end=True)) == {1: 1}
    assert not [entry for entry in wire.app.calls if entry[0] in ("whole", "ended")]
    assert wire.engine.counts.malformed == 1


def test_credit_for_the_connection_returns_when_half_is_used() -> None:
    wire = Wire(Http2Limits(connection_window=100_000))
    body = bytes(16_000)
    wire.put(headers(1))
    returned = [
        unpack_u32(one.payload, 0)[0]
        for _ in range(10)
        for one in wire.put(data(1, body))
        if one.kind == WINDOW_UPDATE and one.stream == 0
    ]
    assert returned == [64_000, 64_000]


def test_the_fast_lane_returns_credit_as_well() -> None:
    wire = Wire(Http2Limits(connection_window=100_000))
    returned = [
        unpack_u32(one.payload, 0)[0]
        for number in range(20)
        for one in wire.put(call(2 * number + 1, bytes(16_000), ECHO))
        if one.kind == WINDOW_UPDATE
    ]
    assert returned == [64_000] * 5


def test_a_paused_stream_gets_no_credit_until_it_goes_on() -> None:
    wire = Wire(Http2Limits(stream_window=65_535))
    wire.put(headers(1, STREAMING))
    wire.engine.pause_reading(1)
    assert wire.put(*(data(1, bytes(16_000)) for _ in range(4))) == []
    wire.engine.resume_reading(1)
    assert wire.take() == [Frame(WINDOW_UPDATE, 0, 1, (64_000).to_bytes(4, "big"))]
    wire.engine.resume_reading(1)
    assert wire.take() == []


def test_a_lost_connection_is_told_for_each_stream_the_application_knows() -> None:
    wire = Wire()
    wire.put(call(1), headers(3, STREAMING), headers(5), data(5, b"half"), call(7, block=ECHO))
    before = len(wire.app.calls)
    wire.engine.lost()
    assert sorted(wire.app.calls[before:]) == [("gone", 1), ("gone", 3)]
    assert wire.budget.used == 0
    assert wire.engine.closing
    assert wire.engine.idle


def test_counts_and_budget_may_be_shared() -> None:
    budget = Budget(limit=1_000)
    first, second = Wire(budget=budget), Wire(budget=budget)
    first.put(headers(1), data(1, bytes(900)))
    assert second.resets(headers(1), data(1, bytes(200))) == {1: 11}
    first.engine.lost()
    assert second.resets(headers(3), data(3, bytes(200))) == {}
    second.engine.lost()
    assert budget.used == 0


def test_an_exception_of_the_application_ends_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    wire.app.whole = broken  # type: ignore[method-assign]
    wire.engine = wire.app.engine = Http2Engine(wire.app, Http2Limits(), 0.0)
    wire.put(Wire.greeting)
    assert wire.ended_by(call(1)) == 2
    assert wire.engine.counts.surprises == 1
    assert "ended by an exception" in caplog.text


def test_nothing_is_taken_from_a_connection_that_is_closing() -> None:
    wire = Wire()
    assert wire.ended_by(data(1)) == 1
    assert wire.put(call(3, block=ECHO)) == []
    assert wire.app.calls == []
