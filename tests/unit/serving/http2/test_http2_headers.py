"""Header blocks mean what RFC 7541 says, and a remembered block means it only as long as the table stands still."""

import pytest
from hpack import Decoder, Encoder
from http2_kit import Wire, block_for, call, data, headers
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.http2 import encode_block
from onecode_serving.http2.frames import COMPRESSION_ERROR, ProtocolError
from onecode_serving.http2.headers import HeaderDecoder

# RFC 7541, appendix C: (table size, [(block, fields, entries of the table afterwards)]).
C_2 = [
    ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [("custom-key", "custom-header")], 1),
    ("040c2f73616d706c652f70617468", [(":path", "/sample/path")], 0),
    ("100870617373776f726406736563726574", [("password", "secret")], 0),
    ("82", [(":method", "GET")], 0),
]
REQUESTS = [
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"),
     ("cache-control", "no-cache")],
    [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"),
     ("custom-key", "custom-value")],
]  # fmt: skip
C_3 = ["828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
       "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"]  # fmt: skip
C_4 = ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
       "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"]  # fmt: skip
DATE_21, DATE_22 = "Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"
PLACE = ("location", "https://www.example.com")
COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
RESPONSES = [
    [(":status", "302"), ("cache-control", "private"), ("date", DATE_21), PLACE],
    [(":status", "307"), ("cache-control", "private"), ("date", DATE_21), PLACE],
    [(":status", "200"), ("cache-control", "private"), ("date", DATE_22), PLACE, ("content-encoding", "gzip"),
     ("set-cookie", COOKIE)],
]  # fmt: skip
C_5 = [
    (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f77"
        "77772e6578616d706c652e636f6d"
    ),
    "4803333037c1c0bf",
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a"
        "584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31"
    ),
]
C_6 = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f36"
        "72c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    ),
]


def as_bytes(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields]


@pytest.mark.parametrize(("block", "fields", "stored"), C_2)
def test_the_rfcs_single_fields_are_read(block: str, fields: list[tuple[str, str]], stored: int) -> None:
    decoder = HeaderDecoder()
    assert decoder.decode(bytes.fromhex(block)) == (as_bytes(fields), bool(stored))


@pytest.mark.parametrize(
    ("blocks", "lists", "size"),
    [(C_3, REQUESTS, 4_096), (C_4, REQUESTS, 4_096), (C_5, RESPONSES, 256), (C_6, RESPONSES, 256)],
)
def test_the_rfcs_exchanges_are_read(blocks: list[str], lists: list[list[tuple[str, str]]], size: int) -> None:
    decoder = HeaderDecoder()
    decoder._table.maxsize = size
    for block, fields in zip(blocks, lists, strict=True):
        assert decoder.decode(bytes.fromhex(block))[0] == as_bytes(fields)


TEXT = st.text(st.characters(codec="ascii"), max_size=12)
FIELDS = st.lists(
    st.tuples(st.sampled_from([":path", ":method", "te", "x-a", "x-b", "grpc-timeout"]), TEXT)
    | st.tuples(TEXT.filter(bool), TEXT)
    | st.sampled_from([(":method", "POST"), (":scheme", "http"), ("accept-encoding", "gzip, deflate")]),
    max_size=12,
)


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.sampled_from([None, None, 0, 60, 200, 4_096])), max_size=6))
def test_what_an_encoder_writes_is_read(blocks: list[tuple[list[tuple[str, str]], bool, int | None]]) -> None:
    encoder, decoder = Encoder(), HeaderDecoder()
    for fields, huffman, resized in blocks:
        if resized is not None:
            encoder.header_table_size = resized
        assert decoder.decode(encoder.encode(as_bytes(fields), huffman=huffman))[0] == as_bytes(fields)


