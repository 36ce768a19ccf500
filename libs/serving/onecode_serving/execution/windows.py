"""Keep the last rows of each sensor, so that its caller sends every reading once and the model sees a whole window."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onecode_common.errors import InvalidError, PreconditionError
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.messages import Parameter
from onecode_serving.domain.options import WindowOptions
from onecode_serving.domain.tensors import Array


class _Sequence:
    __slots__ = ("rows", "used")

    def __init__(self, rows: Array, used: float) -> None:
        self.rows = rows
        self.used = used


class Windows:
    """The windows of one model, whatever version answers: rows are what callers sent, not what a version made of it.

    Args:
        options: Which input, how many rows, how many sequences.
    """

    def __init__(self, options: WindowOptions) -> None:
        self._options = options
        self._sequences: OrderedDict[int | str, _Sequence] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sequences)

    def contract(self, contract: Contract) -> Contract:
        """Return what callers send: rows in place of windows.

        Raises:
            InvalidError: The model has no such input, or it takes no windows of this size.
        """
        spec = contract.input(self._options.input)
        if spec is None or not self._fits(spec):
            shape = "no such input" if spec is None else str(list(spec.shape))
            message = (
                f"a window of {self._options.rows} rows needs input {self._options.input!r} of shape "
                f"[-1, {self._options.rows}, ...]: the model has {shape}"
            )
            raise InvalidError(message, code="window.input", params={"field": self._options.input})
        rows = replace(spec, shape=(-1, *spec.shape[2:]))
        return Contract(tuple(rows if one is spec else one for one in contract.inputs), contract.outputs)

    def _fits(self, spec: TensorSpec) -> bool:
        return spec.batched and len(spec.shape) > 1 and spec.shape[1] in (-1, self._options.rows)

    def filled(self, feeds: dict[str, Array], parameters: Mapping[str, Parameter], now: float) -> dict[str, Array]:
        """Add the rows to their sequence and return the inputs with the window that ends with them.

        Args:
            feeds: By input, with rows where the model takes windows.
            parameters: ``sequence_id``, ``sequence_start``, ``sequence_end``.
            now: Monotonic seconds.

        Raises:
            InvalidError: No sequence is named, or it was not started.
            PreconditionError: Too few rows came so far; they are kept.
        """
        name, size = self._options.input, self._options.rows
        sequence = parameters.get("sequence_id")
        if not isinstance(sequence, int | str) or not sequence:
            message = "the model keeps a window by sequence: set sequence_id, and sequence_start on the first call"
            raise InvalidError(message, code="sequence.unnamed", params={"field": "sequence_id"})
        rows = self._extended(sequence, feeds[name], started=bool(parameters.get("sequence_start")), now=now)
        if parameters.get("sequence_end"):
            self._sequences.pop(sequence, None)
        if len(rows) < size:
            message = f"sequence {str(sequence)[:80]!r} has {len(rows)} of {size} rows: send {size - len(rows)} more"
            raise PreconditionError(message, code="window.filling", params={"rows": len(rows), "expected": size})
        return {**feeds, name: rows[None]}

    def _extended(self, sequence: int | str, rows: Array, *, started: bool, now: float) -> Array:
        self._forget(now)
        kept = self._sequences.get(sequence)
        if started:
            kept = None
        elif kept is None:
            message = f"sequence {str(sequence)[:80]!r} is not known here: begin it with sequence_start"
            raise InvalidError(message, code="sequence.unknown", params={"field": "sequence_id"})
        joined = rows if kept is None else np.concatenate([kept.rows, rows])
        # A copy: the rows are a view of a request that should not live as long.
        window = joined[-self._options.rows :].copy()
        self._sequences[sequence] = _Sequence(window, now)
        self._sequences.move_to_end(sequence)
        if len(self._sequences) > self._options.sequences:
            self._sequences.popitem(last=False)
        return window

    def _forget(self, now: float) -> None:
        while self._sequences:
            first = next(iter(self._sequences))
            if now - self._sequences[first].used <= self._options.idle_s:
                return
            del self._sequences[first]
