"""A head is read exactly, and whatever can be read in two ways is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_http1_app import GET, Echo, post

from onecode_serving.http1.head import HeadError, parse_head
from onecode_serving.http1.limits import Http1Limits

LINE = b"POST /v2 HTTP/1.1\r\nHost: h\r\n"

SMUGGLED = {
    "both lengths": LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both lengths, the other way round": LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two equal lengths": LINE + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a list of lengths": LINE + b"Content-Length: 1, 1\r\n\r\n",
    "a length with a sign": LINE + b"Content-Length: +1\r\n\r\n",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\n",
    "a length in hex": LINE + b"Content-Length: 0x1\r\n\r\n",
    "an octal length": LINE + b"Content-Length: 010\r\n\r\n",
    "an underscore in a length": LINE + b"Content-Length: 1_0\r\n\r\n",
    "Arabic digits": LINE + b"Content-Length: \xd9\xa1\r\n\r\n",
    "an endless length": LINE + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "an empty length": LINE + b"Content-Length:\r\n\r\n",
    "a bare LF after the request line": b"POST /v2 HTTP/1.1\nHost: h\r\n\r\n",
    "a bare LF after a field": LINE + b"A: b\nC: d\r\n\r\n",
    "a bare CR in a field": LINE + b"A: b\rC: d\r\n\r\n",
    "a field folded by a blank": LINE + b"A: b\r\n c\r\n\r\n",
    "a field folded by a tab": LINE + b"A: b\r\n\tc\r\n\r\n",
    "a folded first line": b"POST /v2 HTTP/1.1\r\n Host: h\r\n\r\n",
    "a blank before the colon": LINE + b"Content-Length : 5\r\n\r\n",
    "a tab before the colon": LINE + b"Transfer-Encoding\t: chunked\r\n\r\n",
    "no colon": LINE + b"Content-Length 5\r\n\r\n",
    "an empty name": LINE + b": 5\r\n\r\n",
    "a NUL in a value": LINE + b"A: b\x00c\r\n\r\n",
    "a control character in a value": LINE + b"A: b\x01c\r\n\r\n",
    "DEL in a value": LINE + b"A: b\x7fc\r\n\r\n",
    "a NUL in a name": LINE + b"A\x00: b\r\n\r\n",
    "a name outside of ASCII": LINE + b"\xc3\xa4: b\r\n\r\n",
    "a quoted coding": LINE + b'Transfer-Encoding: "chunked"\r\n\r\n',
    "a misspelt coding": LINE + b"Transfer-Encoding: xchunked\r\n\r\n",
    "a coding before chunked": LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a coding after chunked": LINE + b"Transfer-Encoding: chunked, identity\r\n\r\n",
    "two codings": LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a vertical tab before a coding": LINE + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v2 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no host": b"POST /v2 HTTP/1.1\r\n\r\n",
    "two hosts": b"POST /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two credentials": LINE + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two lengths of the JSON": LINE
    + b"Inference-Header-Content-Length: 1\r\nInference-Header-Content-Length: 2\r\n\r\n",
    "two blanks in the request line": b"POST  /v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab in the request line": b"POST\t/v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a blank after the version": b"POST /v2 HTTP/1.1 \r\nHost: h\r\n\r\n",
    "no version": b"GET /v2\r\nHost: h\r\n\r\n",
    "a blank in the target": b"GET /v 2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a byte outside of ASCII in the target": b"GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a fragment": b"GET /v2#x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target that is no path": b"GET v2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "an authority as target": b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a small version name": b"GET /v2 http/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends(name: str) -> None:
    app = Echo()
    written = app.send(SMUGGLED[name] + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    assert written.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert written.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in written
    assert app.engine.closing
    assert not app.asked
    assert app.engine.counts.malformed == 1


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_that_is_refused_is_remembered(name: str) -> None:
    """The cache of heads takes good heads only, however often a bad one comes."""
    for _ in range(2):
        app = Echo()
        app.send(GET)
        assert app.send(SMUGGLED[name]).split(b" ", 2)[1] in (b"400", b"501")


def test_versions_that_are_not_spoken_are_named() -> None:
    assert Echo().send(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n").startswith(b"HTTP/1.1 505 ")


def test_unknown_expectations_are_refused() -> None:
    assert Echo().send(post(b"", "Expect: miracles")).startswith(b"HTTP/1.1 417 ")


def test_a_head_has_at_most_so_many_fields_and_bytes() -> None:
    limits = Http1Limits(head_fields=5, head_bytes=200)
    fits = post(b"", *[f"A{number}: b" for number in range(3)])
    assert Echo(limits=limits).send(fits).startswith(b"HTTP/1.1 200 ")
    for heavy in (post(b"", *[f"A{number}: b" for number in range(4)]), post(b"", f"A: {'b' * 200}")):
        app = Echo(limits=limits)
        assert app.send(heavy).startswith(b"HTTP/1.1 431 ")
        assert app.engine.counts.too_large == 1


def test_a_head_without_end_is_refused_before_it_is_long() -> None:
    app = Echo()
    written = b""
    for _ in range(40):
        written += app.send(b"GET / HTTP/1.1\r\nA: " + b"b" * 500 if not app.engine.counts.requests else b"b" * 500)
        if app.engine.closing:
            break
    assert written.startswith(b"HTTP/1.1 431 ")


def test_a_bare_line_end_is_refused_though_the_head_has_no_end() -> None:
    """Who sends bare LF ends its head by two of them, and would wait for ever."""
    assert Echo().send(b"GET / HTTP/1.1\nHost: h\n\n").startswith(b"HTTP/1.1 400 ")
    assert Echo().send(b"GET / HTTP/1.1\r\n", b"Host: h", b"\n\n").startswith(b"HTTP/1.1 400 ")


def test_fields_are_read_without_their_blanks() -> None:
    head = parse_head(b"GET /a?b=c HTTP/1.1\r\nHOST:h\r\nA: \t b c \t\r\nA:d\r\nX-U: \xc3\xa4\r\n\r\n", 100)
    assert (head.method, head.target, head.length, head.keep_alive) == ("GET", b"/a?b=c", 0, True)
    assert head.fields == {"host": "h", "a": "b c, d", "x-u": "Ã¤"}


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://h/a?b", b"/a?b"), (b"HTTP://h:80", b"/"), (b"https://h?x", b"/?x"), (b"*", b"*"), (b"//a", b"//a")],
)
def test_a_whole_url_is_its_path(target: bytes, path: bytes) -> None:
    assert parse_head(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target, 100).target == path


@pytest.mark.parametrize(
    ("line", "keeps"),
    [
        (b"HTTP/1.1\r\nHost: h", True),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: Close", False),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: x, close", False),
        (b"HTTP/1.0", False),
        (b"HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_as_its_version_says(line: bytes, keeps: bool) -> None:
    assert parse_head(b"GET / %b\r\n\r\n" % line, 100).keep_alive is keeps


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(noise: bytes) -> None:
    try:
        head = parse_head(noise + b"\r\n\r\n", 100)
    except HeadError as refused:
        status, text = refused.status, refused.text
    else:
        status, text = 200, head.target.decode()
        assert text.startswith(("/", "*"))
    assert status in (200, 400, 417, 431, 501, 505)
    assert text.isascii()


def test_equal_heads_are_parsed_once_and_others_by_their_length_only() -> None:
    app = Echo()
    for size in (3, 3, 4, 12, 120, 0, 3):
        app.send(post(b"x" * size))
    assert [len(body) for body in app.bodies()] == [3, 3, 4, 12, 120, 0, 3]
    # The first; a length of 0 is looked at by the parser, because lengths with leading zeros are refused.
    assert [head.length for head in app.heads] == [3, 0]


def test_a_length_that_grows_a_zero_or_a_sign_is_not_taken_for_a_number() -> None:
    for bad in (b"03", b"+3", b"3 3", b"", b"3\r\nContent-Length: 3"):
        app = Echo()
        app.send(post(b"abc"))
        assert app.send(post(b"abc").replace(b"Length: 3", b"Length: " + bad)).startswith(b"HTTP/1.1 400 ")


def test_only_so_many_heads_are_remembered() -> None:
    app = Echo(limits=Http1Limits(cached_heads=4))
    for _ in range(2):
        for number in range(6):
            app.send(post(b"", f"A: {number}"))
    assert len(app.heads) == 12
    assert len(app.engine._heads._known) == 4


def test_long_heads_are_not_remembered() -> None:
    app = Echo(limits=Http1Limits(cached_head_bytes=50))
    app.send(GET, GET, post(b"", f"A: {'b' * 60}"), post(b"", f"A: {'b' * 60}"))
    assert len(app.heads) == 3


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e473{0}-00f067aa0ba902b{0}-01"


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TraceParent"])
def test_heads_that_differ_in_their_traceparent_are_parsed_once(name: str) -> None:
    app = Echo()
    for number in range(9):
        app.send(post(b"x" * (1 + number % 3), f"{name}: {TRACE.format(number)}", "A: b"))
    assert [path.traceparent for _, path, _ in app.asked] == [TRACE.format(number) for number in range(9)]
    assert [len(body) for body in app.bodies()] == [1 + number % 3 for number in range(9)]
    assert len(app.heads) == 1


def test_two_traceparents_are_two_opinions_and_read_each_time() -> None:
    app = Echo()
    for number in range(3):
        app.send(post(b"", f"traceparent: {TRACE.format(number)}", f"traceparent: {TRACE.format(7)}"))
    assert [path.traceparent for _, path, _ in app.asked] == [f"{TRACE.format(n)}, {TRACE.format(7)}" for n in range(3)]
    assert len(app.heads) == 3


@pytest.mark.parametrize("bad", ["", "01", TRACE.format("A"), TRACE.format(1) + "0", TRACE.format(1) + "\t,"])
def test_a_traceparent_of_another_form_is_read_by_itself(bad: str) -> None:
    app = Echo()
    app.send(post(b"", f"traceparent: {TRACE.format(1)}"), post(b"", f"traceparent: {bad}"))
    assert [path.traceparent for _, path, _ in app.asked] == [TRACE.format(1), bad]
    assert len(app.heads) == 2


def test_the_same_line_within_a_folded_value_is_still_refused() -> None:
    app = Echo()
    good = post(b"", f"traceparent: {TRACE.format(1)}")
    assert app.send(good).startswith(b"HTTP/1.1 200 ")
    folded = good.replace(b"\r\ntraceparent", b"\r\n traceparent")
    assert app.send(folded).startswith(b"HTTP/1.1 400 ")
