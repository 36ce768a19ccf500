"""Find out what a run of a model takes and how many rows may share one."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from onecode_common.errors import OnecodeError
from onecode_serving.domain.contract import Contract
from onecode_serving.domain.cost import batch_limit, fitted, sizes
from onecode_serving.domain.tensors import Array
from onecode_serving.probes import drawn_rows, filled_rows
from onecode_serving.version import ServedVersion

_MOST_ROWS, _MOST_BYTES = 128, 64 << 10
_RUNS = 9
_LONG_S = 0.02
_FEWEST, _MOST_COMPARED = 8, 64
_COMPARING_S = 0.05
"""A model below 0.8 ms a row has :data:`_MOST_COMPARED` rows compared: where an order of additions shows at all, it
shows in the last bit of every fifth to twentieth answer.
"""


def measure(version: ServedVersion) -> None:
    """Find out what a run takes and how many rows may share one, by running rows within the range seen in training.

    Rows share a run only if both first axes count rows and batches are answered like single runs, in every bit: an
    answer must not depend on who else asked at that moment.

    Raises:
        OnecodeError: The model fails on a single row.
    """
    contract = version.contract
    most = _most_rows(contract) if all(spec.batched for spec in (*contract.inputs, *contract.outputs)) else 1
    sample = {spec.name: drawn_rows(spec, most) for spec in contract.inputs}
    samples = _sampled(version, sample, most)
    version.cost = fitted(samples)
    limit = batch_limit(samples)
    version.limit = limit if limit > 1 and _rows_are_apart(version, sample, limit) else 1
    # Larger batches than it will ever have were tried.
    version.execute({name: array[:1] for name, array in sample.items()} if most > 1 else sample, version.limit + 1)


def _most_rows(contract: Contract) -> int:
    """Return the rows of the largest batch that is worth a try: wide rows fill the machine with few of them."""
    width = sum(filled_rows(spec, 1).nbytes for spec in contract.inputs)
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
