"""A body is kept as long as it may be, and its end is where every reader would find it."""

import pytest
from serving_http1_app import CHUNKED, GET, Echo, post

from onecode_serving.http1.limits import Http1Limits
from onecode_serving.http2 import Budget


def statuses(written: bytes) -> list[int]:
    return [int(part[:3]) for part in written.split(b"HTTP/1.1 ")[1:]]


def test_a_body_is_asked_for_where_that_was_expected() -> None:
    app = Echo()
    assert app.send(post(b"", "Expect: 100-continue", "Content-Length: 5", length=False)) == (
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    assert app.send(b"hello").startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_here_already_is_not_asked_for() -> None:
    assert Echo().send(post(b"hello", "Expect: 100-continue")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("path", "length", "status"), [("/closed", 5, 401), ("/a", 5000, 413)])
def test_a_refusal_replaces_the_go_ahead(path: str, length: int, status: int) -> None:
    app = Echo()
    written = app.send(post(b"", "Expect: 100-continue", f"Content-Length: {length}", path=path, length=False))
    assert statuses(written) == [status]
    assert b"Connection: close" in written
    assert not app.asked


def test_a_stranger_s_body_is_not_kept_and_the_connection_goes_on() -> None:
    app = Echo()
    assert app.send(post(b"", "Content-Length: 900", path="/closed", length=False)) == b""
    assert app.send(b"x" * 800) == b""
    assert len(app.engine._body._content) == 0  # type: ignore[union-attr]
    assert statuses(app.send(b"x" * 100 + GET)) == [401, 200]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_thrown_away_and_refused_at_its_end(chunked: bool) -> None:
    app = Echo()
    body = b"%x\r\n" % 3000 + b"x" * 3000 + b"\r\n0\r\n\r\n" if chunked else b"x" * 3000
    request = post(body, CHUNKED, length=False) if chunked else post(body)
    written = b""
    for start in range(0, len(request), 100):
        written += app.send(request[start : start + 100])
        if app.engine._body is not None:
            assert len(app.engine._body._content) <= 1100
    assert statuses(written + app.send(GET)) == [413, 200]
    assert app.engine.counts.too_large == 1


def test_a_body_without_end_is_answered_at_once_and_its_rest_thrown_away_for_a_while() -> None:
    app = Echo(limits=Http1Limits(drain_bytes=10_000))
    assert statuses(app.send(post(b"", "Content-Length: 999999999", length=False))) == [413]
    assert not app.engine.closing
    for _ in range(11):
        assert app.send(b"x" * 1000) == b""
    assert app.engine.closing


def test_throwing_away_ends_by_the_clock_too() -> None:
    app = Echo(limits=Http1Limits(drain_bytes=10_000))
    app.send(post(b"", "Content-Length: 999999999", length=False), now=5.0)
    assert app.engine.tick(6.0) == 15.0
    app.engine.tick(15.0)
    assert app.engine.closing


def test_chunks_without_end_are_refused_at_the_bound() -> None:
    app = Echo(limits=Http1Limits(drain_bytes=10_000))
    written = app.send(post(b"", CHUNKED, length=False))
    for _ in range(12):
        written += app.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    assert statuses(written) == [413]


BAD_CHUNKS = {
    "no size": b"\r\nx\r\n0\r\n\r\n",
    "a size with 0x": b"0x1\r\nx\r\n0\r\n\r\n",
    "a size with a sign": b"+1\r\nx\r\n0\r\n\r\n",
    "a blank before the size": b" 1\r\nx\r\n0\r\n\r\n",
    "a blank after the size": b"1 \r\nx\r\n0\r\n\r\n",
    "an underscore in the size": b"1_0\r\nx\r\n0\r\n\r\n",
    "a size of nine digits": b"000000001\r\nx\r\n0\r\n\r\n",
    "a bare LF after the size": b"1\nx\r\n0\r\n\r\n",
    "a bare CR in the extension": b"1;a\rb\r\nx\r\n0\r\n\r\n",
    "a bare LF in the extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "a NUL in the extension": b"1;\x00\r\nx\r\n0\r\n\r\n",
    "a chunk longer than its size": b"1\r\nxy\r\n0\r\n\r\n",
    "a chunk that ends by LF": b"1\r\nx\n0\r\n\r\n",
    "a trailer with a blank before its colon": b"0\r\nA : b\r\n\r\n",
    "a folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "a trailer that ends by LF": b"0\r\nA: b\n\r\n",
    "an endless size line": b"1;" + b"a" * 500,
    "endless trailers": b"0\r\n" + b"A: b\r\n" * 200,
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
@pytest.mark.parametrize("cut", [None, 1, 4])
def test_chunks_that_can_be_read_in_two_ways_end_the_connection(name: str, cut: int | None) -> None:
    app = Echo()
    body = BAD_CHUNKS[name]
    written = app.send(post(b"", CHUNKED, length=False) + body[:cut], *([] if cut is None else [body[cut:]]))
    assert statuses(written) in ([400], [431])
    assert app.engine.closing
    assert not app.asked


def test_tiny_chunks_without_end_are_refused() -> None:
    app = Echo(limits=Http1Limits(chunks=100))
    assert statuses(app.send(post(b"1\r\nx\r\n" * 101, CHUNKED, length=False))) == [400]


@pytest.mark.parametrize("chunked", [False, True])
def test_unfinished_bodies_of_all_connections_share_a_budget(chunked: bool) -> None:
    budget = Budget(1500)

    def begin() -> Echo:
        app = Echo(budget=budget)
        lines = (CHUNKED,) if chunked else ("Content-Length: 900",)
        app.send(post(b"", *lines, length=False), b"384\r\n" if chunked else b"", b"x" * 800)
        return app

    end = b"x" * 100 + (b"\r\n0\r\n\r\n" if chunked else b"")
    first, second = begin(), begin()
    assert budget.used == 800
    assert statuses(second.send(end, GET)) == [503, 200]
    assert statuses(first.send(end)) == [200]
    assert budget.used == 0
    begin().engine.lost()
    assert budget.used == 0
    assert statuses(begin().send(end)) == [200]
