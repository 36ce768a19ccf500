"""Make of a request what the model is given, and of the model's arrays the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onecode_common.errors import OnecodeError
from onecode_serving.counters import Counters
from onecode_serving.domain.classification import top_classes
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import BYTES
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Output, Parameter
from onecode_serving.domain.tensors import Array
from onecode_serving.domain.validation import Limits, check_parameters, feeds_of, wanted_of
from onecode_serving.execution.job import Target
from onecode_serving.version import NON_FINITE

_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Work:
    """A request that was found good.

    Attributes:
        feeds: Arrays by input.
        wanted: Outputs to give, each with its number of top classes (0: the numbers).
        rows: Along the batch axis.
        deadline: Monotonic seconds.
        priority: 0 for none; 1 runs first.
    """

    request: InferenceRequest
    target: Target
    feeds: Mapping[str, Array]
    wanted: Sequence[tuple[TensorSpec, int]]
    rows: int
    deadline: float
    priority: int

    def reply(self, arrays: Sequence[Array]) -> InferenceReply:
        """Return the answer made of all outputs, in the contract's order."""
        version = self.target.version
        by_name = dict(zip((spec.name for spec in version.contract.outputs), arrays, strict=True))
        outputs = tuple(_output(spec, by_name[spec.name], classes) for spec, classes in self.wanted)
        return InferenceReply(
            version.model,
            version.version,
            self.request.request_id,
            outputs,
            version.digest,
            version.release,
            self.target.role,
        )


def work_of(request: InferenceRequest, target: Target, limits: Limits, arrived: float, default_s: float) -> Work:
    """Return the work of a request.

    Raises:
        InvalidError: It does not fit the version's contract.
    """
    lane = target.lane
    contract = lane.contract
    check_parameters(request.parameters)
    wanted = wanted_of(request.wanted, contract)
    feeds = feeds_of(request.inputs, contract, limits)
    if lane.windows is not None:
        feeds = lane.windows.filled(feeds, request.parameters, arrived)
        contract = lane.version.contract
    rows = next((feeds[spec.name].shape[0] for spec in contract.inputs if spec.batched and spec.name in feeds), 1)
    deadline = arrived + default_s if request.deadline is None else request.deadline
    deadline = min(deadline, arrived + timeout_of(request.parameters))
    return Work(request, target, feeds, wanted, rows, deadline, priority_of(request.parameters))


def timeout_of(parameters: Mapping[str, Parameter]) -> float:
    """Return the seconds of the parameter ``timeout`` (microseconds); infinite without one."""
    timeout = parameters.get("timeout")
    return timeout / _MICRO if isinstance(timeout, int) and timeout > 0 else float("inf")


def priority_of(parameters: Mapping[str, Parameter]) -> int:
    """Return the parameter ``priority``; 0 without one."""
    priority = parameters.get("priority")
    return priority if isinstance(priority, int) and priority > 0 else 0


def count_run(counters: Counters, target: Target, wall: float, seconds: float, error: OnecodeError | None) -> None:
    """Count how one request went, for the arm that it belongs to.

    Args:
        counters: Of arms.
        target: Whom it was for.
        wall: Unix seconds.
        seconds: From arrival to answer.
        error: Why there is none.
    """
    if target.key is None:
        return
    counters.record(
        target.key,
        wall,
        seconds,
        bad=error is not None,
        non_finite=error is not None and error.code == NON_FINITE,
        assigned=target.assigned,
    )


def _output(spec: TensorSpec, array: Array, classes: int) -> Output:
    if classes:
        return Output(spec.name, BYTES, top_classes(array, spec, classes))
    return Output(spec.name, spec.datatype, array)
