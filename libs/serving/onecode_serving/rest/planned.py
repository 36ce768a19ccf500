"""Remember what requests have in common but their numbers, and the parts of the answers that repeat."""

import math
from collections.abc import Sequence

import numpy as np

from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.datatypes import NUMPY
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.rest import numbers
from onecode_serving.rest.body import Form, request_from_body, request_from_raw
from onecode_serving.rest.document import parse_object
from onecode_serving.rest.reply import (
    Provenance,
    binary_entry,
    data_entry,
    data_text,
    document_start,
    framed,
)

_MOST = 1024
_LONGEST = 4096
_MATRIX = 2


class Planned:
    """A request that was planned.

    Attributes:
        plan: The data plane's.
        code: Element code of JSON numbers.
        count: Elements of the input.
        width: Elements of one row of it.
    """

    __slots__ = ("_answers", "_forms", "_id", "code", "count", "plan", "width")

    def __init__(self, plan: Plan, request: InferenceRequest, form: Form) -> None:
        tensor = request.inputs[0]
        self.plan = plan
        self.code = numbers.CODES.get(tensor.datatype, "")
        self.count = math.prod(tensor.shape)
        self.width = tensor.shape[1] if len(tensor.shape) == _MATRIX else 0
        self._id = request.request_id
        self._forms = tuple([form.binary(spec.name) for spec in plan.wanted])
        self._answers: dict[Target, _Answers] = {}
        for spec, binary in zip(plan.wanted, self._forms, strict=True):
            if not binary:
                data_entry(spec.name, spec.datatype, ())

    def answer(self, target: Target, shapes: Shapes, raws: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        """Return the head and the parts of the body.

        Raises:
            InvalidError: An output cannot be JSON.
        """
        known = self._answers.get(target)
        if known is None or known.shapes != shapes:
            known = self._answers[target] = _Answers(self.plan, self._forms, self._id, target, shapes, raws)
        if known.sized:
            return known.head, (known.starts[0], *raws)
        return known.with_data(raws)


class _Answers:
    """What the answers of one version repeat.

    Attributes:
        shapes: For which this holds.
        sized: All outputs are bytes, so that the head is the same, too.
        head: The whole head, or all of it before the number of bytes.
        starts: The JSON: all of it, or what stands before each list of data and after the last.
    """

    __slots__ = ("_forms", "_plan", "_source", "head", "shapes", "sized", "starts")

    def __init__(
        self,
        plan: Plan,
        forms: tuple[bool, ...],
        request_id: str,
        target: Target,
        shapes: Shapes,
        raws: Sequence[bytes],
    ) -> None:
        version = target.version
        source = Provenance(version.model, version.version, target.digest, target.release, target.role)
        text = document_start(source, request_id)
        starts: list[bytes] = []
        for place, (spec, binary, shape, raw) in enumerate(zip(plan.wanted, forms, shapes, raws, strict=True)):
            text += b"," if place else b""
            if binary:
                text += binary_entry(spec.name, spec.datatype, shape, len(raw))
            else:
                starts.append(text + data_entry(spec.name, spec.datatype, shape))
                text = b"}"
        self.starts = [*starts, text + b"]}"]
        self.shapes = shapes
        self.sized = all(forms)
        self._plan = plan
        self._forms = forms
        self._source = source
        if self.sized:
            reply = framed(source, self.starts[0], raws)
            self.head = reply.head(sum(map(len, reply.parts)))
        else:
            self.head = framed(source, b"", ()).head(0).removesuffix(b"0\r\n")

    def with_data(self, raws: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        """Return head and body with lists of data in it."""
        texts: list[bytes] = []
        behind: list[bytes] = []
        starts = iter(self.starts)
        for spec, binary, raw in zip(self._plan.wanted, self._forms, raws, strict=True):
            if binary:
                behind.append(raw)
            else:
                texts += (next(starts), data_text(spec.name, spec.datatype, np.frombuffer(raw, NUMPY[spec.datatype])))
        texts.append(next(starts))
        body = b"".join(texts)
        if behind:
            reply = framed(self._source, body, behind)
            return reply.head(sum(map(len, reply.parts))), reply.parts
        return b"%b%d\r\n" % (self.head, len(body)), (body,)


class Plans:
    """The plans of all connections, by what the requests repeat; used by the loop's thread only.

    A request is planned when it comes for the second time: those that never repeat cost a look only.

    Args:
        plane: Makes plans, and says by its generation how long they hold.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._generation = -1
        self._known: dict[tuple[str, str, object], Planned | None] = {}
        self._seen: set[tuple[str, str, object]] = set()

    def clear(self) -> None:
        """Forget everything: a plan holds on to the version that it was made for."""
        self._known.clear()
        self._seen.clear()

    def find(self, model: str, version: str, body: bytes, json_length: int | None) -> tuple[Planned, bytes] | None:
        """Return the plan of a body and the bytes of its one input; None if there is no plan.

        Args:
            model: From the path.
            version: From the path, empty for none.
            body: Uncompressed.
            json_length: Bytes of the JSON at its beginning; None: all.

        Raises:
            OnecodeError: The request is bad.
        """
        if self._generation != self._plane.generation:
            self._renew()
        if json_length is None:
            return self._for_json(model, version, body)
        if json_length == 0:
            return self._for_raw(model, version, body)
        return self._for_bytes(model, version, body, json_length)

    def _for_bytes(self, model: str, version: str, body: bytes, json_length: int) -> tuple[Planned, bytes] | None:
        head = body[:json_length]
        key = (model, version, head)
        planned = self._known.get(key)
        if planned is None:
            if json_length > _LONGEST or key in self._known or self._new(key):
                return None
            planned = self._add(key, *request_from_body(model, version, body, json_length, None, None))
        return (planned, body[json_length:]) if planned else None

    def _for_raw(self, model: str, version: str, body: bytes) -> tuple[Planned, bytes] | None:
        key = (model, version, len(body))
        planned = self._known.get(key)
        if planned is None:
            if key in self._known or self._new(key):
                return None
            contract = self._plane.metadata(model, version)[0].contract
            planned = self._add(key, *request_from_raw(model, version, body, contract, None, None))
        return (planned, body) if planned else None

    def _for_json(self, model: str, version: str, body: bytes) -> tuple[Planned, bytes] | None:
        parts = numbers.split(body)
        if parts is None:
            return None
        before, data, after = parts
        key = (model, version, (before, after))
        planned = self._known.get(key)
        if planned is None:
            if len(before) + len(after) > _LONGEST or key in self._known or self._new(key):
                return None
            planned = self._add_json(key, body, before, after)
            if planned is None:
                return None
        raw = numbers.raw_of(data, planned.code, planned.count, planned.width)
        return None if raw is None else (planned, raw)

    def _add_json(self, key: tuple[str, str, object], body: bytes, before: bytes, after: bytes) -> Planned | None:
        request, form = request_from_body(key[0], key[1], body, None, None, None)
        if not numbers.holds(parse_object(numbers.probed(before, after))):
            self._known[key] = None
            return None
        tensor = request.inputs[0]
        code = numbers.CODES.get(tensor.datatype)
        data = numbers.split(body)
        if not code or data is None or min(tensor.shape, default=0) < 0:
            self._known[key] = None
            return None
        width = tensor.shape[1] if len(tensor.shape) == _MATRIX else 0
        raw = numbers.raw_of(data[1], code, math.prod(tensor.shape), width)
        if raw is None:
            # Something is wrong with these numbers, which says nothing about the next ones.
            return None
        bare = Tensor(tensor.name, tensor.datatype, tensor.shape, raw=raw)
        return self._add(
            key,
            InferenceRequest(
                request.model, (bare,), request.version, request.request_id, request.wanted, request.parameters
            ),
            form,
        )

    def _add(self, key: tuple[str, str, object], request: InferenceRequest, form: Form) -> Planned | None:
        plan = self._plane.plan(request)
        planned = None if plan is None else Planned(plan, request, form)
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = planned
        return planned

    def _new(self, key: tuple[str, str, object]) -> bool:
        """Return whether a key comes for the first time, and remember it."""
        if key in self._seen:
            return False
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen.add(key)
        return True

    def _renew(self) -> None:
        self.clear()
        self._generation = self._plane.generation
