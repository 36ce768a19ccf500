"""Hold one loaded version: its session, its contract, and the refusal of answers that break the contract."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime as ort

from onecode_common.canonical import digest_of, sha256_hex
from onecode_common.errors import InvalidError, OnecodeError, UnavailableError
from onecode_serving.domain.contract import Contract, TensorSpec, parse_contract
from onecode_serving.domain.cost import Cost, batch_limit, fitted, sizes
from onecode_serving.domain.datatypes import BYTES, FLOATS, NUMPY
from onecode_serving.domain.tensors import Array
from onecode_serving.session import contract_of, open_session, require_same, trim_memory

_log = logging.getLogger(__name__)
NON_FINITE = "model.non_finite_output"
WRONG_OUTPUT = "model.wrong_output"
FAILED = "model.failed"
MODEL_FILE = "model.onnx"
_MOST_ROWS, _MOST_BYTES = 128, 64 << 10
_RUNS = 9
_LAST = 19
_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927
"""Multiples of these, without their whole parts, lie evenly between 0 and 1 and follow no short pattern."""
_LONG_S = 0.02
_FEWEST, _MOST_COMPARED = 8, 64
_COMPARING_S = 0.05
"""A model below 0.8 ms a row has :data:`_MOST_COMPARED` rows compared: where an order of additions shows at all, it
shows in the last bit of every fifth to twentieth answer.
"""


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
        return self.checked(self.execute(feeds), self._rows(feeds))

    def execute(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Return all outputs as the model gives them.

        Raises:
            OnecodeError: The model failed (code ``model.failed``).
        """
        call = self._call
        if call is None:
            message = f"model {self.model!r} version {self.version} is not in memory: ask again"
            raise UnavailableError(message, code="model.asleep")
        try:
            outputs: list[Array] = call(self._names, feeds, None)
        except Exception as error:  # onnxruntime's errors share no public root.
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


def load_version(manifest: Mapping[str, Any], onnx: bytes) -> ServedVersion:
    """Load verified bytes in this process, check them against their manifest, and answer a probe row.

    All of it in a thread of low priority, so that those who are served meanwhile notice little.

    Raises:
        InvalidError: The bytes are not the manifest's, do not load, or keep another contract.
        OnecodeError: The model fails on a probe row.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load", initializer=step_back) as quiet:
        return quiet.submit(_loaded, manifest, onnx).result()


def step_back() -> None:
    """Leave the processor to every other thread; for the calling thread only, and for good."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)


def _loaded(manifest: Mapping[str, Any], onnx: bytes) -> ServedVersion:
    contract = parse_contract(manifest.get("contract") or {})
    stated = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    if stated.get(MODEL_FILE) != sha256_hex(onnx):
        message = f"the model bytes are not those of the manifest: expected {stated.get(MODEL_FILE)}"
        raise InvalidError(message, code="version.digest")
    session = open_session(onnx)
    require_same(contract, contract_of(session))
    version = ServedVersion(
        str(manifest["model"]), int(manifest["release"]), digest_of(manifest), contract, session, len(onnx)
    )
    version.warm(probe_rows(contract))
    measure(version)
    trim_memory()
    return version


def probe_rows(contract: Contract) -> list[dict[str, Array]]:
    """Return harmless inputs: one and two rows of zeros, and the middle of the range seen in training.

    They prove that a version answers at all; what it answers is the golden set's affair.
    """
    probes = [{spec.name: _filled(spec, rows) for spec in contract.inputs} for rows in (1, 2)]
    if any(spec.minimum and spec.maximum for spec in contract.inputs):
        probes.append({spec.name: _middle(spec) for spec in contract.inputs})
    return probes


