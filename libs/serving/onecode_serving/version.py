"""Hold one loaded version: its session, its contract, and the refusal of answers that break the contract."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from onecode_common.canonical import digest_of, sha256_hex
from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.domain.contract import Contract, TensorSpec, parse_contract
from onecode_serving.domain.datatypes import BYTES, FLOATS, NUMPY
from onecode_serving.domain.tensors import Array
from onecode_serving.session import contract_of, open_session, require_same

_log = logging.getLogger(__name__)
NON_FINITE = "model.non_finite_output"
WRONG_OUTPUT = "model.wrong_output"
FAILED = "model.failed"
MODEL_FILE = "model.onnx"


class ServedVersion:
    """One version that can answer; safe to use from several threads.

    Attributes:
        model: Name.
        release: Its number; as text it is the protocol's version.
        digest: ``sha256:<hex>`` of the manifest.
        contract: What it takes and gives.
        cost_s: Seconds of one run of one row, measured when it was warmed; 0 before.
    """

    def __init__(
        self, model: str, release: int, digest: str, contract: Contract, session: ort.InferenceSession
    ) -> None:
        self.model = model
        self.release = release
        self.digest = digest
        self.contract = contract
        self.cost_s = 0.0
        self._session = session
        self._names = [spec.name for spec in contract.outputs]

    @property
    def version(self) -> str:
        """The protocol's version string."""
        return str(self.release)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Return all outputs in the contract's order.

        Raises:
            OnecodeError: The model failed, or gave non-finite numbers or a wrong shape (codes ``model.…``).
        """
        try:
            outputs = self._session.run(self._names, feeds)
        except Exception as error:  # onnxruntime's errors share no public root.
            _log.warning("model %s release %s failed: %s", self.model, self.release, str(error)[:300])
            message = f"model {self.model!r} version {self.version} failed on this input"
            raise OnecodeError(message, code=FAILED) from error
        rows = self._rows(feeds)
        return [self._checked(array, spec, rows) for array, spec in zip(outputs, self.contract.outputs, strict=True)]

    def warm(self, feeds: Sequence[Mapping[str, Array]]) -> None:
        """Answer these rows once and measure the quicker of two runs of the first.

        Raises:
            OnecodeError: As :meth:`run`.
        """
        best = float("inf")
        for number, row in enumerate([feeds[0], *feeds]):
            started = time.perf_counter()
            self.run(row)
            if number <= 1:
                best = min(best, time.perf_counter() - started)
        self.cost_s = best

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


def load_version(manifest: Mapping[str, Any], onnx: bytes) -> ServedVersion:
    """Load verified bytes in this process, check them against their manifest, and answer a probe row.

    Raises:
        InvalidError: The bytes are not the manifest's, do not load, or keep another contract.
        OnecodeError: The model fails on a probe row.
    """
    contract = parse_contract(manifest.get("contract") or {})
    stated = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    if stated.get(MODEL_FILE) != sha256_hex(onnx):
        message = f"the model bytes are not those of the manifest: expected {stated.get(MODEL_FILE)}"
        raise InvalidError(message, code="version.digest")
    session = open_session(onnx)
    require_same(contract, contract_of(session))
    version = ServedVersion(str(manifest["model"]), int(manifest["release"]), digest_of(manifest), contract, session)
    version.warm(probe_rows(contract))
    return version


def probe_rows(contract: Contract) -> list[dict[str, Array]]:
    """Return harmless inputs: one and two rows of zeros, and the middle of the range seen in training.

    They prove that a version answers at all; what it answers is the golden set's affair.
    """
    probes = [{spec.name: _filled(spec, rows) for spec in contract.inputs} for rows in (1, 2)]
    if any(spec.minimum and spec.maximum for spec in contract.inputs):
        probes.append({spec.name: _middle(spec) for spec in contract.inputs})
    return probes


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    tail = tuple(1 if size < 0 else size for size in spec.shape[1:])
    return (rows, *tail) if spec.batched else tuple(1 if size < 0 else size for size in spec.shape)


def _filled(spec: TensorSpec, rows: int) -> Array:
    shape = _shape(spec, rows)
    return np.full(shape, "", object) if spec.datatype == BYTES else np.zeros(shape, NUMPY[spec.datatype])


def _middle(spec: TensorSpec) -> Array:
    row = _filled(spec, 1)
    if spec.datatype in FLOATS and row.size == len(spec.minimum) == len(spec.maximum):
        middle = [(low + high) / 2 for low, high in zip(spec.minimum, spec.maximum, strict=True)]
        return np.array(middle, row.dtype).reshape(row.shape)
    return row
