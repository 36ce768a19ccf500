"""Remember what is already known of a request that differs from an earlier one in its numbers and its id only.

A caller that repeats a request repeats every byte before the numbers. Those bytes are the key of a plan that says all
there is to know, and the numbers go straight into the batch.
"""

from collections.abc import Hashable
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from onecode_common.errors import OnecodeError
from onecode_serving.data_plane import DataPlane
from onecode_serving.execution.job import Plan
from onecode_serving.oip.convert import request_of
from onecode_serving.oip.planning import split_request

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_KEPT = 512
_LONGEST = 1024
"""Bytes of a head that is remembered: more than a name, a few outputs and a unit."""

_ID_TAG = b"\x1a"
_ID_HEAD = 2
"""Bytes before a short id: its tag and its length."""
_SHORT = 127
"""Bytes of an id whose length is one byte."""


class Repeats(Generic[K, V]):
    """What is known of requests that came more than once, by what they repeat; on the loop's thread only.

    Args:
        most: Kept at once; the oldest leaves.

    Attributes:
        known: By key.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[K] = set()
        self.known: dict[K, V] = {}

    def is_new(self, key: K) -> bool:
        """Return whether a key comes for the first time, and remember it: many never come again."""
        if key in self._seen:
            return False
        if len(self._seen) >= self._most:
            self._seen.clear()
        self._seen.add(key)
        return True

    def keep(self, key: K, value: V) -> None:
        """Know this from now on."""
        if len(self.known) >= self._most:
            del self.known[next(iter(self.known))]
        self.known[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self.known.clear()
        self._seen.clear()


class Planned(NamedTuple):
    """A request of which only the numbers remain to be checked.

    Attributes:
        plan: Of it, whatever its id.
        request_id: UTF-8; empty for none.
        start: Of the numbers, which end the message.
        id_at: Where the field of the id begins; -1 if there is none.
    """

    plan: Plan
    request_id: bytes
    start: int
    id_at: int


class Plans:
    """The plans of all calls and streams of a process; on the loop's thread only.

    Args:
        plane: Makes plans, and says when they hold no more.

    Attributes:
        by_head: By a message's bytes before its numbers, without its id.
        exact: By all bytes before the numbers of a unary call's body, the prefix included.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._heads: Repeats[bytes, Plan] = Repeats(_KEPT)
        self.by_head = self._heads.known
        self.exact: dict[bytes, Plan] = {}
        # A plan holds on to the version that it was made for.
        plane.watch(self._clear)

    def remember(self, before: bytes, plan: Plan) -> None:
        """Remember everything before a unary call's numbers, its prefix included, for messages without an id.

        The prefix holds the length: a body that begins with these bytes and brings as many numbers as the plan says is
        one whole, uncompressed message.
        """
        if len(self.exact) >= _KEPT:
            self.exact.clear()
        self.exact[before] = plan

    def find(self, message: bytes) -> Planned | None:
        """Return the plan of a message; None if it must be looked at as a whole.

        A head is planned when it comes for the second time. A request that cannot be planned because it is bad is
        looked at as a whole too: there it is asked whether its caller may know of the model at all.
        """
        parts = split_request(message)
        if parts is None or len(parts.head) > _LONGEST:
            return None
        plan = self.by_head.get(parts.head)
        if plan is None or plan.generation != self._plane.generation:
            if self._heads.is_new(parts.head):
                return None
            try:
                plan = self._plane.plan(replace(request_of(message, None, float("inf")), request_id=""))
            except OnecodeError:
                return None
            if plan is None:
                return None
            self._heads.keep(parts.head, plan)
        return Planned(plan, parts.request_id, parts.start, parts.id_at)

    def _clear(self) -> None:
        self._heads.clear()
        self.exact.clear()


class StreamPlans:
    """Finds the plans of one stream's messages by where the last one had its id and its numbers.

    Args:
        plane: Whose plans.
        plans: Of the process.
    """

    def __init__(self, plane: DataPlane, plans: Plans) -> None:
        self._plane = plane
        self._plans = plans
        self._by_head = plans.by_head
        self._at = -1
        self._tail = 0

    def find(self, body: bytes) -> tuple[Plan, bytes, int] | None:
        """Return the plan of a message, its id and where its numbers begin; None if it must be looked at as a whole."""
        # Most messages of a stream have their id and their numbers where the last one had them. What is left of such a
        # message is a head only if all of that is so: a head says how long the numbers are, and begins and ends where
        # fields do.
        start, at = len(body) - self._tail, self._at
        if at < 0:
            plan, request_id = self._by_head.get(body[:start]), b""
        else:
            begin = at + _ID_HEAD
            end = begin + (body[begin - 1] if begin <= start else 0)
            plan = self._by_head.get(body[:at] + body[end:start]) if body[at : at + 1] == _ID_TAG else None
            request_id = body[begin:end]
        if (
            plan is None
            or plan.generation != self._plane.generation
            or len(request_id) > _SHORT
            or not request_id.isascii()
        ):
            return self._looked_up(body)
        return plan, request_id, start

    def _looked_up(self, body: bytes) -> tuple[Plan, bytes, int] | None:
        found = self._plans.find(body)
        if found is None or len(found.request_id) > _SHORT:
            return None
        self._at, self._tail = found.id_at, len(body) - found.start
        return found.plan, found.request_id, found.start
