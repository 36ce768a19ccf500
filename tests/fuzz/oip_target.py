"""Try to make the protocol do something else than answer or refuse: for hypothesis, atheris, or a loop of one's own.

The first byte chooses: a prediction, a stream of messages, any other call, or the split of a request; the rest are the
bytes of the message. A refusal is one of our errors; every request is answered once; every answer can be read.
"""

import functools
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.oip.methods import METHODS
from onecode_serving.oip.planning import split_head, split_request
from onecode_serving.oip.service import OipService
from onecode_serving.oip.wire import pb

INFER = b"/inference.GRPCInferenceService/ModelInfer"
STREAM = b"/inference.GRPCInferenceService/ModelStreamInfer"
UNARY = [path for path, method in sorted(METHODS.items()) if method.answer is not None]
STREAMS = [path for path, method in sorted(METHODS.items()) if method.stream is not None]
MODELS_OWN_FAULTS = {"model.failed", "model.non_finite_output", "model.wrong_output"}
UNDECODABLE = "rpc.undecodable"


class Turns:
    """An event loop that turns when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def run(self) -> None:
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            for callback in waiting:
                callback()


class Pool(Executor):
    """Threads without threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Call:
    """A call of either kind; remembers what came back."""

    grant = None
    unit = None

    def __init__(self) -> None:
        self.deadline = float("inf")
        self.metadata: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.error: OnecodeError | None = None
        self.ended = 0

    def reply(self, message: bytes) -> None:
        self.sent.append(message)
        self.ended += 1

    def fail(self, error: OnecodeError) -> None:
        self.error = error
        self.ended += 1

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Nobody goes away here."""

    def send(self, message: bytes) -> None:
        assert not self.ended, "sent after the end"
        self.sent.append(message)

    def finish(self, error: OnecodeError | None = None) -> None:
        self.error = error
        self.ended += 1

    def pending(self) -> int:
        return 0

    def pause(self) -> None:
        """The bytes are here already."""

    def unpause(self) -> None:
        """Alike."""


@functools.cache
def served() -> tuple[OipService, Turns]:
    """Return a service over small models, made once."""
    unit = Path(__file__).resolve().parents[1] / "unit" / "serving"
    sys.path[:0] = [str(unit / "oip"), str(unit)]
    from oip_models import OPTIONS, versions

    turns = Turns()
    plane = DataPlane(Counters(3600), SystemClock())
    plane.attach(turns, Pool(), 1)
    plane.set_options(OPTIONS)
    for version in versions():
        plane.install(version)
    plane.set_routes({one.model: full_route(one.model, one.digest, one.release) for one in versions()})
    return OipService(plane), turns


def fuzz_infer_request(data: bytes) -> None:
    """Use the bytes; raises AssertionError or a surprise if the protocol does not keep its word."""
    if not data:
        return
    kind, rest = data[0], data[1:]
    if kind % 4 == 0:
        _unary(INFER, rest)
    elif kind % 4 == 1:
        _streamed(STREAMS[kind // 4 % len(STREAMS)], rest)
    elif kind % 4 == 2:
        _unary(UNARY[kind // 4 % len(UNARY)], rest)
    else:
        _split(rest)


def _unary(path: bytes, body: bytes) -> None:
    service, turns = served()
    answer = METHODS[path].answer
    assert answer is not None
    call = Call()
    try:
        reply = answer(service, body, call)
    except OnecodeError as error:
        call.fail(error)
    else:
        if reply is not None:
            call.reply(reply)
    turns.run()
    assert call.ended == 1, f"{path!r}: answered {call.ended} times"
    _require_honest(call.error)
    if path == INFER and call.sent:
        request, response = pb.ModelInferRequest.FromString(body), pb.ModelInferResponse.FromString(call.sent[0])
        assert (response.id, response.model_name) == (request.id, request.model_name)
        assert len(response.raw_output_contents) == len(response.outputs)


def _streamed(path: bytes, data: bytes) -> None:
    service, turns = served()
    opener = METHODS[path].stream
    assert opener is not None
    call = Call()
    try:
        stream = opener(service, call)
    except OnecodeError:
        return
    asked = 0
    # A byte of length before each message; 255 turns the loop.
    while data and not call.ended:
        size, data = data[0], data[1:]
        if size == 0xFF:
            turns.run()
            continue
        stream.message(data[:size])
        asked += 1
        data = data[size:]
    if not call.ended:
        stream.half_close()
    turns.run()
    if path == STREAM:
        assert (call.ended, call.error, len(call.sent)) == (1, None, asked)
        for one in call.sent:
            message = pb.ModelStreamInferResponse.FromString(one)
            assert message.error_message or message.infer_response.outputs
    stream.cancelled()
    turns.run()


def _split(body: bytes) -> None:
    start, parts = split_head(body), split_request(body)
    assert parts is None or parts.start == start
    if start is None:
        return
    call = Call()
    try:
        message = pb.ModelInferRequest.FromString(body)
    except Exception:  # noqa: BLE001 - the runtime's refusal of what lies inside of fields
        return
    assert call.error is None
    assert list(message.raw_input_contents) == [body[start:]]
    assert parts is None or parts.request_id.decode() == message.id


def _require_honest(error: OnecodeError | None) -> None:
    """Only the model may fail; whatever the caller sends is its own fault, and says so."""
    if error is not None:
        assert error.kind != "internal" or error.code in MODELS_OWN_FAULTS, error.message
        assert error.message
        error.message.encode("utf-8", "backslashreplace")


def seeds() -> list[bytes]:
    """Return messages that get far."""
    message = pb.ModelInferRequest(model_name="plus", id="7")
    message.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    message.raw_input_contents.append(bytes(16))
    raw = message.SerializeToString()
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend([1.0] * 4)
    message.parameters["sequence_id"].int64_param = 7
    message.outputs.add(name="prediction").parameters["classification"].int64_param = 2
    typed = message.SerializeToString()
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    message.inputs[0].parameters["shared_memory_byte_size"].int64_param = 16
    shared = message.SerializeToString()
    named = pb.ModelConfigRequest(name="dense", version="1").SerializeToString()
    bodies = [raw, typed, shared, named]
    streamed = b"".join(bytes([len(one)]) + one for one in bodies if len(one) < 0xFF)
    stream = bytes([1 + 4 * STREAMS.index(STREAM)])
    return [bytes([kind]) + body for body in bodies for kind in (0, 2, 3)] + [stream + streamed + b"\xff" + streamed]
