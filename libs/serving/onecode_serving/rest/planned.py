"""Remember what requests have in common but their numbers, and the parts of the answers that repeat."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.datatypes import NUMPY
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.execution.job import Plan, Shapes, Target
from onecode_serving.oip.plans import Repeats
from onecode_serving.rest import numbers
from onecode_serving.rest.body import Form, request_from_body, request_from_raw
from onecode_serving.rest.document import parse_object
from onecode_serving.rest.ids import ID_KEY, Cut, cut_id, is_id
from onecode_serving.rest.reply import (
    Provenance,
    binary_entry,
    data_entry,
    data_text,
    document_start,
    framed,
    id_member,
    json_text,
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
        self._id = json_text(request.request_id)
        self._forms = tuple([form.binary(spec.name) for spec in plan.wanted])
        self._answers: dict[Target, _Answers] = {}
        for spec, binary in zip(plan.wanted, self._forms, strict=True):
            if not binary:
                data_entry(spec.name, spec.datatype, ())

    def answer(
        self, target: Target, shapes: Shapes, raws: Sequence[bytes], cut: bytes
    ) -> tuple[bytes, Sequence[bytes]]:
        """Return the head and the parts of the body.

        Args:
            target: Who answers.
            shapes: Of the outputs.
            raws: Their bytes.
            cut: The id that was cut out of this request's JSON; empty where the plan has the id.

        Raises:
            InvalidError: An output cannot be JSON.
        """
        known = self._answers.get(target)
        if known is None or known.shapes != shapes:
            known = self._answers[target] = _Answers(self.plan, self._forms, target, shapes, raws)
        member = id_member(cut or self._id)
        return known.sized(member, raws) if known.all_binary else known.with_data(member, raws)


class _Answers:
    """What the answers of one version repeat.

    Attributes:
        shapes: For which this holds.
        all_binary: All outputs are bytes, so that only the id changes the head.
    """

    __slots__ = ("_after", "_before", "_forms", "_head", "_json", "_plan", "_size", "_source", "all_binary", "shapes")

    def __init__(
        self, plan: Plan, forms: tuple[bool, ...], target: Target, shapes: Shapes, raws: Sequence[bytes]
    ) -> None:
        version = target.version
        source = Provenance(version.model, version.version, target.digest, target.release, target.role)
        # The JSON before the id, and after it: all of it, or what stands before each list of data and after the last.
        self._before, text = document_start(source)
        after: list[bytes] = []
        for place, (spec, binary, shape, raw) in enumerate(zip(plan.wanted, forms, shapes, raws, strict=True)):
            text += b"," if place else b""
            if binary:
                text += binary_entry(spec.name, spec.datatype, shape, len(raw))
            else:
                after.append(text + data_entry(spec.name, spec.datatype, shape))
                text = b"}"
        self._after = [*after, text + b"]}"]
        self.shapes = shapes
        self.all_binary = all(forms)
        self._plan = plan
        self._forms = forms
        self._source = source
        # Without its last numbers.
        if self.all_binary:
            self._json = len(self._before) + len(self._after[0])
            self._size = sum(map(len, raws))
            self._head = framed(source, b"", raws).head(0).removesuffix(b"0\r\nContent-Length: 0\r\n")
        else:
            self._head = framed(source, b"", ()).head(0).removesuffix(b"0\r\n")

    def sized(self, member: bytes, raws: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        """Return head and body with all data behind the JSON."""
        size = self._json + len(member)
        head = b"%b%d\r\nContent-Length: %d\r\n" % (self._head, size, size + self._size)
        return head, (self._before, member, self._after[0], *raws)

    def with_data(self, member: bytes, raws: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        """Return head and body with lists of data in it."""
        texts: list[bytes] = [self._before, member]
        behind: list[bytes] = []
        after = iter(self._after)
        for spec, binary, raw in zip(self._plan.wanted, self._forms, raws, strict=True):
            if binary:
                behind.append(raw)
            else:
                texts += (next(after), data_text(spec.name, spec.datatype, np.frombuffer(raw, NUMPY[spec.datatype])))
        texts.append(next(after))
        body = b"".join(texts)
        if behind:
            reply = framed(self._source, body, behind)
            return reply.head(sum(map(len, reply.parts))), reply.parts
        return b"%b%d\r\n" % (self._head, len(body)), (body,)


class Found(NamedTuple):
    """A request of which only the numbers remain to be checked.

    Attributes:
        planned: Of it.
        raw: The bytes of its one input.
        cut: Its id, as JSON writes it, where that was cut out of what the plan is known by; else empty.
    """

    planned: Planned
    raw: bytes
    cut: bytes


_Key = tuple[str, str, object]
"""Model, version, and what a request's body repeats."""


