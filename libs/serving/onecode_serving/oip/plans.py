"""Remember, for messages of a stream, what is already known of a request that differs in its numbers and id only."""

from typing import NamedTuple

from onecode_common.errors import OnecodeError
from onecode_serving.data_plane import DataPlane
from onecode_serving.execution.job import Plan
from onecode_serving.oip.convert import request_of
from onecode_serving.oip.planning import Split, split_request

_KEPT = 256
_LONGEST = 1024
"""Bytes of a head that is remembered."""

_ID_TAG = b"\x1a"
_ID_HEAD = 2
"""Bytes before a short id: its tag and its length."""
_SHORT = 127
"""Bytes of an id whose length is one byte."""


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
        self._at = -1
        self._tail = 0

    def find(self, body: bytes, unit: str | None) -> Planned | None:
        """Return the plan of a message; None if it must be looked at as a whole.

        A request that cannot be planned because it is bad is looked at as a whole too, where that is counted.
        """
        # Most messages of a stream have their id and their numbers where the last one had them. What is left of such a
        # message is a head only if all of that is so: a head says how long the numbers are, and begins and ends where
        # fields do.
        start, at = len(body) - self._tail, self._at
        if at < 0:
            plan, request_id = self._plans.get(body[:start]), b""
        else:
            begin = at + _ID_HEAD
            end = begin + (body[begin - 1] if begin <= start else 0)
            plan = self._plans.get(body[:at] + body[end:start]) if body[at : at + 1] == _ID_TAG else None
            request_id = body[begin:end]
        if (
            plan is None
            or plan.generation != self._plane.generation
            or len(request_id) > _SHORT
            or not request_id.isascii()
        ):
            return self._looked_up(body, unit)
        return Planned(plan, request_id, start)

    def _looked_up(self, body: bytes, unit: str | None) -> Planned | None:
        parts = split_request(body)
        if parts is None or len(parts.head) > _LONGEST or len(parts.request_id) > _SHORT:
            return None
        plan = self._plans.get(parts.head)
        if plan is None or plan.generation != self._plane.generation:
            plan = self._made(parts, body, unit)
            if plan is None:
                return None
        self._at, self._tail = parts.id_at, len(body) - parts.start
        return Planned(plan, parts.request_id, parts.start)

    def _made(self, parts: Split, body: bytes, unit: str | None) -> Plan | None:
        """Plan a head that comes for the second time; many never do."""
        if parts.head not in self._seen:
            if len(self._seen) >= _KEPT:
                self._seen.clear()
            self._seen.add(parts.head)
            return None
        try:
            plan = self._plane.plan(request_of(body, unit, float("inf")))
        except OnecodeError:
            return None
        if plan is not None:
            if len(self._plans) >= _KEPT:
                self._plans.clear()
            self._plans[parts.head] = plan
        return plan
