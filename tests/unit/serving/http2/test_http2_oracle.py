"""Another implementation of the protocol agrees: ``h2`` as a client that behaves, and as one that does not."""

from collections.abc import Iterator
from itertools import product
from random import Random

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from http2_kit import ANSWER_HEAD, ANSWER_TAIL, Wire
from hypothesis import given, settings
from hypothesis import strategies as st

from onecode_serving.http2 import Http2Limits
from onecode_serving.http2.frames import RST_STREAM, frame

REQUEST = [(":method", "POST"), (":scheme", "http"), (":authority", "here"), ("te", "trailers")]


class Client:
    """An h2 client whose transport is the engine."""

    def __init__(self, limits: Http2Limits | None = None, **local: int) -> None:
        self.wire = Wire(limits or Http2Limits(), greeting=b"")
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        if local:
            self.h2.update_settings({getattr(SettingCodes, name): value for name, value in local.items()})
        self.events: list[Event] = []

    def turn(self) -> None:
        """Carry bytes both ways until nothing moves."""
        while True:
            there = self.h2.data_to_send()
            self.wire.engine.receive(there, 0.0)
            back = self.wire.engine.take()
            if not there and not back:
                return
            for event in self.h2.receive_data(back):
                self.events.append(event)
                if isinstance(event, DataReceived) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def send(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a body as fast as the windows allow."""
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if not room:
                self.turn()
                continue
            self.h2.send_data(stream, body[:room])
            body = body[room:]
        if end:
            self.h2.end_stream(stream)
        self.turn()

    def open(self, path: str, *more: tuple[str, str], end: bool = False) -> int:
        """Send the headers of a request and return its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [*REQUEST[:3], (":path", path), *REQUEST[3:], *more], end_stream=end)
        return int(stream)

    def call(self, path: str, body: bytes, *more: tuple[str, str]) -> int:
        """Send a whole request and return its stream."""
        stream = self.open(path, *more)
        self.send(stream, body)
        return stream

    def answer(self, stream: int) -> tuple[dict[str, str], bytes, dict[str, str], bool]:
        """Return headers, body, trailers of a stream, and whether it ended."""
        head: dict[str, str] = {}
        tail: dict[str, str] = {}
        body, ended = b"", False
        for event in self.events:
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, ResponseReceived):
                head = dict(event.headers)  # type: ignore[arg-type]
            elif isinstance(event, DataReceived):
                body += event.data
            elif isinstance(event, TrailersReceived):
                tail = dict(event.headers)  # type: ignore[arg-type]
            elif isinstance(event, StreamEnded):
                ended = True
        return head, body, tail, ended


ANSWERED = {":status": "200", "content-type": "application/grpc"}


def echoed(body: bytes) -> tuple[dict[str, str], bytes, dict[str, str], bool]:
    return ANSWERED, body, {"grpc-status": "0"}, True


@pytest.mark.parametrize("size", [0, 1, 300, 16_384, 16_385, 65_536, 900_000])
def test_a_call_is_answered(size: int) -> None:
    client = Client()
    body = bytes(range(256)) * (size // 256 + 1)
    for _ in range(3):
        stream = client.call("/echo", body[:size])
        assert client.answer(stream) == echoed(body[:size])
    assert client.wire.engine.idle


@pytest.mark.parametrize("window", [0, 1, 100, 2**31 - 1])
def test_any_window_of_a_client_is_kept(window: int) -> None:
    client = Client(INITIAL_WINDOW_SIZE=window)
    stream = client.call("/echo", bytes(5_000))
    if not window:
        client.h2.increment_flow_control_window(5_000, stream)
        client.turn()
    assert client.answer(stream) == echoed(bytes(5_000))


def test_a_client_without_a_table_reads_our_answers() -> None:
    client = Client(HEADER_TABLE_SIZE=0)
    client.turn()
    streams = [client.call("/echo", b"x") for _ in range(3)]
    assert [client.answer(stream) for stream in streams] == [echoed(b"x")] * 3


def test_many_calls_at_once_get_their_own_answers() -> None:
    client = Client()
    client.turn()
    bodies = {client.open("/echo"): bytes((number,)) * (200 * number) for number in range(60)}
    for stream, body in reversed(bodies.items()):
        client.send(stream, body)
    assert {stream: client.answer(stream) for stream in bodies} == {
        stream: echoed(body) for stream, body in bodies.items()
    }


def test_metadata_that_differs_for_each_call_is_read_in_order() -> None:
    client = Client()
    seen: list[str] = []
    judge = client.wire.app.head

    def head(headers: list[tuple[bytes, bytes]]) -> object:
        seen.append(dict(headers)[b"x-unit"].decode())
        return judge(headers)

    client.wire.app.head = head  # type: ignore[method-assign,assignment]
    for number in range(300):
        client.call("/echo", b"", ("x-unit", f"unit-{number % 70}"))
    # A block seen before in the same state of the table is not read again.
    assert list(dict.fromkeys(seen)) == [f"unit-{number}" for number in range(70)]


def test_a_stream_both_ways() -> None:
    client = Client()
    stream = client.open("/streaming")
    client.turn()
    client.wire.engine.send(stream, ANSWER_HEAD)
    for number in range(50):
        client.send(stream, b"%d" % number, end=False)
        client.wire.engine.send(stream, b"", b"<%d>" % number)
        client.turn()
    client.h2.end_stream(stream)
    client.turn()
    client.wire.engine.send(stream, trailers=ANSWER_TAIL)
    client.turn()
    assert client.answer(stream) == echoed(b"".join(b"<%d>" % number for number in range(50)))
    assert client.wire.app.calls[-1] == ("ended", stream)


def test_an_early_answer_is_read_before_the_reset() -> None:
    client = Client()
    stream = client.open("/small")
    client.h2.send_data(stream, bytes(500))
    client.wire.app.too_large = lambda number, _: client.wire.engine.send(number, trailers=ANSWER_HEAD)  # type: ignore[method-assign]
    client.turn()
    assert client.answer(stream) == (ANSWERED, b"", {}, True)
    assert [event.error_code for event in client.events if isinstance(event, StreamReset)] == [ErrorCodes.NO_ERROR]


def test_pings_come_back() -> None:
    client = Client()
    client.h2.ping(b"are you?")
    client.turn()
    assert [event.ping_data for event in client.events if isinstance(event, PingAckReceived)] == [b"are you?"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["/echo", "/unary", "/streaming", "/small"]), st.binary(max_size=200), st.booleans()),
        max_size=20,
    ),
    st.integers(0, 2**32),
)
def test_any_traffic_is_understood_on_both_sides(calls: list[tuple[str, bytes, bool]], seed: int) -> None:
    client, dice = Client(), Random(seed)
    expected = {}
    for path, body, cancelled in calls:
        stream = client.open(path, ("x-die", str(dice.randrange(5))))
        if cancelled and path != "/echo":
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.turn()
            continue
        if path == "/small" and len(body) > 100:
            client.h2.send_data(stream, body)
            client.turn()
            client.wire.engine.reset(stream)
            client.turn()
            continue
        client.send(stream, body)
        if path != "/echo":
            client.wire.engine.send(stream, ANSWER_HEAD, body, ANSWER_TAIL)
            client.turn()
        expected[stream] = echoed(body)
    assert {stream: client.answer(stream) for stream in expected} == expected
    assert client.wire.engine.idle
    assert not client.wire.engine.closing


