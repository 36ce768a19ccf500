"""A caller that is traced sends another traceparent each time and is still understood once, and never as another."""

from typing import Any

import hpack
import pytest
from http2_kit import Place, RecordingApp, Wire, call, data, headers
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.http2 import Http2Engine

PATH = "/inference.GRPCInferenceService/ModelInfer"
PLAIN = [(":method", "POST"), (":scheme", "http"), (":path", PATH), ("te", "trailers")]


def value(number: int, flags: str = "01") -> bytes:
    return f"00-{number + 1:032x}-{number + 1:016x}-{flags}".encode()


def as_grpc_writes_it(content: bytes) -> bytes:
    return b"\x00\x0btraceparent" + bytes([len(content)]) + content


class Listing(RecordingApp):
    """Takes a whole list for the path, so that a mistake in any field is seen."""

    def head(self, headers: list[tuple[bytes, bytes]]) -> Place:
        place = super().head(headers)
        rest = repr([(name, value) for name, value in headers if name != b"traceparent"])
        return Place(rest.encode(), traceparent=place.traceparent)

    def whole(self, stream: int, route: Place, body: bytes) -> None:
        del stream
        self.calls.append((route.path, route.traceparent, body))


def listing() -> Wire:
    wire = Wire()
    app = Listing()
    wire.app, wire.engine = app, Http2Engine(app, wire.limits, 0.0)
    app.engine = wire.engine
    wire.engine.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 0.0)
    wire.take()
    return wire


def test_stock_blocks_are_read_once_and_each_carries_its_own_value() -> None:
    wire = listing()
    encoder = hpack.Encoder()
    for number in range(50):
        wire.put(call(2 * number + 1, block=encoder.encode(PLAIN) + as_grpc_writes_it(value(number))))
    assert [one[1] for one in wire.app.calls] == [value(number) for number in range(50)]
    assert len({one[0] for one in wire.app.calls}) == 1
    assert wire.app.heads == 1


def test_blocks_that_enter_the_table_are_decoded_and_judged_once() -> None:
    wire = listing()
    encoder = hpack.Encoder()
    for number in range(60):
        fields = [*PLAIN, ("traceparent", value(number).decode())]
        wire.put(call(2 * number + 1, block=encoder.encode(fields)))
    assert [one[1] for one in wire.app.calls] == [value(number) for number in range(60)]
    assert wire.app.heads == 1


def test_a_traced_caller_keeps_what_others_on_its_connection_have_cached() -> None:
    wire = listing()
    encoder = hpack.Encoder()
    encoder.encode(PLAIN)
    wire = listing()
    encoder = hpack.Encoder()
    for number in range(60):
        block = encoder.encode(PLAIN)
        wire.put(
            call(4 * number + 1, block=block), call(4 * number + 3, block=block + as_grpc_writes_it(value(number)))
        )
    assert wire.app.heads == 3, "the plain block that fills the table, the plain one that does not, the traced one"


@pytest.mark.parametrize(
    "bad",
    [b"", b"01", value(1)[:-1], value(1) + b"0", value(10).upper(), value(1)[:-1] + b"g", value(1)[:-1] + b"\n",
     value(1)[:20] + b"\x00" + value(1)[21:], b"00" + b"_" * 53],
)  # fmt: skip
def test_a_value_of_another_form_is_judged_by_itself(bad: bytes) -> None:
    wire = listing()
    encoder = hpack.Encoder()
    for number in range(3):
        wire.put(call(2 * number + 1, block=encoder.encode(PLAIN) + as_grpc_writes_it(value(number))))
    heads = wire.app.heads
    resets = wire.resets(call(7, block=encoder.encode(PLAIN) + as_grpc_writes_it(bad)))
    assert bool(resets) == any(byte in bad for byte in b"\x00\n\r")
    if not resets:
        assert wire.app.heads == heads + 1
        assert wire.app.calls[-1][1] == bad


def test_the_same_bytes_within_another_value_are_refused_each_time() -> None:
    wire = listing()
    encoder = hpack.Encoder()
    wire.put(call(1, block=encoder.encode(PLAIN) + as_grpc_writes_it(value(0))))
    for stream in (3, 5, 7):
        # They hold a NUL, which no value may hold; a field is what it seems only if one begins there.
        inner = as_grpc_writes_it(value(stream))
        block = encoder.encode(PLAIN) + b"\x00\x06parrot" + bytes([len(inner)]) + inner
        assert set(wire.resets(headers(stream, block), data(stream, b"body", end=True))) == {stream}
    assert len(wire.app.calls) == 1


def test_the_same_bytes_within_a_coded_value_are_no_field_of_their_own() -> None:
    wire = listing()
    encoder = hpack.Encoder()
    encoder.encode(PLAIN)
    wire.put(call(1, block=hpack.Encoder().encode(PLAIN)))
    for number in range(4):
        # By Huffman's code these bytes are ordinary letters.
        coded = as_grpc_writes_it(value(number)) + b"\x00\xff"
        block = encoder.encode(PLAIN) + b"\x00\x06parrot" + bytes([0x80 | len(coded)]) + coded
        wire.put(call(2 * number + 3, block=block + as_grpc_writes_it(value(50))))
    assert len({one[0] for one in wire.app.calls[1:]}) == 4
    assert [one[1] for one in wire.app.calls[1:]] == [value(50)] * 4


FIELD = st.one_of(
    st.integers(0, 3).map(lambda number: ("raw", b"traceparent", value(number))),
    st.integers(0, 3).map(lambda number: ("table", b"traceparent", value(number, "00"))),
    st.integers(0, 3).map(lambda number: ("huffman", b"traceparent", value(number))),
    st.sampled_from([b"", b"30S", b"29999m"]).map(lambda text: ("table", b"grpc-timeout", text)),
    st.sampled_from([b"", b"a", as_grpc_writes_it(value(9))[1:]]).map(lambda text: ("raw", b"parrot", text)),
    st.just(("never", b"traceparent", value(7))),
)


def written(encoder: Any, way: str, name: bytes, text: bytes) -> bytes:
    """Return one field, the way that some client would write it."""
    if way == "raw":
        return b"\x00" + bytes([len(name)]) + name + bytes([len(text)]) + text
    if way == "never":
        return b"\x10" + bytes([len(name)]) + name + bytes([len(text)]) + text
    return bytes(encoder.encode([(name, text, False)], huffman=way == "huffman"))


@given(st.lists(st.lists(FIELD, max_size=4), min_size=1, max_size=12), st.integers(1, 400))
def test_any_mixture_of_blocks_means_what_it_means_to_another_decoder(
    requests: list[list[tuple[str, bytes, bytes]]], cut: int
) -> None:
    wire = listing()
    encoder, oracle = hpack.Encoder(), hpack.Decoder()
    expected = []
    sent = b""
    for number, fields in enumerate(requests * 2):
        block = encoder.encode(PLAIN) + b"".join(written(encoder, *field) for field in fields)
        decoded = [(bytes(name), bytes(text)) for name, text in oracle.decode(block, raw=True)]
        traceparent = dict(decoded).get(b"traceparent", b"")
        rest = repr([one for one in decoded if one[0] != b"traceparent"]).encode()
        expected.append((rest, traceparent, b"%d" % number))
        sent += call(2 * number + 1, b"%d" % number, block)
    for start in range(0, len(sent), cut):
        wire.put(sent[start : start + cut])
    assert not wire.engine.closing
    assert wire.app.calls == expected
