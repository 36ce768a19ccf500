"""Put together what follows predictions: the choice on the loop, the export on a thread of its own."""

from dataclasses import asdict
from typing import Any, Protocol

from onecode_common.clock import Clock
from onecode_serving.domain.sampling import Share
from onecode_serving.rest.app import RestApp
from onecode_serving.rpc.server import RpcApp
from onecode_serving.tracing.recorder import Export, Recorder
from onecode_serving.tracing.rest import TracedRestApp
from onecode_serving.tracing.rpc import TracedRpcApp, followed_methods


class Exporter(Export, Protocol):
    """Where chosen predictions go, with a beginning and an end.

    Attributes:
        counts: A dataclass of numbers that only grow.
    """

    counts: Any

    def start(self) -> None:
        """Begin to send."""
        ...

    def stop(self) -> None:
        """Send what waits, within a bound."""
        ...


class Tracing:
    """Follows the predictions of one server.

    Args:
        exporter: Where chosen ones go.
        share: Which are chosen.
        clock: Of both kinds of time.

    Attributes:
        recorder: Chooses.
    """

    def __init__(self, exporter: Exporter, share: Share, clock: Clock) -> None:
        self._exporter = exporter
        self.recorder = Recorder(exporter, share, clock)
        self._methods = followed_methods(self.recorder)

    def start(self) -> None:
        """Begin to send."""
        self._exporter.start()

    def stop(self) -> None:
        """Send what waits, within a bound."""
        self._exporter.stop()

    def events(self) -> dict[str, int]:
        """Return what became of predictions that were worth a span, as numbers that only grow."""
        return {**asdict(self.recorder.counts), **asdict(self._exporter.counts)}

    def rpc_app(self, *more: Any) -> RpcApp:
        """Return what answers the calls of one HTTP/2 connection; arguments as of :class:`RpcApp`."""
        return TracedRpcApp(self.recorder, self._methods, *more)

    def rest_app(self, *more: Any) -> RestApp:
        """Return what answers the requests of one HTTP/1 connection; arguments as of :class:`RestApp`."""
        return TracedRestApp(self.recorder, *more)
