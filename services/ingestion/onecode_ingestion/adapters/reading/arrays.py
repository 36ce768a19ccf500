"""Look at whole columns of text at once: count what the cells look like, and turn them into values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from onecode_ingestion.domain import cells
from onecode_ingestion.domain.cells import Tally
from onecode_ingestion.domain.columns import ColumnType

ARROW_TYPES: dict[ColumnType, Any] = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
    ColumnType.TEXT: pa.string(),
}
"""How each column type is kept in Parquet."""

_TRUE = ("true", "True", "TRUE", "1", "yes", "Yes", "YES")
_FALSE = ("false", "False", "FALSE", "0", "no", "No", "NO")
_DECIDED_AFTER = 5_000
_HAS_OFFSET = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_DATE_LENGTH = 10

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Values:
    """A column of values.

    Attributes:
        array: Of its column's Arrow type; misfits are missing.
        bad: Cells that do not fit the type.
        non_finite: Numbers that are infinite or too large for 64 bits.
    """

    array: Any
    bad: Mask
    non_finite: Mask


def count_cells(text: Any, tally: Tally, *, decimal_comma: bool) -> None:
    """Add the cells of a text array to the tally; a column that is clearly text is no longer looked at."""
    known = tally.cells - tally.empty - tally.missing
    regular = tally.integer + tally.number + tally.boolean + tally.timestamp
    if known > _DECIDED_AFTER and regular * 2 < known:
        return
    rest = pc.utf8_trim_whitespace(text)
    tally.cells += len(rest)
    for field, pattern in (
        ("integer", cells.INTEGER),
        ("number", _number(decimal_comma)),
        ("missing", cells.MISSING_TOKENS),
        ("timestamp", cells.TIMESTAMP),
        ("boolean", cells.BOOLEAN_TOKENS),
        ("non_finite", cells.NON_FINITE),
    ):
        if not len(rest):
            return
        fits = _fits(rest, pattern)
        found = rest.filter(fits)
        rest = rest.filter(pc.invert(fits))
        if field == "number":
            coded = _count(_fits(found, cells.DIGITS))
            tally.coded += coded
            tally.number += len(found) - coded
        elif field == "missing":
            empty = _count(pc.equal(found, ""))
            tally.empty += empty
            tally.missing += len(found) - empty
        else:
            setattr(tally, field, getattr(tally, field) + len(found))


def to_values(text: Any, type_: ColumnType, *, decimal_comma: bool) -> Values:
    """Return the values of a text array as a column of the type."""
    nothing = np.zeros(len(text), np.bool_)
    if type_ is ColumnType.TEXT:
        return Values(pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text), nothing, nothing)
    trimmed = pc.utf8_trim_whitespace(text)
    missing = _mask(_fits(trimmed, cells.MISSING_TOKENS))
    if type_ is ColumnType.FLOAT:
        return _floats(trimmed, missing, decimal_comma=decimal_comma)
    if type_ is ColumnType.INTEGER:
        fits = _fits(trimmed, cells.ANY_INTEGER)
        array = _kept(pc.utf8_ltrim(trimmed, "+"), fits).cast(pa.int64())
    elif type_ is ColumnType.BOOLEAN:
        fits = _fits(trimmed, (*_TRUE, *_FALSE))
        array = pc.if_else(fits, _fits(trimmed, _TRUE), pa.scalar(None, pa.bool_()))
    else:
        array = _timestamps(trimmed)
        fits = pc.is_valid(array)
    return Values(array, ~(missing | _mask(fits)), nothing)


def check_finite(array: Any) -> Values:
    """Return a float column in which infinite numbers and NaN have become missing; only the former are counted."""
    nothing = np.zeros(len(array), np.bool_)
    infinite = _mask(pc.fill_null(pc.is_inf(array), fill_value=False))
    finite = pc.fill_null(pc.is_finite(array), fill_value=False)
    return Values(pc.if_else(finite, array, pa.scalar(None, pa.float64())), nothing, infinite)


def _floats(trimmed: Any, missing: Mask, *, decimal_comma: bool) -> Values:
    fits = _fits(trimmed, _number(decimal_comma))
    plain = pc.utf8_ltrim(trimmed, "+")
    if decimal_comma:
        plain = pc.replace_substring(plain, ",", ".")
    finite = check_finite(_kept(plain, fits).cast(pa.float64()))
    infinite = finite.non_finite | _mask(_fits(trimmed, cells.NON_FINITE))
    return Values(finite.array, ~(missing | _mask(fits) | infinite), infinite)


def _timestamps(trimmed: Any) -> Any:
    fits = _fits(trimmed, cells.TIMESTAMP)
    plain = pc.replace_substring(_kept(trimmed, fits), "/", "-")
    plain = pc.if_else(
        pc.equal(pc.utf8_length(plain), _DATE_LENGTH), pc.binary_join_element_wise(plain, "T00:00", ""), plain
    )
    zoned = pc.match_substring_regex(plain, _HAS_OFFSET)
    plain = pc.if_else(zoned, plain, pc.binary_join_element_wise(plain, "Z", ""))
    try:
        return plain.cast(ARROW_TYPES[ColumnType.TIMESTAMP])
    except pa.ArrowInvalid:
        # Somewhere is a date like 30 February: find it cell by cell.
        return pa.array([_moment(cell) for cell in plain.to_pylist()], ARROW_TYPES[ColumnType.TIMESTAMP])


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(decimal_comma: bool) -> str:
    return cells.NUMBER_COMMA if decimal_comma else cells.NUMBER


def _fits(text: Any, pattern: str | tuple[str, ...]) -> Any:
    if isinstance(pattern, tuple):
        return pc.is_in(text, value_set=pa.array(pattern, pa.string()))
    return pc.match_substring_regex(text, pattern)


def _kept(text: Any, fits: Any) -> Any:
    return pc.if_else(fits, text, pa.scalar(None, pa.string()))


def _count(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _mask(array: Any) -> Mask:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)
