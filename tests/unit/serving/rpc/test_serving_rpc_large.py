"""A message that is too large is refused by its length prefix: none of its bytes is waited for or kept (H9)."""

import struct
import tracemalloc
import zlib

import pytest
import serving_models as make

from onecode_common.clock import SystemClock
from onecode_common.errors import ExhaustedError
from onecode_serving.access.access import Access
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.http2 import Budget, Http2Engine, Http2Limits, encode_block
from onecode_serving.http2.frames import PREFACE
from onecode_serving.loading import load_version
from onecode_serving.oip.service import OipService
from onecode_serving.rpc.framing import Framer
from onecode_serving.rpc.server import RpcApp

LIMIT = 10_000
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def head(stream: int, method: str, *more: tuple[str, str]) -> bytes:
    path = f"/inference.GRPCInferenceService/{method}"
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), ("content-type", "application/grpc")]
    return frame(HEADERS, END_HEADERS, stream, encode_block([*fields, *more]))


def prefix(size: int, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, size)


class Wire:
    """One connection, in process."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.plane = DataPlane(Counters(60), clock)
        built = make.built("plus", 1, make.plus(1))
        version = load_version(built.manifest, built.onnx)
        self.plane.install(version)
        self.plane.set_routes({"plus": full_route("plus", version.digest, 1)})
        access = Access(anonymous=True, addresses=("127.0.0.1:0",), tokens_file=None, clock=clock)
        self.budget = Budget()
        app = RpcApp(OipService(self.plane), self.plane, access, None, lambda: None, LIMIT)
        self.engine = app.engine = Http2Engine(app, Http2Limits(), 0.0, self.budget)  # type: ignore[arg-type]
        self.put(PREFACE, frame(SETTINGS, 0, 0, b""))

    def put(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            self.engine.receive(piece, 1.0)
        return self.engine.take()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer", "ServerLive"])
@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("flag", [0, 1])
def test_the_prefix_is_enough_for_a_refusal(method: str, size: int, flag: int) -> None:
    wire = Wire()
    first = prefix(size, flag)
    assert wire.put(head(1, method), frame(DATA, 0, 1, first[:3])) == b""
    answer = wire.put(frame(DATA, 0, 1, first[3:] + b"the first bytes"))
    assert b"grpc-status\x018" in answer
    assert b"10000 bytes" in answer
    assert wire.budget.used == 0
    assert wire.engine.idle


@pytest.mark.parametrize("cut", [5, 1005])
def test_a_message_of_the_limit_is_taken(cut: int) -> None:
    wire = Wire()
    message = prefix(LIMIT) + b"\xff" * LIMIT
    answer = wire.put(
        head(1, "ModelInfer"), frame(DATA, 0, 1, message[:cut]), frame(DATA, END_STREAM, 1, message[cut:])
    )
    assert b"grpc-status\x013" in answer, "it is read, and is no message of the protocol"


def test_one_frame_and_many_are_refused_in_the_same_words() -> None:
    body = prefix(LIMIT + 1) + b"short"
    one = Wire().put(head(1, "ModelInfer"), frame(DATA, END_STREAM, 1, body))
    many = Wire().put(head(1, "ModelInfer"), frame(DATA, 0, 1, body[:7]), frame(DATA, END_STREAM, 1, body[7:]))
    assert one == many[: len(one)]


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
def test_a_bomb_is_given_up_at_the_limit(method: str, encoding: str, wbits: int) -> None:
    engine = zlib.compressobj(9, wbits=wbits)
    bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(8)) + engine.flush()
    assert len(bomb) < LIMIT < 8 << 20
    wire = Wire()
    body = prefix(len(bomb), 1) + bomb
    tracemalloc.start()
    try:
        answer = wire.put(head(1, method, ("grpc-encoding", encoding)), frame(DATA, 0, 1, body), frame(DATA, 1, 1, b""))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert b"grpc-status\x018" in answer
    assert b"10000 bytes" in answer


def test_a_stream_keeps_nothing_of_what_it_refuses() -> None:
    framer = Framer("", LIMIT)
    assert framer.feed(prefix(3) + b"abc" + prefix(LIMIT + 1)[:4]) == [b"abc"]
    with pytest.raises(ExhaustedError, match="limit"):
        framer.feed(prefix(LIMIT + 1)[4:] + bytes(LIMIT))
    framer.finish()
