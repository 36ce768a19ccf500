"""Compare what two versions said to the same requests, in numbers that add up over runs, processes and machines.

Where the contract has a class (an output with labels, or one of whole numbers, flags or texts) two answers are the
same if the class is; scores beside it are only measured, as absolute difference. Without one the answer is a number:
two are the same within :data:`TOLERANCE`, and the difference is relative to the larger of them, so it lies within
0..2 whatever the unit is.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import FLOATS
from onecode_serving.domain.tensors import Array

TOLERANCE = 0.05
"""Relative difference up to which two numbers count as the same."""

NEGLIGIBLE = 1e-6
"""Absolute difference that is none: numbers around zero have no useful relative one."""

FARTHEST = 1e9
"""What is recorded where shapes or finiteness differ, and the most that is recorded at all."""

DIFFERENCE_EDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper edges of the histogram of differences; one more bucket holds what lies above the last."""


class Pair(NamedTuple):
    """One request and both answers: whether they say the same, and how far they are apart at most."""

    same: bool
    difference: float


@dataclass(slots=True)
class Findings:
    """What comparing found so far; two of them add up.

    Attributes:
        same: Requests to which both versions said the same.
        different: Requests to which they did not.
        failed: Requests that the candidate failed on: error, NaN, wrong shape.
        non_finite: Part of ``failed``.
        dropped: Requests that were not shown to the candidate: no spare time, or no room to wait for it.
        largest: Largest difference of any.
        total: Sum of all differences.
        places: Compared requests by :data:`DIFFERENCE_EDGES`.
    """

    same: int = 0
    different: int = 0
    failed: int = 0
    non_finite: int = 0
    dropped: int = 0
    largest: float = 0.0
    total: float = 0.0
    places: list[int] = field(default_factory=lambda: [0] * (len(DIFFERENCE_EDGES) + 1))

    @property
    def pairs(self) -> int:
        """Requests that the candidate was shown."""
        return self.same + self.different + self.failed

    def compared(self, pairs: Sequence[Pair]) -> None:
        """Count requests that both answered."""
        for same, difference in pairs:
            self.same += same
            self.different += not same
            self.largest = max(self.largest, difference)
            self.total += difference
            self.places[bisect_left(DIFFERENCE_EDGES, difference)] += 1

    def add(self, other: "Findings") -> None:
        """Count what somebody else found."""
        self.same += other.same
        self.different += other.different
        self.failed += other.failed
        self.non_finite += other.non_finite
        self.dropped += other.dropped
        self.largest = max(self.largest, other.largest)
        self.total += other.total
        for place, count in enumerate(other.places):
            self.places[place] += count


def incomparable(stable: Contract, candidate: Contract) -> str:
    """Return why the one version's requests cannot be given to the other, or nothing."""
    for spec in stable.inputs:
        other = candidate.input(spec.name)
        if other is None or other.datatype != spec.datatype or not _takes(other.shape, spec.shape):
            return f"the candidate does not take the input {spec.name!r} as the stable version does"
    missing = [one.name for one in candidate.inputs if not one.optional and stable.input(one.name) is None]
    if missing:
        return f"the candidate needs the input {missing[0]!r}, which the stable version's requests do not have"
    if not any(candidate.output(spec.name) is not None for spec in stable.outputs):
        return "the versions have no output in common"
    return ""


def compare(
    stable: Contract, first: Sequence[Array], candidate: Contract, second: Sequence[Array], rows: Sequence[int]
) -> list[Pair]:
    """Return one pair for each request.

    Args:
        stable: Whose answers went out.
        first: Its outputs in its contract's order, rows of all requests one after the other.
        candidate: Whose answers are compared with them.
        second: Its outputs, alike.
        rows: Of each request; one request may be of a model without a row axis.
    """
    given = dict(zip((spec.name for spec in candidate.outputs), second, strict=True))
    specs = [(spec, one) for spec, one in zip(stable.outputs, first, strict=True) if spec.name in given]
    has_class = any(_is_class(spec) for spec, _ in specs)
    total = sum(rows) if len(rows) > 1 else 1
    same = np.ones(total, np.bool_)
    far = np.zeros(total)
    for spec, one in specs:
        equal, apart = _output(spec, one, given[spec.name], total, has_class=has_class)
        same &= equal
        np.maximum(far, apart, out=far)
    if len(rows) > 1:
        starts = np.cumsum([0, *rows[:-1]])
        same, far = np.logical_and.reduceat(same, starts), np.maximum.reduceat(far, starts)
    return [Pair(bool(equal), float(apart)) for equal, apart in zip(same, far, strict=True)]


def _output(spec: TensorSpec, one: Array, other: Array, total: int, *, has_class: bool) -> tuple[Array, Array]:
    """Return by row (all of one request are one row) whether the output says the same, and how far it is apart."""
    if one.shape != other.shape or one.dtype != other.dtype or one.size % total:
        return np.zeros(total, np.bool_), np.full(total, FARTHEST)
    if not one.size:
        return np.ones(total, np.bool_), np.zeros(total)
    if spec.datatype not in FLOATS:
        equal: Array = (one == other).reshape(total, -1).all(axis=1)
        return equal, np.where(equal, 0.0, 1.0)
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(all="ignore"):
        apart = np.abs(a - b)
        near = apart <= NEGLIGIBLE
        if not has_class:
            apart = np.where(near, 0.0, apart / np.maximum(np.abs(a), np.abs(b)))
            near = apart <= TOLERANCE
    # Equal infinities have a difference that is not a number.
    apart = np.minimum(np.where(np.isnan(apart), FARTHEST, apart), FARTHEST)
    if _is_class(spec):
        near = np.argmax(a, axis=-1) == np.argmax(b, axis=-1)
    elif has_class:
        near = np.ones(total, np.bool_)
    same: Array = np.logical_and.reduce(np.reshape(near, (total, -1)), axis=1)
    return same, apart.reshape(total, -1).max(axis=1, initial=0.0)


def _is_class(spec: TensorSpec) -> bool:
    return spec.datatype not in FLOATS or (bool(spec.labels) and bool(spec.shape))


def _takes(shape: tuple[int, ...], given: tuple[int, ...]) -> bool:
    return len(shape) == len(given) and all(ours in (-1, theirs) for ours, theirs in zip(shape, given, strict=True))
