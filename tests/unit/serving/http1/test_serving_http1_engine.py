"""Requests come out of bytes and answers become bytes, in order, within bounds, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_http1_app import CHUNKED, GET, Echo, post

from onecode_serving.http1.limits import Http1Limits

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)

STREAM = b"".join(
    [
        GET,
        post(b"hello"),
        post(b"5\r\nhello\r\n006;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n", CHUNKED, length=False),
        b"HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n",
        post(b"x" * 500, path="/long"),
        b"\r\n" + GET,
        post(b"y" * 1500, path="/too-long"),
        post(b"late", path="/closed"),
        post(b"end", "Connection: close"),
    ]
)
WHOLE = Echo().send(STREAM)


def statuses(written: bytes) -> list[int]:
    return [int(part[:3]) for part in written.split(b"HTTP/1.1 ")[1:]]


def test_the_stream_of_these_tests_has_one_answer_for_each_request() -> None:
    assert statuses(WHOLE) == [200, 200, 200, 200, 200, 200, 413, 200, 200]
    assert b"POST /a hello world" in WHOLE


@pytest.mark.parametrize("cut", range(1, len(STREAM), 7))
def test_bytes_cut_anywhere_give_the_same_answers_but_for_refusals_of_heads(cut: int) -> None:
    # A refusal by the head comes before the body is kept; whether there is a body to come depends on the cut.
    app = Echo()
    written = app.send(STREAM[:cut], STREAM[cut:])
    assert (
        written.replace(
            b"401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", b"200 OK\r\nContent-Length: 17\r\n\r\nPOST /closed late"
        )
        == WHOLE
    )
    assert app.engine.closing


def test_bytes_one_by_one_give_the_same_answers() -> None:
    app = Echo()
    written = app.send(*[STREAM[place : place + 1] for place in range(len(STREAM))])
    assert statuses(written) == [200, 200, 200, 200, 200, 200, 413, 401, 200]


@CALM
@given(st.lists(st.integers(1, len(STREAM)), max_size=12))
def test_bytes_cut_into_any_pieces_give_the_same_requests(cuts: list[int]) -> None:
    edges = sorted({0, len(STREAM), *cuts})
    app = Echo()
    app.send(*[STREAM[start:end] for start, end in pairwise(edges)])
    kept = [body for body in app.bodies() if body != b"late"]
    assert kept == [b"", b"hello", b"hello world", b"", b"x" * 500, b"", b"end"]


@CALM
@given(st.lists(st.integers(1, len(STREAM)), max_size=6))
def test_answers_that_come_late_are_in_the_order_of_their_requests(cuts: list[int]) -> None:
    edges = sorted({0, len(STREAM), *cuts})
    app = Echo(later=True)
    written = b""
    for start, end in pairwise(edges):
        written += app.send(STREAM[start:end])
        assert len(app.asked) - app.engine.counts.requests == 0
    while not app.engine.closing:
        app.answer()
        written += app.send(b"")
    assert statuses(written).count(200) >= 7
    assert written.endswith(b"POST /a end")


def test_head_has_the_length_and_not_the_body() -> None:
    written = Echo().send(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert written == b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"


def test_http_1_0_closes_unless_it_asks_to_be_kept() -> None:
    app = Echo()
    assert b"Connection: keep-alive\r\n" in app.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert not app.engine.closing
    assert b"Connection: close\r\n" in app.send(b"GET / HTTP/1.0\r\n\r\n")
    assert app.engine.closing


def test_what_comes_after_the_last_request_is_not_read() -> None:
    app = Echo()
    app.send(post(b"", "Connection: close") + GET)
    app.send(GET)
    assert len(app.asked) == 1


def test_one_request_is_in_hand_and_the_next_ones_wait() -> None:
    app = Echo(later=True)
    app.send(GET + post(b"2") + post(b"3"))
    assert app.bodies() == [b""]
    app.answer()
    assert app.bodies() == [b"", b"2"]
    assert app.touched == 1
    app.answer()
    app.answer()
    assert app.send(b"").endswith(b"POST /a 3")
    assert app.engine.idle


def test_an_answer_to_a_request_that_is_not_in_hand_is_dropped() -> None:
    app = Echo(later=True)
    app.send(GET)
    app.answer()
    app.answer()
    app.engine.answer(99, b"HTTP/1.1 200 OK\r\n")
    assert app.send(b"").count(b"HTTP/1.1") == 1


def test_many_requests_at_once_do_not_recurse() -> None:
    app = Echo()
    app.engine.receive(GET * 5000, 1.0)
    written = b""
    while part := app.engine.take():
        written += part
    assert written.count(b"HTTP/1.1 200 ") == 5000


def test_a_peer_that_does_not_read_gets_no_further_answers_made() -> None:
    app = Echo(limits=Http1Limits(pause_bytes=1000))
    app.engine.receive(GET * 500, 1.0)
    assert len(app.asked) < 40
    assert app.engine.paused
    while app.engine.take():
        pass
    assert len(app.asked) == 500


def test_a_peer_that_sends_on_though_nothing_is_read_is_let_go() -> None:
    app = Echo(later=True, limits=Http1Limits(input_bytes=10_000, pause_bytes=5_000))
    app.send(GET)
    for _ in range(20):
        app.send(b"x" * 1000)
    assert app.engine.closing
    assert app.lost == [1]
    assert not app.engine._input


def test_an_answer_larger_than_the_bound_is_an_error_and_not_memory() -> None:
    app = Echo(later=True, limits=Http1Limits(output_bytes=100))
    app.send(GET)
    app.engine.answer(1, b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n", b"x" * 101)
    assert statuses(app.engine.take()) == [500]
    assert app.engine.closing


@CALM
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_break_the_engine(pieces: list[bytes]) -> None:
    app = Echo()
    app.send(*pieces)
    assert app.engine.tick(2.0) is None or not app.engine.closing
