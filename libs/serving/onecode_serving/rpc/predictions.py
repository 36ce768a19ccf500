"""Keep the short way of predictions: what was checked once is not looked at again.

A caller that repeats a request with other numbers repeats every byte before the numbers. Those bytes are the key of a
plan that says all there is to know, and the numbers go straight into the batch.
"""

from collections.abc import Sequence

from onecode_common.errors import OnecodeError
from onecode_serving.data_plane import DataPlane
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.oip.convert import id_field, raw_field, reply_head, request_of
from onecode_serving.oip.planning import split_head
from onecode_serving.rpc.framing import PREFIX

_PLANS = 512
_HEAD = 1024
"""Bytes of a head that is remembered: more than a name, a few outputs and a unit."""


class Plans:
    """Plans by the bytes before a request's numbers; shared by all connections of a process.

    Args:
        plane: Makes plans.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._seen: dict[bytes, int] = {}
        self.known: dict[bytes, Plan] = {}

    def find(self, body: bytes) -> tuple[Plan | None, int]:
        """Return the plan of a message with its prefix, and where its numbers begin; None where it needs a look.

        A head is planned when it comes for the second time in one generation: many never do.
        """
        start = split_head(body[PREFIX:])
        if start is None or start > _HEAD:
            return None, 0
        start += PREFIX
        head = body[PREFIX:start]
        generation = self._plane.generation
        plan = self.known.get(head)
        if plan is not None and plan.generation == generation:
            return plan, start
        if self._seen.get(head) != generation:
            if len(self._seen) >= _PLANS:
                self._seen.clear()
            self._seen[head] = generation
            return None, 0
        try:
            plan = self._plane.plan(request_of(body[PREFIX:], None, float("inf")))
        except OnecodeError:
            # The long way refuses it, after it has asked whether the caller may know of the model at all.
            return None, 0
        if plan is None:
            return None, 0
        if len(self.known) >= _PLANS:
            self.known.clear()
        self.known[head] = plan
        return plan, start


def encoded_head(plan: Plan, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> tuple[Shapes, list[bytes]]:
    """Return what stands before each output's bytes in an answer; with the prefix of the message before the first.

    For equal shapes it is the same for ever: lengths follow from shapes.
    """
    outputs = [(spec.name, spec.datatype, shape) for spec, shape in zip(plan.wanted, shapes, strict=True)]
    version = target.version
    head = reply_head(version.model, version.version, target.digest, target.release, target.role, outputs)
    parts = [raw_field(len(raw)) for raw in raws]
    parts[0] = head + id_field(plan.request.request_id) + parts[0]
    size = sum(map(len, parts)) + sum(map(len, raws))
    parts[0] = b"\x00" + size.to_bytes(4, "big") + parts[0]
    return shapes, parts
