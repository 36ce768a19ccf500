"""Keep what stands before the numbers of an answer: for one plan, version and shapes it is the same for ever."""

from collections.abc import Sequence
from typing import NamedTuple

from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.oip.convert import id_field, raw_field, reply_head


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
