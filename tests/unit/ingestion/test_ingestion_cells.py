"""What a column is follows strictly from what its cells look like."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_ingestion.domain import cells
from onecode_ingestion.domain.cells import Tally, infer_type
from onecode_ingestion.domain.columns import ColumnType


@pytest.mark.parametrize(
    ("tally", "type_"),
    [
        (Tally(cells=3, integer=3), ColumnType.INTEGER),
        (Tally(cells=3, integer=2, number=1), ColumnType.FLOAT),
        (Tally(cells=5, integer=2, empty=2, missing=1), ColumnType.INTEGER),
        (Tally(cells=3, integer=2, non_finite=1), ColumnType.FLOAT),
        (Tally(cells=3, boolean=3), ColumnType.BOOLEAN),
        (Tally(cells=3, timestamp=2, empty=1), ColumnType.TIMESTAMP),
        (Tally(cells=3, integer=2, coded=1), ColumnType.TEXT),
        (Tally(cells=3, boolean=1, integer=2), ColumnType.TEXT),
        (Tally(cells=3, timestamp=2), ColumnType.TEXT),
        (Tally(cells=2, non_finite=2), ColumnType.TEXT),
        (Tally(cells=4, empty=3, missing=1), ColumnType.TEXT),
        (Tally(), ColumnType.TEXT),
    ],
)
def test_the_narrowest_type_that_fits_every_cell(tally: Tally, type_: ColumnType) -> None:
    assert infer_type(tally) is type_


@pytest.mark.parametrize(("good", "bad", "is_number"), [(20, 1, True), (19, 1, False), (94, 6, False), (950, 50, True)])
def test_a_few_misfits_among_many_numbers_do_not_make_a_sensor_a_text(good: int, bad: int, is_number: bool) -> None:
    """95 % and at least 20 numbers: the misfits are then bad cells, which somebody must decide about."""
    inferred = infer_type(Tally(cells=good + bad, number=good))
    assert (inferred is ColumnType.FLOAT) == is_number


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("0", "integer"),
        ("-12", "integer"),
        ("+7", "integer"),
        ("999999999999999999", "integer"),
        ("1.5", "number"),
        (".5", "number"),
        ("5.", "number"),
        ("-1e-300", "number"),
        ("007", "coded"),
        ("12345678901234567890", "coded"),
        ("1e99999", ""),
        ("0x10", ""),
        ("1_000", ""),
        ("1,5", ""),
        ("١٢", ""),
        ("", ""),
        ("--1", ""),
        ("1.2.3", ""),
        ("e5", ""),
    ],
)
def test_numbers_look_like_numbers_and_nothing_else_does(text: str, fits: str) -> None:
    is_integer = bool(re.match(cells.INTEGER, text))
    is_number = bool(re.match(cells.NUMBER, text))
    is_coded = bool(re.match(cells.DIGITS, text)) and not is_integer
    found = "integer" if is_integer else "coded" if is_coded else "number" if is_number else ""
    assert found == fits


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18) + 1, 10**18 - 1))
def test_every_finite_number_that_a_program_prints_is_a_number(value: float) -> None:
    assert re.match(cells.NUMBER, str(value))
    assert re.match(cells.NUMBER_COMMA, str(value).replace(".", ","))


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("2026-01-31", True),
        ("2026/01/31 23:59", True),
        ("2026-01-31T23:59:59.123456+08:00", True),
        ("2026-01-31T23:59:59Z", True),
        ("2026-13-01", False),
        ("2026-01-32", False),
        ("2026-01-31T24:00", False),
        ("31.01.2026", False),
        ("2026-01-31T23:59:59.1234567", False),
        ("20260131", False),
    ],
)
def test_times_are_iso_8601(text: str, is_time: bool) -> None:
    assert bool(re.match(cells.TIMESTAMP, text)) == is_time
