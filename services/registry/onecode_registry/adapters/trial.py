"""Run a foreign model for the first time, in the child that gateways use too."""

import threading

from onecode_common.errors import InvalidError
from onecode_registry.adapters.inspector import tensors
from onecode_registry.ports import Probed
from onecode_serving.trial import TrialLimits, try_model

_AT_ONCE = 2
# Together with the look into the file it must end before the caller gives up, after 20 s.
_LIMITS = TrialLimits(wall_s=13.0)
_CODES = {
    "load": "model.unsupported",
    "nan_on_probe": "model.nan_on_probe",
    "memory": "model.over_budget",
    "timeout": "model.over_budget",
}


class ChildTrial:
    """See :class:`onecode_registry.ports.Trial`."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def probe(self, content: bytes) -> Probed:
        """Return what was found."""
        with self._slots:
            report = try_model(content, limits=_LIMITS)
        if not report.ok:
            message = f"the model was refused when it was tried: {report.detail}"
            code = _CODES.get(report.cause, "model.crashed")
            raise InvalidError(message, code=code, params={"cause": report.cause})
        return Probed(tensors(list(report.inputs)), tensors(list(report.outputs)), report.p95_us)
