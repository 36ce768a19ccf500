"""Remember, for messages of a stream, what is already known of a request that differs in its numbers and id only."""

from typing import NamedTuple

from onecode_common.errors import OnecodeError
from onecode_serving.data_plane import DataPlane
from onecode_serving.execution.job import Plan
from onecode_serving.oip.convert import request_of
from onecode_serving.oip.planning import split_request

_KEPT = 256
_LONGEST = 1024
"""Bytes of a head that is remembered."""


class Planned(NamedTuple):
    """A request of which only the numbers remain to be checked."""

    plan: Plan
    request_id: bytes
    start: int


class StreamPlans:
    """Plans by head; of one stream, on the loop's thread only.

    Args:
        plane: Makes plans.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._plans: dict[bytes, Plan] = {}
        self._seen: set[bytes] = set()

    def find(self, body: bytes, unit: str | None) -> Planned | None:
        """Return the plan of a message; None if it must be looked at as a whole.

        A head is planned when it comes for the second time.

        A request that cannot be planned because it is bad is looked at as a whole too, where that is counted.
        """
        parts = split_request(body)
        if parts is None or len(parts.head) > _LONGEST:
            return None
        plan = self._plans.get(parts.head)
        if plan is None or plan.generation != self._plane.generation:
            if parts.head not in self._seen:
                if len(self._seen) >= _KEPT:
                    self._seen.clear()
                self._seen.add(parts.head)
                return None
            try:
                plan = self._plane.plan(request_of(body, unit, float("inf")))
            except OnecodeError:
                return None
            if plan is None:
                return None
            if len(self._plans) >= _KEPT:
                self._plans.clear()
            self._plans[parts.head] = plan
        return Planned(plan, parts.request_id, parts.start)