# Hostile: what h2 refuses to send is switched off, its frames are sent again, shortened, or turned over.


def conversation() -> list[bytes]:
    client = Client()
    pieces = [client.h2.data_to_send()]
    for path in ("/echo", "/streaming", "/unary"):
        stream = client.open(path)
        pieces.append(client.h2.data_to_send())
        client.h2.send_data(stream, b"body", end_stream=True)
        pieces.append(client.h2.data_to_send())
    client.h2.ping(bytes(8))
    pieces.append(client.h2.data_to_send())
    return pieces


def hostile() -> Iterator[list[bytes]]:
    pieces = conversation()
    for first, second in product(range(1, len(pieces)), repeat=2):
        mixed = list(pieces)
        mixed[first], mixed[second] = mixed[second], mixed[first]
        yield mixed
        yield [*pieces[: first + 1], *pieces[second:]]
        yield [*pieces[:first], pieces[first][: second - len(pieces)], *pieces[first + 1 :]]


def test_a_conversation_in_a_wrong_order_never_invents_a_request() -> None:
    for pieces in hostile():
        wire = Wire(greeting=b"")
        for piece in pieces:
            wire.put(piece)
        told = [entry[1] for entry in wire.app.calls if entry[0] in ("whole", "opened")]
        assert set(told) <= {1, 3, 5}
        assert len(told) == len(set(told))
        assert wire.engine.counts.surprises == 0


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "POST"), (":path", "/echo"), (":scheme", "http"), ("Connection", "close")],
        [(":method", "POST"), (":path", "/echo"), (":scheme", "http"), ("transfer-encoding", "chunked")],
        [("content-type", "x"), (":method", "POST"), (":path", "/echo"), (":scheme", "http")],
        [(":method", "POST"), (":path", "/echo"), (":path", "/unary"), (":scheme", "http")],
        [(":path", "/echo"), (":scheme", "http")],
    ],
)
def test_a_client_that_checks_nothing_is_checked(fields: list[tuple[str, str]]) -> None:
    client = Client()
    client.h2 = H2Connection(
        H2Configuration(
            client_side=True,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            header_encoding="utf-8",
        )
    )
    client.h2.initiate_connection()
    client.h2.send_headers(1, fields, end_stream=True)
    client.turn()
    assert [event.error_code for event in client.events if isinstance(event, StreamReset)] == [
        ErrorCodes.PROTOCOL_ERROR
    ]
    assert client.wire.app.calls == []


def test_a_rapid_reset_by_h2_ends_in_calm() -> None:
    client = Client()
    client.turn()
    for _ in range(300):
        stream = client.open("/unary", end=True)
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
    client.turn()
    (end,) = (event for event in client.events if isinstance(event, ConnectionTerminated))
    assert end.error_code == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_client_that_ignores_the_stream_limit_is_refused_not_ended() -> None:
    client = Client()
    streams = [client.open("/unary") for _ in range(80)]
    client.turn()
    refused = [event.stream_id for event in client.events if isinstance(event, StreamReset)]
    assert refused == streams[64:]
    client.wire.engine.receive(frame(RST_STREAM, 0, streams[0], bytes(4)), 0.0)
    assert not client.wire.engine.closing
