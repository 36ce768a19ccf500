"""The bench believes no answer: whatever differs from the right one counts as a failure, also on its short way."""

from collections.abc import Callable

import pytest
from hpack import Decoder

from bench.serving import stock
from bench.serving.http1 import rest_reply
from bench.serving.job import GRPC, JSON, REST, STREAM, Job
from bench.serving.links import RefusedError, RestLink, StreamLink, UnaryLink
from onecode_serving.http2 import encode_block
from onecode_serving.oip.wire import pb

RIGHT, WRONG = b"\0\0\x80?", b"\0\0\0@"
HEAD = encode_block([(":status", "200"), ("content-type", "application/grpc")])


def job(face: str) -> Job:
    return Job(face, 1, [[b"one", b"two"]], {"1": [(RIGHT,), (RIGHT,)], "2": [(WRONG,), (WRONG,)]}, token="t")


def message(raw: bytes, version: str = "1") -> pb.ModelInferResponse:
    reply = pb.ModelInferResponse(model_name="m", model_version=version, raw_output_contents=[raw])
    reply.outputs.add(name="y", datatype="FP32", shape=[1, 1])
    return reply


def answer(stream: int, raw: bytes = RIGHT, *, version: str = "1", status: str = "0") -> bytes:
    body = stock.prefixed(message(raw, version).SerializeToString())
    return (
        stock.frame(stock.HEADERS, stock.END_HEADERS, stream, HEAD)
        + stock.frame(stock.DATA, 0, stream, body)
        + stock.frame(
            stock.HEADERS, stock.END_HEADERS | stock.END_STREAM, stream, encode_block([("grpc-status", status)])
        )
    )


def warmed() -> UnaryLink:
    """Return a link that has seen a right answer to each row, and has asked for the fifth time (stream 9)."""
    link = UnaryLink(job(GRPC), 0, 1)
    for stream in (1, 3, 5, 7):
        link.ask()
        assert link.heard(answer(stream)) == "1"
    link.ask()
    return link


def test_a_right_answer_names_its_version() -> None:
    assert warmed().heard(answer(9)) == "1"
    assert warmed().heard(answer(9, WRONG, version="2")) == "2"


@pytest.mark.parametrize(
    "data",
    [
        answer(9, WRONG),
        answer(9, version="2"),
        answer(9, version="3"),
        answer(9, status="13"),
        answer(7),
        stock.frame(stock.RST_STREAM, 0, 9, b"\0\0\0\x07"),
        stock.frame(stock.HEADERS, 5, 9, encode_block([(":status", "200"), ("grpc-status", "8")])),
    ],
)
def test_what_differs_from_the_right_answer_is_a_failure(data: bytes) -> None:
    with pytest.raises(RefusedError):
        warmed().heard(data)


def test_a_refused_call_does_not_spoil_the_next() -> None:
    link = warmed()
    with pytest.raises(RefusedError):
        link.heard(answer(9, status="8"))
    link.ask()
    assert link.heard(answer(11)) == "1"


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_answer_in_pieces_is_read(cut: int) -> None:
    link, data = warmed(), answer(9)
    assert link.heard(data[:cut]) is None
    assert link.heard(data[cut:]) == "1"


def test_pings_and_settings_are_answered_beside_calls() -> None:
    link = warmed()
    ping = stock.frame(stock.PING, 0, 0, b"12345678")
    assert link.heard(ping + answer(9) + stock.frame(stock.SETTINGS_FRAME, 0, 0, b"")) == "1"
    said = [(each.kind, each.flags) for each in stock.frames(link.ask())]
    assert said[:2] == [(stock.PING, 1), (stock.SETTINGS_FRAME, 1)]


def test_a_call_is_what_a_stock_client_sends() -> None:
    link, decoder = UnaryLink(job(GRPC), 0, 1), Decoder()
    first, again = link.ask(), link.ask()
    assert first.startswith(stock.PREFACE)
    blocks = [
        each.payload
        for data in (first[len(stock.PREFACE) :], again)
        for each in stock.frames(data)
        if each.kind == stock.HEADERS
    ]
    assert decoder.decode(blocks[0]) == decoder.decode(blocks[1])
    assert len(blocks[1]) - len(b"authorizationBearer t") == 8 + 3
    assert [each.kind for each in stock.frames(again)] == [stock.HEADERS, stock.WINDOW_UPDATE, stock.DATA]


def streamed(raw: bytes, error: str = "") -> bytes:
    reply = pb.ModelStreamInferResponse(infer_response=message(raw), error_message=error)
    return stock.frame(stock.DATA, 0, 1, stock.prefixed(reply.SerializeToString()))


@pytest.mark.parametrize(
    "data", [streamed(WRONG), streamed(RIGHT, "no"), stock.frame(stock.RST_STREAM, 0, 1, bytes(4))]
)
def test_a_wrong_message_of_a_stream_is_a_failure(data: bytes) -> None:
    link = StreamLink(job(STREAM), 0, 1)
    for _ in range(4):
        link.ask()
        assert link.heard(streamed(RIGHT)) == "1"
    link.ask()
    with pytest.raises(RefusedError):
        link.heard(data)


def rest(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines, b"", body))


BINARY = (
    b'{"model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'
)
LENGTH = b"Inference-Header-Content-Length: %d" % len(BINARY)


@pytest.mark.parametrize(
    ("face", "right", "wrong"),
    [
        (REST, rest(BINARY + RIGHT, LENGTH), rest(BINARY + WRONG, LENGTH)),
        (
            JSON,
            rest(b'{"model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[1.0]}]}'),
            rest(b'{"model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[2.0]}]}'),
        ),
    ],
)
def test_a_rest_answer_is_compared_too(face: str, right: bytes, wrong: bytes) -> None:
    link = RestLink(job(face), 0, 1)
    feed: Callable[[bytes], str | None] = link.heard
    for _ in range(4):
        link.ask()
        assert feed(right[:40]) is None
        assert feed(right[40:]) == "1"
        link.ask()
        assert feed(right) == "1"
    link.ask()
    with pytest.raises(RefusedError):
        feed(wrong)
    with pytest.raises(ValueError, match="503"):
        rest_reply(rest(b"no", status=b"503 Service Unavailable"))
