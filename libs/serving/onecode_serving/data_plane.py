"""Answer requests: the one object behind both faces, in the cloud and on every gateway."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from prometheus_client import Counter as Metric

from onecode_common.assignment import BUCKETS
from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, OnecodeError, PreconditionError, UnavailableError
from onecode_serving.counters import CounterKey, Counters
from onecode_serving.domain.classification import top_classes
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import BYTES
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Output
from onecode_serving.domain.routing import Arm, Route, choose
from onecode_serving.domain.tensors import Array
from onecode_serving.domain.validation import Limits, check_parameters, feeds_of, unit_of, wanted_of
from onecode_serving.table import Table
from onecode_serving.version import NON_FINITE, ServedVersion

_log = logging.getLogger(__name__)
_requests = Metric("onecode_serving_requests_total", "Requests answered.", ["model", "role", "outcome"])

DEFAULT_DEADLINE_S = 5.0
LONGEST_DEADLINE_S = 30.0
DEADLINE = "deadline.exceeded"
CHEAP_S = 0.002
"""A run that is shorter than this may run on an event loop."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Which version answers a request; ``key`` is None where the answer counts for no arm."""

    version: ServedVersion
    role: str
    key: CounterKey | None
    assigned: bool


class DataPlane:
    """Versions, routes and counters of one process; safe to use from several threads.

    Args:
        counters: Where outcomes of arms are counted.
        clock: Wall time for intervals, monotonic time for deadlines.
        source: Who serves: ``cloud`` or the gateway's id; decides routes by gateway.
        limits: Of one request.
        draw: Returns a random bucket for routes by request.
    """

    def __init__(
        self,
        counters: Counters,
        clock: Clock,
        *,
        source: str = "cloud",
        limits: Limits | None = None,
        draw: Callable[[], int] | None = None,
    ) -> None:
        self.counters = counters
        self._clock = clock
        self._source = source
        self._limits = limits or Limits()
        self._draw = draw or _random_bucket
        self._table = Table()
        self._lock = threading.Lock()

    def install(self, version: ServedVersion) -> None:
        """Hold a version ready; it is reached by its number, and by routes that name it later."""
        with self._lock:
            self._table = replace(self._table, versions={**self._table.versions, version.digest: version})

    def retire(self, digest: str) -> None:
        """Let go of a version; requests that have it finish with it.

        Raises:
            PreconditionError: A route still names it.
        """
        with self._lock:
            routed = [route.model for route in self._table.routes.values() if digest in route.digests]
            if routed:
                message = f"version {digest} is still served by model {routed[0]!r}: change the route first"
                raise PreconditionError(message, code="serving.routed")
            self._table = replace(
                self._table, versions={key: one for key, one in self._table.versions.items() if key != digest}
            )

    def set_routes(self, routes: Mapping[str, Route]) -> None:
        """Serve by these routes from the next request on.

        Raises:
            PreconditionError: A route names a version that is not installed; nothing changes.
        """
        with self._lock:
            for route in routes.values():
                absent = route.digests - set(self._table.versions)
                if absent:
                    message = f"model {route.model!r}: version {min(absent)} is not installed"
                    raise PreconditionError(message, code="serving.not_installed")
            self._table = replace(self._table, routes=MappingProxyType(dict(routes)))

    def announce(self, missing: Mapping[str, str], reason: str | None) -> None:
        """Say which models are known and not loaded, with the reason, and why the server is not ready, if so."""
        with self._lock:
            self._table = replace(self._table, missing=MappingProxyType(dict(missing)), reason=reason)

    def routes(self) -> Mapping[str, Route]:
        """Return what is served by model."""
        return self._table.routes

    def installed(self) -> frozenset[str]:
        """Return the digests that are held."""
        return frozenset(self._table.versions)

    def version(self, digest: str) -> ServedVersion | None:
        """Return a version that is held."""
        return self._table.versions.get(digest)

    def serving(self) -> dict[str, str]:
        """Return the digest of each model's stable arm, as its session would answer now."""
        table = self._table
        return {name: table.versions[route.stable.digest].digest for name, route in table.routes.items()}

    def ready(self) -> str | None:
        """Return why the server is not ready, or None."""
        return self._table.reason

    def model_ready(self, model: str, version: str) -> bool:
        """Return whether a request to this model and version would be answered."""
        try:
            self.metadata(model, version)
        except OnecodeError:
            return False
        return True

    def metadata(self, model: str, version: str) -> tuple[ServedVersion, list[str]]:
        """Return the version that answers and all version numbers that are held, newest last.

        Raises:
            NotFoundError: Unknown model or version.
            UnavailableError: The model is known and not loaded.
        """
        table = self._table
        target = table.find(model, version) if version else table.stable(model)
        held = sorted({one.release for one in table.versions.values() if one.model == model})
        return target, [str(release) for release in held]

    def cheap(self, model: str) -> bool:
        """Return whether a one-row run of any arm is short enough for an event loop."""
        table = self._table
        route = table.routes.get(model)
        return route is not None and all(table.versions[arm.digest].cost_s < CHEAP_S for arm in route.arms)

    def deadline(self, remaining_s: float | None) -> float:
        """Return the moment by which a request with this time left must be answered."""
        left = DEFAULT_DEADLINE_S if remaining_s is None else min(remaining_s, LONGEST_DEADLINE_S)
        return self._clock.monotonic() + left

    def infer(self, request: InferenceRequest) -> InferenceReply:
        """Answer one request.

        Raises:
            InvalidError: The request does not fit the model's contract.
            NotFoundError: Unknown model or version.
            UnavailableError: Known and not loaded, or too late (code ``deadline.exceeded``).
            OnecodeError: The model failed or broke its contract; counted for its arm.
        """
        started = self._clock.monotonic()
        if not request.model:
            message = "the request names no model: set model_name"
            raise InvalidError(message, code="model.unnamed", params={"field": "model_name"})
        check_parameters(request.parameters)
        target = self._target(self._table, request)
        version = target.version
        wanted = wanted_of(request.wanted, version.contract)
        feeds = feeds_of(request.inputs, version.contract, self._limits)
        arrays = self._run(target, feeds, started, self._deadline(request, started))
        by_name = dict(zip((spec.name for spec in version.contract.outputs), arrays, strict=True))
        outputs = tuple(_output(spec, by_name[spec.name], classes) for spec, classes in wanted)
        return InferenceReply(
            version.model, version.version, request.request_id, outputs, version.digest, version.release, target.role
        )

    def _run(self, target: _Target, feeds: Mapping[str, Array], started: float, deadline: float) -> list[Array]:
        """Run the model in time and count how it went."""
        if self._clock.monotonic() >= deadline:
            raise _too_late("before the model ran")
        try:
            arrays = target.version.run(feeds)
            if self._clock.monotonic() >= deadline:
                raise _too_late("while the model ran")
        except OnecodeError as error:
            self._count(target, started, error)
            raise
        self._count(target, started, None)
        return arrays

    def _deadline(self, request: InferenceRequest, started: float) -> float:
        deadline = started + DEFAULT_DEADLINE_S if request.deadline is None else request.deadline
        timeout = request.parameters.get("timeout")
        if isinstance(timeout, int) and timeout > 0:
            deadline = min(deadline, started + timeout / 1e6)
        return deadline

    def _target(self, table: Table, request: InferenceRequest) -> _Target:
        if request.version:
            return _Target(table.find(request.model, request.version), "", None, assigned=True)
        route = table.routes.get(request.model)
        if route is None:
            raise table.unknown(request.model)
        unit = self._source if route.unit == "gateway" else unit_of(request)
        choice = choose(route, unit, self._draw() if route.unit == "request" else 0)
        version = table.versions[choice.arm.digest]
        key = CounterKey(route.model, route.rollout, route.revision, version.digest, choice.arm.role)
        return _Target(version, choice.arm.role, key, choice.assigned)

    def _count(self, target: _Target, started: float, error: OnecodeError | None) -> None:
        if target.key is None:
            return
        outcome = "ok" if error is None else error.code
        _requests.labels(target.key.model, target.role, outcome).inc()
        self.counters.record(
            target.key,
            self._clock.now().timestamp(),
            self._clock.monotonic() - started,
            bad=error is not None,
            non_finite=error is not None and error.code == NON_FINITE,
            assigned=target.assigned,
        )


def _random_bucket() -> int:
    return int(random.random() * BUCKETS)  # noqa: S311 - a fair draw, no secret


def _output(spec: TensorSpec, array: Array, classes: int) -> Output:
    if classes:
        return Output(spec.name, BYTES, top_classes(array, spec, classes))
    return Output(spec.name, spec.datatype, array)


def _too_late(when: str) -> UnavailableError:
    return UnavailableError(f"the deadline passed {when}: allow more time", code=DEADLINE)


def full_route(model: str, digest: str, release: int) -> Route:
    """Return the route of a model outside of any rollout: one version answers everything."""
    return Route(model, "", 0, "request", "", (Arm(0, BUCKETS, digest, release, "stable"),))
