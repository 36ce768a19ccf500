"""Make the engine of each HTTP/1 connection, over what all of them share."""

from collections.abc import Callable
from dataclasses import replace

from onecode_serving.access.access import Access
from onecode_serving.http1.body import Budget
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.http1.limits import Http1Limits
from onecode_serving.oip.service import OipService
from onecode_serving.rest.app import RestApp
from onecode_serving.rest.control import Control
from onecode_serving.rest.offload import Offload
from onecode_serving.rest.planned import Plans
from onecode_serving.rest.route import RestRoute


class RestFace:
    """The protocol over HTTP/1.1; used by the loop's thread only.

    Args:
        service: Answers.
        access: Lets in.
        max_message: Bytes of a body, before and after decompression.
        limits: Of one connection.
        offload: Where slow work goes; None: it stays on the loop.
        clock: Monotonic seconds, the data plane's.
        budget: Counts what is kept of unfinished bodies of all connections; None: nobody counts.
        app: Makes what answers the requests of one connection.
    """

    def __init__(
        self,
        service: OipService,
        access: Access,
        max_message: int,
        *,
        limits: Http1Limits | None = None,
        offload: Offload | None = None,
        clock: Callable[[], float] | None = None,
        budget: Budget | None = None,
        app: Callable[..., RestApp] = RestApp,
    ) -> None:
        self._service = service
        self._access = access
        self._max_message = max_message
        base = limits or Http1Limits()
        # A refused body is read to its end, so that stock clients, which send all before they read, see the refusal.
        self._limits = replace(base, drain_bytes=max(base.drain_bytes, max_message))
        self._offload = offload
        self._budget = budget
        self._app = app
        self._clock = clock or service.clock.monotonic
        self._control = Control(service)
        self._plans = Plans(service.plane)
        service.plane.watch(self._plans.clear)

    def engine(self, certificate: str | None, touch: Callable[[], None], now: float) -> Http1Engine[RestRoute]:
        """Return the engine of a new connection.

        Args:
            certificate: Name in the caller's verified certificate, if it showed one.
            touch: Tells the connection that there is something to write.
            now: Monotonic seconds.
        """
        app = self._app(
            self._service,
            self._control,
            self._plans,
            self._access,
            certificate,
            touch,
            self._max_message,
            self._offload,
            self._clock,
        )
        app.engine = Http1Engine(app, self._limits, now, self._budget)
        return app.engine
