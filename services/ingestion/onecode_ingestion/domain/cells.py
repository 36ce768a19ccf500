"""Decide what a column is, from how many of its cells look like what. Strict: one misfit is never silently kept.

The patterns are RE2 as well as :mod:`re`, so that the same rule can run over a whole column at once.
"""

from dataclasses import dataclass

from onecode_ingestion.domain.columns import ColumnType

INTEGER = r"^[+-]?(0|[1-9][0-9]{0,17})$"
"""At most 18 digits, which always fit 64 bits; ``007`` is a code, not a number."""

ANY_INTEGER = r"^[+-]?[0-9]{1,18}$"
"""What a column that was *said* to be integer may hold."""

DIGITS = r"^[+-]?[0-9]+$"
"""Whole numbers of any length and codes with leading zeros."""

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"
NUMBER_COMMA = r"^[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]{1,4})?$"
NON_FINITE = r"^[+-]?(?i:inf|infinity)$"
TIMESTAMP = (
    r"^[0-9]{4}[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12][0-9]|3[01])"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
"""ISO 8601 with dashes or slashes; without an offset it is read as UTC."""

MISSING_TOKENS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "none", "#N/A", "-", "?")
"""Cells that are missing in every column but text, where only the empty cell is."""

BOOLEAN_TOKENS = ("true", "false", "True", "False", "TRUE", "FALSE")

_NEARLY = 0.95
_ENOUGH = 20


@dataclass(slots=True)
class Tally:
    """How many cells of a column look like what.

    Attributes:
        cells: All of them.
        empty: With no text.
        missing: Another missing token.
        integer: Match :data:`INTEGER`.
        coded: Match :data:`DIGITS` but not :data:`INTEGER`: too long for 64 bits, or with leading zeros.
        number: Numbers that are neither.
        non_finite: Infinities.
        boolean: ``true`` or ``false``.
        timestamp: Match :data:`TIMESTAMP`.
    """

    cells: int = 0
    empty: int = 0
    missing: int = 0
    integer: int = 0
    coded: int = 0
    number: int = 0
    non_finite: int = 0
    boolean: int = 0
    timestamp: int = 0


def infer_type(tally: Tally) -> ColumnType:
    """Return the narrowest type of the column.

    A column in which at least 95 % (and 20) of the cells are numbers is numeric: the others are bad cells, which
    refuse the commit until somebody decides about them. Codes and long numbers make a column text, for as numbers
    they would lose digits.
    """
    known = tally.cells - tally.empty - tally.missing
    if known <= 0:
        return ColumnType.TEXT
    numbers = tally.integer + tally.number + tally.non_finite
    if tally.boolean == known:
        return ColumnType.BOOLEAN
    if tally.timestamp == known:
        return ColumnType.TIMESTAMP
    nearly = numbers >= max(_ENOUGH, _NEARLY * known)
    if tally.coded or not (numbers == known or nearly) or numbers == tally.non_finite:
        return ColumnType.TEXT
    return ColumnType.FLOAT if tally.number or tally.non_finite else ColumnType.INTEGER
