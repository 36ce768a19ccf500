"""Keep the short way of predictions: what was checked once is not looked at again.

A caller that repeats a request with other numbers repeats every byte before the numbers. Those bytes are the key of a
plan that says all there is to know, and the numbers go straight into the batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from onecode_common.errors import OnecodeError
from onecode_serving.data_plane import DataPlane
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.oip.convert import id_field, raw_field, reply_head, request_of
from onecode_serving.oip.planning import split_request
from onecode_serving.rpc.framing import PREFIX

_PLANS = 512
_HEAD = 1024
"""Bytes of a head that is remembered: more than a name, a few outputs and a unit."""


class Found(NamedTuple):
    """A message of which only the numbers remain to be checked.

    Attributes:
        plan: Of it, whatever its id.
        start: Where its numbers begin.
        request_id: UTF-8; empty for none.
    """

    plan: Plan
    start: int
    request_id: bytes


class Plans:
    """Plans by the bytes before a request's numbers; shared by all connections of a process.

    Args:
        plane: Makes plans.

    Attributes:
        known: By a message's bytes before its numbers, without its id.
        exact: By all bytes before the numbers, the prefix included.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._seen: dict[bytes, int] = {}
        self.known: dict[bytes, Plan] = {}
        self.exact: dict[bytes, Plan] = {}

    def remember(self, before: bytes, plan: Plan) -> None:
        """Remember everything before a message's numbers, its prefix included, for messages without an id.

        The prefix holds the length: a message that begins with these bytes and brings as many numbers as the plan says
        is whole, uncompressed and alone.
        """
        if len(self.exact) >= _PLANS:
            self.exact.clear()
        self.exact[before] = plan

    def find(self, body: bytes) -> Found | None:
        """Return what is known of a message with its prefix; None where it needs a look.

        A head is planned when it comes for the second time in one generation: many never do.
        """
        parts = split_request(body[PREFIX:])
        if parts is None or len(parts.head) > _HEAD:
            return None
        start = parts.start + PREFIX
        head = parts.head
        generation = self._plane.generation
        plan = self.known.get(head)
        if plan is not None and plan.generation == generation:
            return Found(plan, start, parts.request_id)
        if self._seen.get(head) != generation:
            if len(self._seen) >= _PLANS:
                self._seen.clear()
            self._seen[head] = generation
            return None
        try:
            plan = self._plane.plan(replace(request_of(body[PREFIX:], None, float("inf")), request_id=""))
        except OnecodeError:
            # The long way refuses it, after it has asked whether the caller may know of the model at all.
            return None
        if plan is None:
            return None
        if len(self.known) >= _PLANS:
            self.known.clear()
        self.known[head] = plan
        return Found(plan, start, parts.request_id)


class EncodedHead(NamedTuple):
    """What stands before each output's bytes in an answer, for one plan, target and shapes.

    Attributes:
        shapes: For which it is right.
        parts: One for each output; the first begins with the prefix of the message.
        head: The first without that prefix, for answers with an id, which are longer.
        size: Of such a message without its id.
    """

    shapes: Shapes
    parts: list[bytes]
    head: bytes
    size: int

    def with_id(self, request_id: bytes) -> bytes:
        """Return the first part of an answer that carries this id."""
        field = id_field(request_id.decode())
        return b"\x00" + (self.size + len(field)).to_bytes(4, "big") + field + self.head


def encoded_head(plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> EncodedHead:
    """Return what stands before each output's bytes in an answer.

    For equal shapes it is the same for ever: lengths follow from shapes.
    """
    outputs = [(spec.name, spec.datatype, shape) for spec, shape in zip(plan.wanted, shapes, strict=True)]
    version = target.version
    head = reply_head(version.model, version.version, target.digest, target.release, target.role, outputs)
    parts = [raw_field(len(raw)) for raw in raws]
    parts[0] = head = head + parts[0]
    size = sum(map(len, parts)) + sum(map(len, raws))
    parts[0] = b"\x00" + size.to_bytes(4, "big") + head
    return EncodedHead(shapes, parts, head, size)
