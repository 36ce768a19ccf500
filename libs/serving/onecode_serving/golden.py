"""Ask a version the questions whose answers are known, before anybody else does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import BINARY_ONLY, FLOATS, NUMPY
from onecode_serving.domain.messages import Tensor
from onecode_serving.domain.tensors import Array, decode, encode_raw
from onecode_serving.domain.validation import Limits, feeds_of
from onecode_serving.version import ServedVersion

MAX_BYTES = 1 << 20
MAX_ROWS = 1000
_FORMAT = 1
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One request and what must come back."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden set.

    Attributes:
        atol: Right is ``|a - b| <= atol + rtol * |b|`` for numbers, equality for the rest.
        allowed_mismatch: Rows that may be wrong.
    """

    rows: tuple[GoldenRow, ...]
    atol: float
    rtol: float
    allowed_mismatch: int


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How a version did; ``detail`` tells of the first wrong row."""

    passed: bool
    mismatches: int
    detail: str


def parse_golden(content: bytes) -> Golden:
    """Return the golden set of a ``golden.jsonl``: a header line, then one row a line.

    Raises:
        InvalidError: Too large, not JSON, or without the stated number of rows.
    """
    if len(content) > MAX_BYTES:
        message = f"the golden set has {len(content)} bytes: at most {MAX_BYTES} are read"
        raise InvalidError(message, code="golden.too_large")
    number = 1
    try:
        lines = content.splitlines()
        header = orjson.loads(lines[0])
        rows = []
        for line in lines[1:]:
            number += 1
            rows.append(_row(orjson.loads(line)))
        golden = Golden(tuple(rows), float(header["atol"]), float(header["rtol"]), int(header["allowed_mismatch"]))
        stated, form = int(header["rows"]), header["format"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        message = f"line {number} of the golden set cannot be read: {error!r}"
        raise InvalidError(message, code="golden.invalid", params={"line": number}) from error
    if form != _FORMAT or stated != len(golden.rows) or not 1 <= stated <= MAX_ROWS:
        message = f"the golden set states format {form} and {stated} rows: found {len(golden.rows)}, at most {MAX_ROWS}"
        raise InvalidError(message, code="golden.invalid")
    if not (0 <= golden.atol < 1 and 0 <= golden.rtol < 1 and 0 <= golden.allowed_mismatch < stated):
        message = "the golden set's tolerances allow every answer"
        raise InvalidError(message, code="golden.invalid")
    return golden


def golden_feeds(golden: Golden, contract: Contract, count: int) -> list[dict[str, Array]]:
    """Return the first rows as the model's inputs.

    Raises:
        InvalidError: A row does not fit the contract.
    """
    return [feeds_of(row.inputs, contract, _LIMITS, finite=False) for row in golden.rows[:count]]


def check_golden(version: ServedVersion, golden: Golden) -> GoldenResult:
    """Ask every row; a row that the version refuses or fails on is a wrong one."""
    mismatches = 0
    detail = ""
    for number, row in enumerate(golden.rows, 1):
        wrong = _ask(version, row, golden)
        if wrong:
            mismatches += 1
            detail = detail or f"row {number}: {wrong}"
    return GoldenResult(mismatches <= golden.allowed_mismatch, mismatches, detail)


def _ask(version: ServedVersion, row: GoldenRow, golden: Golden) -> str:
    try:
        outputs = version.run(feeds_of(row.inputs, version.contract, _LIMITS, finite=False))
    except OnecodeError as error:
        return error.message
    given = dict(zip((spec.name for spec in version.contract.outputs), outputs, strict=True))
    for expected in row.outputs:
        wrong = _compare(given.get(expected.name), expected, golden)
        if wrong:
            return f"output {expected.name!r}: {wrong}"
    return ""


def _compare(given: Array | None, expected: Tensor, golden: Golden) -> str:
    if given is None:
        return "the model does not give it"
    spec = TensorSpec(expected.name, expected.datatype, expected.shape)
    try:
        right = decode(expected, spec, _LIMITS.max_elements, finite=False)
    except (OnecodeError, KeyError) as error:
        return f"the expectation cannot be read: {error}"
    if given.dtype != right.dtype or given.shape != right.shape:
        return f"expected {right.dtype} {list(right.shape)}, got {given.dtype} {list(given.shape)}"
    if expected.datatype in FLOATS:
        a, b = given.astype(np.float64), right.astype(np.float64)
        good = np.abs(a - b) <= golden.atol + golden.rtol * np.abs(b)
    else:
        good = given == right
    if good.all():
        return ""
    index = int(np.argmin(good))
    return f"expected {right.ravel()[index]}, got {given.ravel()[index]} at element {index}"


def _row(document: Mapping[str, Any]) -> GoldenRow:
    return GoldenRow(_tensors(document["inputs"]), _tensors(document["outputs"]))


def _tensors(entries: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(map(_tensor, entries))


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    name, datatype, values = str(entry["name"]), str(entry["datatype"]), list(entry["data"])
    shape = tuple(int(size) for size in entry["shape"])
    if datatype not in BINARY_ONLY:
        return Tensor(name, datatype, shape, values=values)
    # A request has no numbers of these types; the file writes them as numbers all the same, None for a missing one.
    with np.errstate(over="ignore"):
        return Tensor(name, datatype, shape, raw=encode_raw(np.array(values, NUMPY[datatype]), datatype))