@given(st.lists(st.binary(max_size=40) | st.lists(st.integers(0, 255), max_size=30).map(bytes), max_size=4))
def test_any_bytes_mean_the_same_as_to_another_decoder(blocks: list[bytes]) -> None:
    ours, theirs = HeaderDecoder(), Decoder()
    for block in blocks:
        try:
            expected = [(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)]
        except Exception:  # noqa: BLE001 - hpack lets an IndexError through for some blocks that end early
            with pytest.raises(ProtocolError) as caught:
                ours.decode(block)
            assert caught.value.number == COMPRESSION_ERROR
            return
        assert ours.decode(block)[0] == expected


@given(FIELDS)
def test_our_blocks_are_read_by_any_decoder_in_any_state(fields: list[tuple[str, str]]) -> None:
    decoder = Decoder()
    decoder.decode(Encoder().encode([("x-a", "1"), ("x-b", "2")]))
    before = list(decoder.header_table.dynamic_entries)
    read = [tuple(one) for one in decoder.decode(encode_block(fields), raw=True)]
    assert read == as_bytes(fields)
    assert list(decoder.header_table.dynamic_entries) == before


def test_long_values_are_encoded() -> None:
    fields = [("x-long", "v" * length) for length in (126, 127, 128, 254, 255, 256, 16_000)]
    assert [tuple(one) for one in Decoder().decode(encode_block(fields), raw=True)] == as_bytes(fields)


ECHO = [(":method", "POST"), (":scheme", "http"), (":path", "/echo")]


def test_a_block_that_changes_the_table_is_read_each_time() -> None:
    """Remembered by its bytes alone, it would hide an entry from the table and shift all later ones."""
    wire = Wire()
    storing = b"\x83\x86\x44\x05/echo\x40\x01x\x01%d"
    for stream, name in ((1, b"1"), (3, b"2"), (5, b"1")):
        wire.put(call(stream, block=storing.replace(b"%d", name)))
    assert wire.app.heads == 3
    assert wire.engine._blocks.known == {}


def test_remembered_blocks_are_forgotten_when_the_table_changes() -> None:
    """The same bytes then name another method."""
    wire = Wire()
    wire.put(call(1, block=b"\x83\x86\x44\x05/echo"))  # stores :path /echo as entry 62
    again = b"\x83\x86\xbe"
    wire.put(call(3, b"a", again), call(5, b"b", again))
    assert wire.app.heads == 2
    wire.put(call(7, block=b"\x83\x86\x44\x06/unary"))  # now entry 62 is /unary
    wire.put(call(9, b"c", again))
    assert [entry[1:3] for entry in wire.app.calls] == [
        (1, b"/echo"),
        (3, b"/echo"),
        (5, b"/echo"),
        (7, b"/unary"),
        (9, b"/unary"),
    ]


def test_a_table_update_forgets_too() -> None:
    wire = Wire()
    wire.put(call(1, block=b"\x83\x86\x44\x05/echo"), call(3, block=b"\x83\x86\xbe"))
    assert (
        wire.ended_by(call(5, block=b"\x20" + encode_block(ECHO)), call(7, block=b"\x83\x86\xbe")) == COMPRESSION_ERROR
    )


@pytest.mark.parametrize(
    "end", [headers(1, encode_block([("x", "1")]), end=True), headers(1, b"\x40\x01x\x011", end=True)]
)
def test_trailers_keep_the_table_in_step(end: bytes) -> None:
    encoder = Encoder()
    encoder.encode(ECHO)
    wire = Wire()
    wire.put(headers(1, block_for("/unary")), data(1, b"x"), end)
    assert wire.app.calls == [("whole", 1, b"/unary", b"x")]


def test_a_stock_client_is_judged_once_for_each_method() -> None:
    encoder = Encoder()
    stock = [
        *[(":method", "POST"), (":scheme", "http"), (":authority", "here:8001"), ("te", "trailers")],
        ("content-type", "application/grpc"),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
    ]
    wire = Wire()
    for number in range(200):
        path = "/echo" if number % 2 else "/unary"
        wire.put(call(2 * number + 1, block=encoder.encode([(":path", path), *stock])))
        wire.engine.reset(2 * number + 1)
    # Once while its block fills the table, once while it settles.
    assert wire.app.heads <= 4
    assert len(wire.app.calls) == 200
