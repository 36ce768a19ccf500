"""Hold one loaded version: its session, its contract, and the refusal of answers that break the contract."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from onecode_common.errors import OnecodeError, UnavailableError
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.datatypes import FLOATS, NUMPY
from onecode_serving.domain.tensors import Array
from onecode_serving.runtime_errors import RUNTIME_ERRORS
from onecode_serving.session import open_session, returning

_log = logging.getLogger(__name__)
NON_FINITE = "model.non_finite_output"
WRONG_OUTPUT = "model.wrong_output"
FAILED = "model.failed"


class ServedVersion:
    """One version that can answer; safe to use from several threads.

    Attributes:
        model: Name.
        release: Its number; as text it is the protocol's version.
        digest: ``sha256:<hex>`` of the manifest.
        contract: What it takes and gives.
        cost: What a run takes, measured when it was warmed.
        limit: Rows of one batch where more no longer pay; 1 for a model that must run alone.
        size_bytes: Of the model file.
    """

    def __init__(
        self,
        model: str,
        release: int,
        digest: str,
        contract: Contract,
        session: ort.InferenceSession,
        size_bytes: int = 0,
    ) -> None:
        self.model = model
        self.release = release
        self.digest = digest
        self.contract = contract
        self.cost = Cost(0.0, 0.0)
        self.limit = 1
        self.size_bytes = size_bytes
        self._names = [spec.name for spec in contract.outputs]
        self._kinds = [NUMPY[spec.datatype] for spec in contract.outputs]
        self._call: Any = None
        self._take(session)

    def _take(self, session: ort.InferenceSession) -> None:
        # The object below the public one checks nothing again: a sixth of the time of a small model.
        self._call = getattr(session, "_sess", session).run

    @property
    def asleep(self) -> bool:
        """Whether its session has left the memory."""
        return self._call is None

    def sleep(self) -> None:
        """Let go of the session; a run that is under way ends well."""
        self._call = None

    def wake(self, onnx: bytes) -> None:
        """Load the session again.

        Args:
            onnx: The verified bytes of this version.

        Raises:
            InvalidError: They do not load.
        """
        self._take(open_session(onnx))

    @property
    def version(self) -> str:
        """The protocol's version string."""
        return str(self.release)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Return all outputs in the contract's order.

        Raises:
            OnecodeError: The model failed, or gave non-finite numbers or a wrong shape (codes ``model.…``).
        """
        rows = self._rows(feeds)
        return self.checked(self.execute(feeds, rows), rows)

    def execute(self, feeds: Mapping[str, Array], rows: int = 1) -> list[Array]:
        """Return all outputs as the model gives them; memory for more rows than a batch has is given back at once.

        Raises:
            OnecodeError: The model failed (code ``model.failed``).
        """
        call = self._call
        if call is None:
            message = f"model {self.model!r} version {self.version} is not in memory: ask again"
            raise UnavailableError(message, code="model.asleep")
        try:
            outputs: list[Array] = call(self._names, feeds, None if rows <= self.limit else returning())
        except RUNTIME_ERRORS as error:
            _log.warning("model %s release %s failed: %s", self.model, self.release, str(error)[:300])
            message = f"model {self.model!r} version {self.version} failed on this input"
            raise OnecodeError(message, code=FAILED) from error
        return outputs

    def checked(self, arrays: list[Array], rows: int) -> list[Array]:
        """Return the outputs if they keep the contract.

        Raises:
            OnecodeError: Non-finite numbers, another type or shape (codes ``model.…``).
        """
        for array, spec, kind in zip(arrays, self.contract.outputs, self._kinds, strict=True):
            shape = spec.shape
            if (
                type(array) is np.ndarray
                and array.dtype == kind
                and array.shape[1:] == shape[1:]
                and array.ndim == len(shape)
                and (array.shape[:1] == ((rows,) if shape and shape[0] == -1 else shape[:1]))
                and (spec.datatype not in FLOATS or np.isfinite(array).all())
            ):
                continue
            self._checked(array, spec, rows)
        return arrays

    def warm(self, feeds: Sequence[Mapping[str, Array]]) -> None:
        """Answer these rows once each, which makes the session allocate what it needs.

        Raises:
            OnecodeError: As :meth:`run`.
        """
        for row in feeds:
            self.run(row)

    def _rows(self, feeds: Mapping[str, Array]) -> int:
        return next((feeds[spec.name].shape[0] for spec in self.contract.inputs if spec.batched), 1)

    def _checked(self, array: Any, spec: TensorSpec, rows: int) -> Array:
        expected = (rows, *spec.shape[1:]) if spec.batched else spec.shape
        if not isinstance(array, np.ndarray) or array.dtype != NUMPY[spec.datatype]:
            raise self._broken(spec, WRONG_OUTPUT, spec.datatype, getattr(array, "dtype", type(array).__name__))
        if len(array.shape) != len(expected) or any(
            want not in (-1, got) for want, got in zip(expected, array.shape, strict=True)
        ):
            raise self._broken(spec, WRONG_OUTPUT, f"shape {list(expected)}", f"shape {list(array.shape)}")
        if spec.datatype in FLOATS and not np.isfinite(array).all():
            raise self._broken(spec, NON_FINITE, "finite numbers", "NaN or infinity")
        return array

    def _broken(self, spec: TensorSpec, code: str, expected: str, got: object) -> OnecodeError:
        message = f"output {spec.name!r} of model {self.model!r} version {self.version}: expected {expected}, got {got}"
        return OnecodeError(message, code=code, params={"field": spec.name, "expected": expected, "got": got})
