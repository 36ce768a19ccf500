"""The protocol without a wire: a stock client's messages in, a stock client's messages out."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import serving_models as make
from oip_models import OPTIONS, versions
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult, service_pb2

from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_serving.access.grant import Grant, Meters
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.domain.tenants import Tenant
from onecode_serving.oip.calls import Stream
from onecode_serving.oip.methods import METHODS
from onecode_serving.oip.options import OipOptions
from onecode_serving.oip.service import OipService

SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
EVERYTHING = frozenset({"read", "infer", "admin"})


def grant_of(principal: str = "press-3", **rules: Any) -> Grant:
    """Return what a caller with these rules may do; by default everything."""
    return Grant(Tenant(principal, **{"verbs": EVERYTHING, **rules}), Meters())


class Turns:
    """An event loop that turns when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def run(self) -> None:
        """Turn until nothing waits."""
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            for callback in waiting:
                callback()


class Pool(Executor):
    """Threads without threads: what is handed over is done at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Call:
    """One unary call, answered or not."""

    def __init__(self, deadline: float, grant: Grant | None, unit: str | None) -> None:
        self.deadline = deadline
        self.grant = grant
        self.unit = unit
        self.metadata: Mapping[str, str] = {}
        self.answer: bytes | OnecodeError | None = None
        self.cancels: list[Callable[[], None]] = []

    def reply(self, message: bytes) -> None:
        assert self.answer is None, "answered twice"
        self.answer = message

    def fail(self, error: OnecodeError) -> None:
        assert self.answer is None, "answered twice"
        self.answer = error

    def on_cancel(self, callback: Callable[[], None]) -> None:
        self.cancels.append(callback)


class StreamCall:
    """One streaming call; ``ended`` is None while it lives, True when it ended well, else the error."""

    def __init__(self, grant: Grant | None, metadata: Mapping[str, str] | None = None) -> None:
        self.grant = grant
        self.unit: str | None = None
        self.metadata = metadata or {}
        self.sent: list[bytes] = []
        self.ended: bool | OnecodeError | None = None
        self.paused = False
        self.waiting_bytes = 0
        self.renewed: Grant | OnecodeError | None = None

    def admitted(self, now: float) -> Grant | None:
        assert self.grant is None or self.grant.until <= now, "asked although the grant is good"
        if isinstance(self.renewed, OnecodeError):
            raise self.renewed
        return self.renewed

    def send(self, message: bytes) -> None:
        assert self.ended is None, "sent after the end"
        self.sent.append(message)

    def finish(self, error: OnecodeError | None = None) -> None:
        assert self.ended is None, "ended twice"
        self.ended = error or True

    def pending(self) -> int:
        return self.waiting_bytes

    def pause(self) -> None:
        self.paused = True

    def unpause(self) -> None:
        self.paused = False

    def replies(self) -> list[Any]:
        """Return what was sent as the stock client's messages, and forget it."""
        sent, self.sent = self.sent, []
        return [service_pb2.ModelStreamInferResponse.FromString(one) for one in sent]


class Face:
    """A data plane with small models behind the protocol's methods."""

    def __init__(self, options: OipOptions | None = None) -> None:
        self.turns = Turns()
        self.plane = DataPlane(Counters(3600), SystemClock())
        self.plane.attach(self.turns, Pool(), 1)
        self.plane.set_options(OPTIONS)
        for version in versions():
            self.plane.install(version)
        routes = {one.model: full_route(one.model, one.digest, one.release) for one in versions()}
        self.plane.set_routes(routes)
        self.plane.announce({"waiting": "it is on its way"}, None)
        self.service = OipService(self.plane, options)
        self.grant: Grant | None = grant_of()

    def begin(self, path: str, body: bytes, *, unit: str | None = None, deadline: float | None = None) -> Call:
        """Make a unary call and return it, answered or not."""
        call = Call(self.plane.deadline(None) if deadline is None else deadline, self.grant, unit)
        answer = METHODS[path.encode()].answer
        assert answer is not None
        try:
            message = answer(self.service, body, call)
        except OnecodeError as error:
            call.fail(error)
        else:
            if message is not None:
                call.reply(message)
        return call

    def bytes_of(self, path: str, body: bytes, **how: Any) -> bytes:
        """Make a unary call and return its answer; raises its error."""
        call = self.begin(path, body, **how)
        self.turns.run()
        if isinstance(call.answer, OnecodeError):
            raise call.answer
        assert call.answer is not None, "not answered"
        return call.answer

    def ask(self, name: str, request: Any = None, /, **fields: Any) -> Any:
        """Call a method of the stock client's service with its message, or one made of fields."""
        method = SERVICE.methods_by_name[name]
        if request is None:
            request = getattr(service_pb2, method.input_type.name)(**fields)
        answer = self.bytes_of(f"/inference.GRPCInferenceService/{name}", request.SerializeToString())
        return getattr(service_pb2, method.output_type.name).FromString(answer)

    def infer(self, request: Any, **how: Any) -> InferResult:
        """Predict with a stock message and return the stock client's result."""
        body = self.bytes_of("/inference.GRPCInferenceService/ModelInfer", request.SerializeToString(), **how)
        return InferResult(service_pb2.ModelInferResponse.FromString(body))

    def stream(self, path: str, metadata: Mapping[str, str] | None = None) -> tuple[Stream, StreamCall]:
        """Open a stream."""
        call = StreamCall(self.grant, metadata)
        opener = METHODS[path.encode()].stream
        assert opener is not None
        return opener(self.service, call), call


def tensor(name: str, array: Any, datatype: str) -> InferInput:
    """Return an input as a stock client makes it."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def request(model: str, *inputs: InferInput, outputs: Sequence[InferRequestedOutput] = (), **fields: Any) -> Any:
    """Return a request as a stock client makes it."""
    message = service_pb2.ModelInferRequest(model_name=model, **fields)
    for one in inputs:
        message.inputs.append(one._get_tensor())
        if one._get_content() is not None:
            message.raw_input_contents.append(one._get_content())
    message.outputs.extend(one._get_tensor() for one in outputs)
    return message


def features(rows: int = 1, seed: int = 3) -> Any:
    """Return rows for ``dense`` and its like."""
    return np.abs(np.random.default_rng(seed).normal(size=(rows, make.FEATURES))).astype(np.float32)
