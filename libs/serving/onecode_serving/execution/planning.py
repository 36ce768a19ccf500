"""Find out what stays the same when a caller repeats a request with other numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from onecode_serving.domain.contract import Contract
from onecode_serving.domain.datatypes import FLOATS, NUMPY
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.domain.tensors import Array
from onecode_serving.domain.validation import Limits, check_parameters, feeds_of, unit_of, wanted_of
from onecode_serving.execution.job import Plan, Target
from onecode_serving.execution.work import priority_of, timeout_of

PLANNABLE = frozenset(
    {"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"}
)
"""Datatypes whose bytes are the model's own, whatever they are; finiteness apart, which each run checks."""

_REMEMBERED = 1024
_K = TypeVar("_K")


class Planner:
    """Makes plans, and says which requests may share a run.

    Args:
        limits: Of one request.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._signatures: dict[object, object] = {}

    def plan(self, request: InferenceRequest, targets: Sequence[Target], generation: int) -> Plan | None:
        """Return the plan of a good request; None if another one like it needs a look of its own.

        Raises:
            InvalidError: The request does not fit the contract of a version that may answer it.
        """
        if len(request.inputs) != 1 or request.inputs[0].raw is None or _shares_memory(request):
            return None
        tensor = request.inputs[0]
        if any(target.lane.windows is not None for target in targets):
            return None
        contract = targets[0].version.contract
        if any(not _same(contract, target.version.contract) for target in targets[1:]):
            return None
        check_parameters(request.parameters)
        unit_of(request)
        wanted = wanted_of(request.wanted, contract)
        feeds = feeds_of(request.inputs, contract, self._limits)
        spec = contract.input(tensor.name)
        if spec is None or spec.datatype not in PLANNABLE or any(classes for _, classes in wanted):
            return None
        if any(output.datatype not in PLANNABLE for output in contract.outputs):
            return None
        plan = Plan(generation, replace(request, inputs=(replace(tensor, raw=b""),)), spec, NUMPY[spec.datatype])
        plan.shape = tensor.shape
        plan.rows = tensor.shape[0] if spec.batched else 1
        plan.size = feeds[spec.name].nbytes
        plan.finite = (1 if spec.allow_nan else 2) if spec.datatype in FLOATS else 0
        names = [output.name for output in contract.outputs]
        plan.wanted = tuple(output for output, _ in wanted)
        plan.picks = self._same(tuple(names.index(output.name) for output in plan.wanted))
        plan.timeout_s = timeout_of(request.parameters)
        plan.priority = priority_of(request.parameters)
        plan.signature = self._same(("raw", spec.name, spec.datatype, tensor.shape[1:] if spec.batched else None))
        return plan

    def signature(self, feeds: Mapping[str, Array]) -> object:
        """Return the object that all requests share whose rows fit into one run."""
        return self._same(tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in feeds.items())))

    def _same(self, key: _K) -> _K:
        """Return the first key that equals this one, so that a comparison by identity is enough."""
        if len(self._signatures) >= _REMEMBERED:
            self._signatures.clear()
        found: _K = self._signatures.setdefault(key, key)  # type: ignore[assignment]  # key and value are one
        return found


def _same(one: Contract, other: Contract) -> bool:
    """Return whether both take and give the same, whatever they learned about ranges."""
    return all(
        [(spec.name, spec.datatype, spec.shape, spec.allow_nan) for spec in ours]
        == [(spec.name, spec.datatype, spec.shape, spec.allow_nan) for spec in theirs]
        for ours, theirs in ((one.inputs, other.inputs), (one.outputs, other.outputs))
    )


def _shares_memory(request: InferenceRequest) -> bool:
    return any(wanted.region is not None for wanted in request.wanted) or any(
        tensor.region is not None for tensor in request.inputs
    )