class Plans:
    """The plans of all connections, by what the requests repeat; used by the loop's thread only.

    A request is planned when it comes for the second time: those that never repeat cost a look only. What was looked at
    and cannot be planned is known as None.

    Args:
        plane: Makes plans, and says by its generation how long they hold.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._generation = -1
        self._repeats: Repeats[_Key, Planned | None] = Repeats(_MOST)
        self._known = self._repeats.known

    def clear(self) -> None:
        """Forget everything: a plan holds on to the version that it was made for."""
        self._repeats.clear()

    def find(self, model: str, version: str, body: bytes, json_length: int | None) -> Found | None:
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
            self.clear()
            self._generation = self._plane.generation
        if json_length is None:
            return self._for_json(model, version, body)
        if json_length == 0:
            return self._for_raw(model, version, body)
        return self._for_bytes(model, version, body, json_length)

    def _for_bytes(self, model: str, version: str, body: bytes, json_length: int) -> Found | None:
        head = body[:json_length]
        cut = cut_id(head) if ID_KEY in head else None
        key = (model, version, head if cut is None else (cut.before, cut.after))
        planned = self._known.get(key)
        if planned is None:
            if json_length > _LONGEST or key in self._known or self._repeats.is_new(key):
                return None
            request, form = request_from_body(model, version, body, json_length, None, None)
            if cut is not None and not is_id(cut, request.request_id):
                self._repeats.keep(key, None)
                return None
            planned = self._add(key, request, form, cut)
        return Found(planned, body[json_length:], _text(cut)) if planned else None

    def _for_raw(self, model: str, version: str, body: bytes) -> Found | None:
        key = (model, version, len(body))
        planned = self._known.get(key)
        if planned is None:
            if key in self._known or self._repeats.is_new(key):
                return None
            contract = self._plane.metadata(model, version)[0].contract
            planned = self._add(key, *request_from_raw(model, version, body, contract, None, None), None)
        return Found(planned, body, b"") if planned else None

    def _for_json(self, model: str, version: str, body: bytes) -> Found | None:
        parts = numbers.split(body)
        if parts is None:
            return None
        before, data, after = parts
        cut = cut_id(before) if ID_KEY in before else None
        late = cut_id(after) if cut is None and ID_KEY in after else None
        pieces: tuple[bytes, ...] = (before, after)
        if cut is not None:
            pieces = (cut.before, cut.after, after)
        elif late is not None:
            pieces = (before, late.before, late.after)
        key = (model, version, pieces)
        planned = self._known.get(key)
        if planned is None:
            if len(before) + len(after) > _LONGEST or key in self._known or self._repeats.is_new(key):
                return None
            request, form = request_from_body(model, version, body, None, None, None)
            if not _whole(parts, cut, late, request):
                self._repeats.keep(key, None)
                return None
            planned = self._add_json(key, request, form, data, cut or late)
            if planned is None:
                return None
        raw = numbers.raw_of(data, planned.code, planned.count, planned.width)
        return None if raw is None else Found(planned, raw, _text(cut or late))

    def _add_json(
        self, key: _Key, request: InferenceRequest, form: Form, data: bytes, cut: Cut | None
    ) -> Planned | None:
        tensor = request.inputs[0]
        code = numbers.CODES.get(tensor.datatype)
        if not code or min(tensor.shape, default=0) < 0:
            self._repeats.keep(key, None)
            return None
        width = tensor.shape[1] if len(tensor.shape) == _MATRIX else 0
        raw = numbers.raw_of(data, code, math.prod(tensor.shape), width)
        if raw is None:
            # Something is wrong with these numbers, which says nothing about the next ones.
            return None
        bare = Tensor(tensor.name, tensor.datatype, tensor.shape, raw=raw)
        return self._add(key, replace(request, inputs=(bare,)), form, cut)

    def _add(self, key: _Key, request: InferenceRequest, form: Form, cut: Cut | None) -> Planned | None:
        if cut is not None:
            request = replace(request, request_id="")
        plan = self._plane.plan(request)
        planned = None if plan is None else Planned(plan, request, form)
        self._repeats.keep(key, planned)
        return planned


def _whole(parts: tuple[bytes, bytes, bytes], cut: Cut | None, late: Cut | None, request: InferenceRequest) -> bool:
    """Return whether what was cut out of a body is what it is taken for: the data, and the id if there is one."""
    before, data, after = parts
    if cut is not None and not is_id(cut, request.request_id, rest=data + after):
        return False
    if late is not None and not is_id(late, request.request_id, start=before + data):
        return False
    return numbers.holds(parse_object(numbers.probed(before, after)))


def _text(cut: Cut | None) -> bytes:
    return b"" if cut is None else cut.text
