"""A data plane whose turns and threads are run by the test, one at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import serving_models as make

from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_serving.call_log import CallLog
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Tensor
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion


class ManualTurns:
    """An event loop that turns when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()

    def until_quiet(self) -> None:
        for _ in range(1000):
            if not self.waiting:
                return
            self.turn()
        message = "the loop never became quiet"
        raise AssertionError(message)


class ManualPool(Executor):
    """A pool whose work is done when the test says so."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.work.append(lambda: fn(*args, **kwargs))
        return Future()

    def do(self, index: int = 0) -> None:
        self.work.pop(index)()


class Catcher:
    """A sink that remembers what it was told."""

    def __init__(self) -> None:
        self.answers: dict[int, tuple[str, Shapes, list[bytes]]] = {}
        self.errors: dict[int, OnecodeError] = {}

    def answered(self, key: int, _plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> None:
        assert key not in self.answers
        assert key not in self.errors
        self.answers[key] = (target.digest, shapes, list(raws))

    def refused(self, key: int, error: OnecodeError) -> None:
        assert key not in self.answers
        assert key not in self.errors
        self.errors[key] = error


class Bench:
    """One plane with its turns, its pool, and a catcher."""

    def __init__(self, *versions: ServedVersion, workers: int = 1, call_log: CallLog | None = None) -> None:
        self.turns, self.pool, self.sink = ManualTurns(), ManualPool(), Catcher()
        self.counters = Counters(60)
        self.plane = DataPlane(self.counters, SystemClock(), draw=lambda: 0, call_log=call_log)
        for version in versions:
            self.plane.install(version)
        self.plane.set_routes({one.model: full_route(one.model, one.digest, one.release) for one in versions})
        self.plane.attach(self.turns, self.pool, workers)
        self._plans: dict[tuple[str, int, str], Plan] = {}

    def ask(self, key: int, rows: np.ndarray, model: str = "m", *, left_s: float = 60.0) -> Any:
        """Submit rows as a planned request."""
        name = ("planned", rows.shape[0], model)
        plan = self._plans.get(name)
        if plan is None or plan.generation != self.plane.generation:
            plan = self.plane.plan(request(rows * 0 + 1, model))
            assert plan is not None
            self._plans[name] = plan
        now = SystemClock().monotonic()
        return self.plane.submit_planned(plan, rows.tobytes(), now + left_s, None, self.sink, key, now)

    def ask_general(self, rows: np.ndarray, model: str = "m", **more: Any) -> list[InferenceReply | OnecodeError]:
        """Submit rows as a general request; the list fills when it is answered."""
        told: list[InferenceReply | OnecodeError] = []
        self.plane.submit(request(rows, model, **more), told.append)
        return told


def request(rows: np.ndarray, model: str = "m", name: str = "features", **more: Any) -> InferenceRequest:
    """Return the request for FP32 rows."""
    return InferenceRequest(model, (Tensor(name, "FP32", rows.shape, raw=rows.tobytes()),), **more)


def loaded(content: bytes, model: str = "m", release: int = 1) -> ServedVersion:
    """Return a served version of a model's bytes, whose price does not depend on what else the machine does."""
    built = make.built(model, release, content)
    version = load_version(built.manifest, built.onnx)
    version.cost, version.limit = Cost(5e-6, 1e-7), 64
    return version


def rows_of(*values: float) -> np.ndarray:
    """Return one row for each value, filled with it."""
    return np.repeat(np.array(values, np.float32)[:, None], make.FEATURES, axis=1)
