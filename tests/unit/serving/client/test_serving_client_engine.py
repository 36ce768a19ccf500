"""The client's engine speaks HTTP/2 with an independent server, whatever the pieces its bytes come in."""

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import ExhaustedError, OnecodeError, UnavailableError
from onecode_serving.client.call import Call
from onecode_serving.client.engine import ClientEngine
from onecode_serving.http2 import encode_block
from onecode_serving.http2 import frames as wire
from onecode_serving.http2.headers import Headers

BLOCK = encode_block([(":method", "POST"), (":scheme", "http"), (":path", "/s/M"), (":authority", "a")])
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
DONE = [("grpc-status", "0")]


class Told:
    """Keeps what a call was told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, Any]] = []

    def answered(self, headers: Headers, body: bytes) -> None:
        self.outcomes.append((dict(headers)[b"grpc-status"].decode(), body))

    def again(self) -> None:
        self.outcomes.append(("again", None))

    def failed(self, error: OnecodeError) -> None:
        self.outcomes.append(("failed", error))


class Pair:
    """Our client and h2's server, joined by hand."""

    def __init__(self, **settings: int) -> None:
        self.client = ClientEngine()
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        if settings:
            values = {getattr(h2.settings.SettingCodes, name): value for name, value in settings.items()}
            self.server.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.server.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.events: list[Any] = []

    def call(self, message: bytes = b"hello", deadline: float = 10.0) -> tuple[Call, Told]:
        told = Told()
        call = Call(BLOCK, message, deadline, told)
        self.client.submit(call)
        return call, told

    def turn(self, piece: int = 1 << 20, *, credit: bool = True) -> list[Any]:
        """Carry bytes both ways until nobody has anything to say; return what the server saw."""
        seen: list[Any] = []
        while True:
            sent = self.client.take()
            answer = self.server.data_to_send()
            if not sent and not answer:
                self.events += seen
                return seen
            for event in self.server.receive_data(sent) if sent else []:
                seen.append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    if credit and event.flow_controlled_length:
                        self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            for at in range(0, len(answer), piece):
                self.client.receive(answer[at : at + piece])

    def answer(self, stream: int, body: bytes = b"reply") -> None:
        self.server.send_headers(stream, HEAD)
        self.server.send_data(stream, body)
        self.server.send_headers(stream, DONE, end_stream=True)


def test_a_call_is_headers_and_one_data_frame() -> None:
    pair = Pair()
    _, told = pair.call()
    seen = pair.turn()
    assert [type(event) for event in seen if getattr(event, "stream_id", None) == 1] == [
        h2.events.RequestReceived,
        h2.events.DataReceived,
        h2.events.StreamEnded,
    ]
    pair.answer(1)
    pair.turn()
    assert told.outcomes == [("0", b"reply")]
    assert pair.client.idle


@given(st.integers(1, 40), st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_answers_are_the_same_in_pieces_of_any_size(piece: int, bodies: list[bytes]) -> None:
    pair = Pair()
    told = [pair.call()[1] for _ in bodies]
    pair.turn(piece)
    for number, body in enumerate(bodies):
        pair.answer(2 * number + 1, body)
    pair.turn(piece)
    assert [one.outcomes for one in told] == [[("0", body)] for body in bodies]


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 400_000])
def test_a_large_request_waits_for_credit_and_arrives_whole(size: int) -> None:
    pair = Pair()
    message = bytes(range(256)) * (size // 256 + 1)
    pair.call(message[:size])
    pair.turn()
    assert pair.bodies.get(1, b"") == message[:size]
    assert any(isinstance(event, h2.events.StreamEnded) for event in pair.events)


def test_without_credit_only_the_window_is_sent_and_others_go_on() -> None:
    pair = Pair()
    pair.call(bytes(100_000))
    pair.turn(credit=False)
    assert len(pair.bodies[1]) == 65_535
    pair.server.increment_flow_control_window(100_000)
    _, told = pair.call(b"small")
    pair.turn(credit=False)
    assert pair.bodies[3] == b"small"
    pair.answer(3)
    pair.turn(credit=False)
    assert told.outcomes == [("0", b"reply")]
    pair.server.increment_flow_control_window(100_000, 1)
    pair.turn(credit=False)
    assert len(pair.bodies[1]) == 100_000


@pytest.mark.parametrize("first", [0, 10, 100_000])
def test_a_changed_first_window_moves_open_streams(first: int) -> None:
    pair = Pair()
    pair.call(bytes(90_000))
    pair.turn(credit=False)
    pair.server.increment_flow_control_window(1 << 20)
    pair.server.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: first})
    pair.turn(credit=False)
    assert len(pair.bodies[1]) == min(90_000, max(65_535, first))
    pair.server.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 200_000})
    pair.turn(credit=False)
    assert len(pair.bodies[1]) == 90_000


