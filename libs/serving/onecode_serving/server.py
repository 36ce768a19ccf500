"""Put the model server together: one data plane, every face, one loop."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast
from weakref import WeakSet

from onecode_serving.access.access import Access
from onecode_serving.data_plane import DataPlane
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.http1.limits import Http1Counts, Http1Limits
from onecode_serving.http2 import Budget, Http2Counts, Http2Engine, Http2Limits
from onecode_serving.http2.limits import WAITING_BYTES
from onecode_serving.http2.ports import App
from onecode_serving.listen.faces import ConnectionFacts
from onecode_serving.listen.server import OipServer
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.loading import BEHIND, step_back
from onecode_serving.oip.options import OipOptions
from onecode_serving.oip.service import OipService
from onecode_serving.rest.app import RestApp
from onecode_serving.rest.face import RestFace
from onecode_serving.rest.offload import Offload
from onecode_serving.rest.route import RestRoute
from onecode_serving.rpc.server import RpcApp

_EXPIRE_BEATS = 5
"""Beats between looks at calls that wait for something else than a model: all connections are asked."""


class LoopTurns:
    """The event loop as the data plane sees it.

    Args:
        loop: It.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        # On asyncio a second hop gathers what is readable in the same poll; on uvloop one is enough.
        one_hop = not isinstance(loop, asyncio.BaseEventLoop)
        self.soon: Callable[[Callable[[], None]], object] = loop.call_soon if one_hop else self._two_hops
        self._threadsafe = loop.call_soon_threadsafe

    def _two_hops(self, callback: Callable[[], None]) -> None:
        self._call_soon(self._call_soon, callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        """Call back on the loop's thread; silently nothing once the loop has ended."""
        try:
            self._threadsafe(callback)
        except RuntimeError:
            return


class Bounds(NamedTuple):
    """What one connection may cost, by protocol; and the bytes that wait for slow peers on all of them."""

    http2: Http2Limits = Http2Limits()
    http1: Http1Limits = Http1Limits()
    waiting_bytes: int = WAITING_BYTES


class _Faces:
    """Makes the engine of each connection; what they share lives here."""

    def __init__(self, plane: DataPlane, access: Access, service: OipService, max_message: int, bounds: Bounds) -> None:
        self._plane = plane
        self._access = access
        self._service = service
        self._max_message = max_message
        self._bounds = bounds
        self.budget = Budget(bounds.waiting_bytes)
        tracing = plane.tracing
        self._rpc_app = RpcApp if tracing is None else tracing.rpc_app
        self._rest_app = RestApp if tracing is None else tracing.rest_app
        self._rest = self._rest_face(None)
        self._apps: WeakSet[RpcApp] = WeakSet()
        self.http2_counts = Http2Counts()
        self.http1_counts = Http1Counts()

    def begin(self, offload: Offload) -> None:
        """Take the pool for slow work, which exists once the loop does."""
        self._rest = self._rest_face(offload)

    def _rest_face(self, offload: Offload | None) -> RestFace:
        return RestFace(
            self._service,
            self._access,
            self._max_message,
            limits=self._bounds.http1,
            offload=offload,
            budget=self.budget,
            app=self._rest_app,
        )

    def http2(self, facts: ConnectionFacts, now: float) -> Http2Engine:
        """Return the engine of an HTTP/2 connection."""
        app = self._rpc_app(
            self._service,
            self._plane,
            self._access,
            facts.certificate,
            facts.touch,
            self._max_message,
        )
        # The engine hands every route back to the app that made it.
        app.engine = Http2Engine(cast("App", app), self._bounds.http2, now, self.budget, self.http2_counts)
        self._apps.add(app)
        return app.engine

    def http1(self, facts: ConnectionFacts, now: float) -> Http1Engine[RestRoute]:
        """Return the engine of an HTTP/1 connection."""
        engine = self._rest.engine(facts.certificate, facts.touch, now)
        engine.counts = self.http1_counts
        return engine

    def expire(self, now: float) -> None:
        """Refuse calls that are late."""
        for app in list(self._apps):
            app.expire(now)


class ModelServer:
    """Every face of one data plane, as a part of a program.

    Args:
        plane: Answers.
        access: Lets in.
        settings: Where to listen and how much to bear.
        options: What callers may do beyond predictions.
        bounds: Of each connection.

    Attributes:
        service: What both faces share.
        server: The listener.
    """

    name = "oip"

    def __init__(
        self,
        plane: DataPlane,
        access: Access,
        settings: ListenSettings,
        options: OipOptions | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._plane = plane
        self._access = access
        self.service = OipService(plane, options)
        self._faces = _Faces(plane, access, self.service, settings.max_message, bounds or Bounds())
        self._pool = ThreadPoolExecutor(usable_cores(), "model", step_back, (BEHIND,))
        self._beats = 0
        self.server = OipServer(plane, self._faces, settings, began=self._began, beat=self._beat)

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports in the order of the addresses."""
        return self.server.ports

    @property
    def guards(self) -> Mapping[str, Http1Counts | Http2Counts]:
        """What peers did wrong, over all connections, by protocol."""
        return {"h2": self._faces.http2_counts, "http/1.1": self._faces.http1_counts}

    @property
    def traces(self) -> Mapping[str, int]:
        """What became of predictions that were worth a span; nothing where nobody follows them."""
        return {} if self._plane.tracing is None else self._plane.tracing.events()

    def start(self) -> None:
        """Listen.

        Raises:
            ConflictError: A port is taken.
            InvalidError: The addresses or TLS files do not fit.
        """
        if self._plane.call_log is not None:
            self._plane.call_log.start()
        if self._plane.tracing is not None:
            self._plane.tracing.start()
        self.server.start()

    def stop(self, *, last: bool = True) -> None:
        """Take no new requests and finish those in hand; see :meth:`OipServer.stop`."""
        self.server.stop(last=last)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._plane.shadows.stop()
        self.service.close()
        if self._plane.call_log is not None:
            self._plane.call_log.stop()
        if self._plane.tracing is not None:
            self._plane.tracing.stop()

    def ready(self) -> str | None:
        """Return why it does not listen, or None; whether models answer is another part's question."""
        return self.server.alive()

    def alive(self) -> str | None:
        """Return why this process should be restarted, or None."""
        return self.server.alive()

    def _began(self, loop: asyncio.AbstractEventLoop) -> None:
        turns = LoopTurns(loop)
        self._plane.attach(turns, self._pool, usable_cores())
        self._faces.begin(Offload(self._pool, turns.from_thread))

    def _beat(self) -> None:
        self._plane.tick()
        # A key that was revoked is refused from the next beat on, also where its header is remembered.
        self._access.refresh()
        self._beats += 1
        if self._beats % _EXPIRE_BEATS == 0:
            self._faces.expire(time.monotonic())


def usable_cores() -> int:
    """Return the cores that this process may run on."""
    return len(os.sched_getaffinity(0))
