"""Turn a route into the objects that requests are sent to, once for each change of the route."""

from collections.abc import Callable, Mapping

from onecode_serving.counters import CounterKey
from onecode_serving.domain.routing import Arm, Route, choose
from onecode_serving.execution.job import Target
from onecode_serving.execution.lane import Lane


class Chooser:
    """The targets of one route.

    Args:
        route: How requests are divided.
        lanes: By digest of each version that the route names.
        source: Who serves: decides routes by gateway.
        draw: Returns a random bucket, for routes by request.

    Attributes:
        fixed: The one target of all requests, if there is one.
        targets: Every target that counts for an arm.
    """

    def __init__(self, route: Route, lanes: Mapping[str, Lane], source: str, draw: Callable[[], int]) -> None:
        self._route = route
        self._source = source
        self._draw = draw
        self._assigned = {arm.role: _target(route, arm, lanes, assigned=True) for arm in route.arms}
        self._loose = _target(route, route.stable, lanes, assigned=False)
        self.fixed: Target | None = None
        if route.unit == "gateway" or (route.unit == "request" and len(route.arms) == 1):
            self.fixed = self(None)
        self.targets = tuple(self._assigned.values())

    def __call__(self, unit: str | None) -> Target:
        """Return the target of a request whose caller named this unit, or none."""
        route = self._route
        key = self._source if route.unit == "gateway" else unit
        choice = choose(route, key, self._draw() if route.unit == "request" else 0)
        return self._assigned[choice.arm.role] if choice.assigned else self._loose


def _target(route: Route, arm: Arm, lanes: Mapping[str, Lane], *, assigned: bool) -> Target:
    lane = lanes[arm.digest]
    key = CounterKey(route.model, route.rollout, route.revision, lane.version.digest, arm.role)
    return Target(lane.version, arm.role, key, lane, assigned=assigned)