def test_a_large_answer_gets_credit() -> None:
    pair = Pair()
    _, told = pair.call()
    pair.turn()
    body = bytes(range(256)) * 65_536
    pair.server.send_headers(1, HEAD)
    while body:
        size = min(len(body), pair.server.local_flow_control_window(1), 16_384)
        assert size, "the client gives no credit"
        pair.server.send_data(1, body[:size])
        body = body[size:]
        pair.turn()
    pair.server.send_headers(1, DONE, end_stream=True)
    pair.turn()
    assert told.outcomes == [("0", bytes(range(256)) * 65_536)]


def test_calls_beyond_the_server_s_limit_wait() -> None:
    pair = Pair(MAX_CONCURRENT_STREAMS=2)
    pair.turn()
    told = [pair.call()[1] for _ in range(5)]
    for stream in (1, 3, 5, 7, 9):
        pair.turn()
        pair.answer(stream)
    pair.turn()
    assert [one.outcomes for one in told] == [[("0", b"reply")]] * 5


def test_after_a_goodbye_unseen_calls_may_be_made_again_and_seen_ones_end() -> None:
    pair = Pair(MAX_CONCURRENT_STREAMS=2)
    pair.turn()
    told = [pair.call()[1] for _ in range(3)]
    pair.turn()
    pair.client.receive(wire.goaway_frame(1, 0))
    assert [one.outcomes for one in told] == [[], [("again", None)], [("again", None)]]
    assert pair.client.leaving
    _, late = pair.call()
    assert late.outcomes == [("again", None)]
    pair.answer(1)
    pair.turn()
    assert told[0].outcomes == [("0", b"reply")]
    assert pair.client.idle


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(wire.REFUSED_STREAM, None), (wire.CANCEL, UnavailableError), (wire.ENHANCE_YOUR_CALM, ExhaustedError)],
)
def test_a_reset_call_ends_by_its_code(number: int, outcome: type[OnecodeError] | None) -> None:
    pair = Pair()
    _, told = pair.call()
    pair.turn()
    pair.server.reset_stream(1, number)
    pair.turn()
    ((kind, error),) = told.outcomes
    assert kind == ("failed" if outcome else "again")
    assert outcome is None or type(error) is outcome


def test_a_late_call_is_cancelled_on_both_sides() -> None:
    pair = Pair(MAX_CONCURRENT_STREAMS=1)
    pair.turn()
    _, told = pair.call(deadline=1.0)
    _, waiting = pair.call(deadline=1.0)
    _, patient = pair.call(deadline=9.0)
    pair.client.expire(1.0)
    assert [one.outcomes[0][1].code for one in (told, waiting)] == ["deadline.exceeded"] * 2
    seen = pair.turn()
    assert any(isinstance(event, h2.events.StreamReset) for event in seen)
    pair.answer(3)
    pair.turn()
    assert patient.outcomes == [("0", b"reply")]


def test_the_answer_of_a_cancelled_call_is_nobody_s() -> None:
    pair = Pair()
    call, told = pair.call()
    pair.turn()
    pair.answer(1)
    pair.client.cancel(call)
    pair.client.receive(pair.server.data_to_send())
    assert told.outcomes == []


def test_pings_are_answered() -> None:
    pair = Pair()
    pair.turn()
    pair.server.ping(b"12345678")
    assert any(isinstance(event, h2.events.PingAckReceived) for event in pair.turn())


def test_padding_priority_and_continuations_are_read() -> None:
    engine, told = ClientEngine(), Told()
    engine.submit(Call(BLOCK, b"x", 1.0, told))
    block = encode_block(HEAD)
    padded = bytes([2]) + b"\0\0\0\0\0" + block[:3] + b"\0\0"
    engine.receive(wire.frame(wire.HEADERS, wire.PADDED | wire.PRIORITISED, 1, padded))
    engine.receive(wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1, block[3:]))
    engine.receive(wire.frame(wire.DATA, wire.PADDED, 1, b"\x03abc\0\0\0"))
    engine.receive(wire.block_frames(1, encode_block(DONE), wire.END_STREAM, 3))
    assert told.outcomes == [("0", b"abc")]


def test_a_block_that_changes_the_table_is_not_taken_from_memory() -> None:
    pair = Pair()
    outcomes = []
    for number in range(6):
        _, told = pair.call()
        pair.turn()
        stream = 2 * number + 1
        pair.server.send_headers(stream, [*HEAD, ("x-number", str(number % 2))])
        pair.server.send_headers(stream, [("grpc-status", str(number % 2))], end_stream=True)
        pair.turn()
        outcomes.append(told.outcomes[0][0])
    assert outcomes == ["0", "1"] * 3


def test_a_lost_connection_fails_what_may_have_run_and_only_that() -> None:
    pair = Pair(MAX_CONCURRENT_STREAMS=1)
    pair.turn()
    _, opened = pair.call()
    _, waiting = pair.call()
    pair.client.lost("cut")
    assert opened.outcomes[0][1].code == "client.connection"
    assert waiting.outcomes == [("again", None)]


