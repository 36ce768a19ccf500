"""Hold the helper processes of a run: the load on its core, and onnxruntime alone on the server's core."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import NamedTuple, ParamSpec, Self, TypeVar

from bench.serving.machine import LOAD_CORE, SERVER_CORE, pin
from bench.serving.models import Model, build

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """All of them; each begins when it is first asked for something, and is idle but for that."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._load = ProcessPoolExecutor(1, context, initializer=pin, initargs=(LOAD_CORE,))
        self._beside = ProcessPoolExecutor(1, context, initializer=pin, initargs=(LOAD_CORE,))
        self._raw = ProcessPoolExecutor(1, context, initializer=pin, initargs=(SERVER_CORE,))

    def load(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do something in the load process."""
        return self.begin(work, *args, **kwargs).result()

    def begin(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Begin something in the load process."""
        return self._load.submit(work, *args, **kwargs)

    def beside(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Begin something in a second load process, on the core of the first."""
        return self._beside.submit(work, *args, **kwargs)

    def raw(self, model: str, seconds: float) -> "Raw":
        """Return how fast onnxruntime alone answers one row."""
        return self._raw.submit(raw_rate, model, seconds).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._load.shutdown()
        self._beside.shutdown()
        self._raw.shutdown()


class Raw(NamedTuple):
    """Runs of one row: in a second, in a second of CPU time, and in a second by the session's inner object."""

    rate: float
    cpu_rate: float
    inner_rate: float


def raw_rate(name: str, seconds: float) -> Raw:
    """Return how fast this process runs one row.

    Measured twice: by the public ``run``, which is what a program without a server would call, and by the object below
    it, which the server calls because it checks nothing again.
    """
    model = build(name)
    session = model.session()
    rate, cpu_rate = _runs(session.run, model, seconds / 2)
    inner_rate, _ = _runs(session._sess.run, model, seconds / 2)  # noqa: SLF001 - see above
    return Raw(rate, cpu_rate, inner_rate)


def _runs(run: Callable[..., object], model: Model, seconds: float) -> tuple[float, float]:
    names = [one.name for one in model.outputs]
    feeds = [{model.input.name: row} for row in model.rows()]
    count, begin, cpu = 0, time.perf_counter(), time.process_time()
    ends = begin + seconds
    while (now := time.perf_counter()) < ends:
        for feed in feeds:
            run(names, feed, None)
        count += len(feeds)
    return count / (now - begin), count / (time.process_time() - cpu)


def root_pid() -> int:
    """Return the process below which everything of this bench runs."""
    return os.getpid()