def measure(version: ServedVersion) -> None:
    """Find out what a run takes and how many rows may share one, by running rows within the range seen in training.

    Rows share a run only if both first axes count rows and batches are answered like single runs, in every bit: an
    answer must not depend on who else asked at that moment.

    Raises:
        OnecodeError: The model fails on a single row.
    """
    contract = version.contract
    most = _most_rows(contract) if all(spec.batched for spec in (*contract.inputs, *contract.outputs)) else 1
    sample = {spec.name: _drawn(spec, most) for spec in contract.inputs}
    samples = _sampled(version, sample, most)
    version.cost = fitted(samples)
    limit = batch_limit(samples)
    version.limit = limit if limit > 1 and _rows_are_apart(version, sample, limit) else 1


def _most_rows(contract: Contract) -> int:
    """Return the rows of the largest batch that is worth a try: wide rows fill the machine with few of them."""
    width = sum(_filled(spec, 1).nbytes for spec in contract.inputs)
    return min(_MOST_ROWS, max(_FEWEST, _MOST_BYTES // max(1, width)))


def _sampled(version: ServedVersion, sample: Mapping[str, Array], most: int) -> list[tuple[int, float]]:
    """Return (rows, seconds) by growing size, as far as more rows pay; a model that fails on two rows runs on one."""
    samples: list[tuple[int, float]] = []
    for rows in sizes(most):
        feeds = {name: array[:rows] for name, array in sample.items()} if most > 1 else sample
        try:
            samples.append((rows, min(_timed(version, feeds) for _ in range(_RUNS))))
        except OnecodeError:
            if not samples:
                raise
            break
        if samples[-1][1] > _LONG_S or 4 * batch_limit(samples) <= rows:
            break
    return samples


def _timed(version: ServedVersion, feeds: Mapping[str, Array]) -> float:
    started = time.perf_counter()
    version.execute(feeds)
    return time.perf_counter() - started


def _rows_are_apart(version: ServedVersion, sample: Mapping[str, Array], limit: int) -> bool:
    """Return whether a row's answer has the same bits whatever rows are beside it, in batches up to the limit.

    A lone row comes in memory of its own. Some kernels add numbers up in another order where a row begins elsewhere
    than at a multiple of 16 bytes, so a row looked at in its place among others would hide what is asked here.
    """
    try:
        most = len(next(iter(sample.values())))
        apart = [
            {name: array[row : row + 1].copy() for name, array in sample.items()}
            for row in range(min(_MOST_COMPARED, most))
        ]
        count = int(_COMPARING_S / max(_timed(version, apart[0]), _timed(version, apart[1]), 1e-9))
        count = max(_FEWEST, min(len(apart), count))
        single = [version.execute(feeds) for feeds in apart[:count]]
        for rows in {2, min(3, limit), limit}:
            for start in range(0, count, rows):
                end = min(start + rows, count)
                both = version.execute({name: array[start:end] for name, array in sample.items()})
                if not all(_like(whole, [one[index] for one in single[start:end]]) for index, whole in enumerate(both)):
                    return False
    except OnecodeError:
        return False
    return True


def _like(whole: Array, singles: Sequence[Array]) -> bool:
    if whole.shape[:1] != (len(singles),) or any(one.shape != (1, *whole.shape[1:]) for one in singles):
        return False
    alone = np.concatenate(singles)
    if whole.dtype == object:
        return bool((whole == alone).all())
    return whole.tobytes() == alone.tobytes()


def _drawn(spec: TensorSpec, rows: int) -> Array:
    """Return rows that differ: within the range seen in training, or around zero; texts and whole numbers are empty."""
    array = _filled(spec, rows)
    if spec.datatype not in FLOATS:
        return array
    # Draws alone are multiples of one small number, and their sums need no rounding that could differ: products do.
    # Two sequences that fill an interval evenly do for dice, whose library is 4 MiB in every server's memory.
    place = np.arange(1.0, array.size + 1.0).reshape(array.shape)
    drawn = (2.0 * (place * _GOLDEN % 1.0) - 1.0) * (place * _PLASTIC % 1.0)
    if array.size and array[0].size == len(spec.minimum) == len(spec.maximum):
        low, high = (np.array(edge).reshape(array.shape[1:]) for edge in (spec.minimum, spec.maximum))
        drawn = low + (drawn + 1) / 2 * (high - low)
    return drawn.astype(array.dtype)


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
