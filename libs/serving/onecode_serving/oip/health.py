"""Answer gRPC's own health protocol: for the server, for the protocol's service, and for each model by its name."""

from collections.abc import Callable

from onecode_common.errors import InvalidError, NotFoundError
from onecode_serving.access.grant import Grant
from onecode_serving.oip.calls import Call, StreamCall
from onecode_serving.oip.service import OipService
from onecode_serving.oip.wire import health, parsed

SERVICE = "inference.GRPCInferenceService"

_SERVING = health.HealthCheckResponse.SERVING
_NOT_SERVING = health.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health.HealthCheckResponse.SERVICE_UNKNOWN


def check(service: OipService, body: bytes, call: Call) -> bytes:
    """Say whether a service answers now.

    Raises:
        NotFoundError: It is neither ours nor a model of ours.
    """
    name = parsed(health.HealthCheckRequest, body).service
    found = _status(service, name, call.grant)
    if found == _UNKNOWN:
        message = f"service {name[:80]!r} is not known: ask for nothing, {SERVICE} or a model"
        raise NotFoundError(message, code="health.unknown", params={"field": "service", "got": name[:80]})
    return _encoded(found)


class Watch:
    """Tells a caller of each change of one service's state, until it goes away.

    Args:
        service: Whose state.
        call: Who is told.
    """

    def __init__(self, service: OipService, call: StreamCall) -> None:
        self._service = service
        self._call = call
        self._name: str | None = None
        self._last = -1
        self._end: Callable[[], None] = _nothing

    def message(self, body: bytes) -> None:
        """Begin to watch; the first message says what, and there is no second."""
        if self._name is not None:
            self._finish(InvalidError("a watch takes one message: open another for another service"))
            return
        try:
            self._name = parsed(health.HealthCheckRequest, body).service
        except InvalidError as error:
            self._finish(error)
            return
        self._end = self._service.plane.watch(self._changed)
        self._changed()

    def half_close(self) -> None:
        """Go on: callers of a watch close their half at once."""
        if self._name is None:
            self._finish(InvalidError("a watch needs a message that names the service"))

    def cancelled(self) -> None:
        """Watch no more."""
        self._end()
        self._end = _nothing

    def resume(self) -> None:
        """Nothing waits here."""

    def _changed(self) -> None:
        found = _status(self._service, self._name or "", self._call.grant)
        if found != self._last:
            self._last = found
            self._call.send(_encoded(found))

    def _finish(self, error: InvalidError) -> None:
        self.cancelled()
        self._call.finish(error)


def _status(service: OipService, name: str, grant: Grant | None) -> int:
    plane = service.plane
    if name in ("", SERVICE):
        return _SERVING if plane.ready() is None else _NOT_SERVING
    if grant is not None and not grant.knows(name):
        return _UNKNOWN
    if plane.model_ready(name, ""):
        return _SERVING
    return _NOT_SERVING if any(entry.name == name for entry in plane.index()) else _UNKNOWN


def _encoded(status: int) -> bytes:
    # An enum's number by keyword is not what the stub of the generated module allows, and what the runtime takes.
    return health.HealthCheckResponse(
        status=health.HealthCheckResponse.ServingStatus.ValueType(status)
    ).SerializeToString()


def _nothing() -> None:
    """End nothing."""