@given(st.binary(max_size=200), st.integers(1, 200))
def test_no_bytes_of_a_server_raise(noise: bytes, cut: int) -> None:
    engine, told = ClientEngine(), Told()
    engine.submit(Call(BLOCK, b"x", 1.0, told))
    engine.receive(noise[:cut])
    engine.receive(noise[cut:])
    engine.lost("end")
    assert len(told.outcomes) == 1


@pytest.mark.parametrize(
    "frame",
    [
        wire.frame(wire.PUSH_PROMISE, wire.END_HEADERS, 1, b"\0\0\0\2"),
        wire.frame(wire.SETTINGS, 0, 0, b"12345"),
        wire.frame(wire.GOAWAY, 0, 0, b"1234"),
        wire.frame(wire.CONTINUATION, 0, 1, b""),
        wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        wire.frame(wire.HEADERS, 0, 1, b"") + wire.frame(wire.PING, 0, 0, bytes(8)),
        wire.window_frame(0, wire.GREATEST) * 2,
        (1 << 20).to_bytes(3, "big") + b"\0\0\0\0\0\1x",
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(frame: bytes) -> None:
    engine, told = ClientEngine(), Told()
    engine.submit(Call(BLOCK, b"x", 1.0, told))
    engine.take()
    engine.receive(frame)
    assert engine.broken
    assert told.outcomes[0][0] == "failed"
    assert wire.unpack_head(engine.take(), 0)[0] & 0xFF == wire.GOAWAY


class Flow(Told):
    """Keeps what a stream brought."""

    def __init__(self) -> None:
        super().__init__()
        self.came = b""
        self.moves = 0

    def piece(self, data: bytes) -> None:
        self.came += data

    def moved(self) -> None:
        self.moves += 1


def streaming(pair: Pair) -> tuple[Call, Flow]:
    flow = Flow()
    call = Call(BLOCK, b"", float("inf"), flow, flow)
    pair.client.submit(call)
    return call, flow


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=6), st.integers(1, 5000))
def test_a_stream_sends_all_of_its_parts_and_one_end(parts: list[bytes], piece: int) -> None:
    pair = Pair()
    call, flow = streaming(pair)
    pair.turn(piece)
    for part in parts:
        pair.client.send(call, part)
        pair.turn(piece)
    assert not any(isinstance(event, h2.events.StreamEnded) for event in pair.events)
    pair.client.end(call)
    pair.turn(piece)
    assert pair.bodies.get(1, b"") == b"".join(parts)
    assert sum(isinstance(event, h2.events.StreamEnded) for event in pair.events) == 1
    pair.answer(1, b"all of it")
    pair.turn(piece)
    assert (flow.came, flow.outcomes, pair.client.idle) == (b"all of it", [("0", b"")], True)


def test_a_stream_beyond_the_window_waits_and_hears_of_credit() -> None:
    pair = Pair()
    call, flow = streaming(pair)
    pair.turn(credit=False)
    pair.client.send(call, bytes(100_000))
    pair.client.end(call)
    pair.turn(credit=False)
    assert pair.client.unsent(call) == 100_000 - 65_535
    assert len(pair.bodies[1]) == 65_535
    moves = flow.moves
    for stream in (0, 1):
        pair.server.increment_flow_control_window(50_000, stream or None)
    pair.turn(credit=False)
    assert flow.moves > moves
    assert (pair.client.unsent(call), len(pair.bodies[1])) == (0, 100_000)
    assert any(isinstance(event, h2.events.StreamEnded) for event in pair.events)


def test_a_stream_gives_credit_back_only_for_what_was_taken() -> None:
    pair = Pair()
    call, flow = streaming(pair)
    pair.turn()
    pair.server.send_headers(1, HEAD)
    window = pair.server.local_flow_control_window(1)
    while (size := min(16_384, pair.server.local_flow_control_window(1))) > 0:
        pair.server.send_data(1, bytes(size))
        pair.turn()
    assert len(flow.came) == window
    pair.client.give_back(call)
    pair.turn()
    assert pair.server.local_flow_control_window(1) == window


def test_a_stream_that_waits_for_its_turn_loses_nothing() -> None:
    pair = Pair(MAX_CONCURRENT_STREAMS=1)
    pair.turn()
    _, first = pair.call()
    call, flow = streaming(pair)
    for part in (b"one", b"two"):
        pair.client.send(call, part)
    assert pair.client.unsent(call) == 6
    pair.client.end(call)
    pair.turn()
    assert 3 not in pair.bodies
    pair.answer(1)
    pair.turn()
    assert first.outcomes == [("0", b"reply")]
    assert pair.bodies[3] == b"onetwo"
    assert any(isinstance(event, h2.events.StreamEnded) and event.stream_id == 3 for event in pair.events)
    pair.server.reset_stream(3)
    pair.turn()
    assert [name for name, _ in flow.outcomes] == ["failed"]
    pair.client.send(call, b"too late")
    assert pair.client.idle
