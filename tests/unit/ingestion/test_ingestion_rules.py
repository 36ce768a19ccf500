"""Options, uploads, versions, findings and statistics: the rules beside the reading."""

import math
from base64 import b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import ConflictError, ExhaustedError, InvalidError
from onecode_ingestion.domain.columns import Column, ColumnType, Schema
from onecode_ingestion.domain.findings import ERROR, WARNING, Finding, Occurrences, refuse_errors
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.statistics import describe
from onecode_ingestion.domain.upload import (
    check_end,
    check_expected,
    check_file_name,
    check_offset,
    parse_metadata,
    parse_number,
)
from onecode_ingestion.domain.version import version_id


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (ReadOptions(format="xlsx"), "format", "xlsx"),
        (ReadOptions(encoding="utf-7"), "encoding", "utf-7"),
        (ReadOptions(delimiter="ab"), "delimiter", "ab"),
        (ReadOptions(delimiter='"'), "delimiter", '"'),
        (ReadOptions(delimiter="\n"), "delimiter", "\n"),
        (ReadOptions(delimiter="1"), "delimiter", "1"),
        (ReadOptions(ragged_rows="shift"), "ragged_rows", "shift"),
        (ReadOptions(bad_cells="zero"), "bad_cells", "zero"),
        (ReadOptions(columns=(("a", ColumnType.TEXT), ("a", ColumnType.FLOAT))), "columns", "a"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_name_and_value(
    options: ReadOptions, field: str, value: str
) -> None:
    with pytest.raises(InvalidError) as refusal:
        options.checked()
    assert refusal.value.code == "options.invalid"
    assert refusal.value.params == {"field": field, "value": value}


def test_options_survive_their_document() -> None:
    options = ReadOptions(
        format="csv",
        encoding="utf-8",
        delimiter=";",
        header=True,
        decimal_comma=False,
        columns=(("a", ColumnType.TEXT),),
        target="a",
        time_column="t",
        id_column="i",
        ragged_rows="drop",
        bad_cells="missing",
    )
    assert ReadOptions.from_document(options.to_document()) == options


def test_a_version_id_names_bytes_options_and_schema() -> None:
    """Pinned: a version that was committed by an older release keeps its id."""
    schema = Schema((Column("a", ColumnType.INTEGER), Column("b", ColumnType.TEXT, nullable=True)), target="b")
    first = version_id("0" * 64, ReadOptions(format="csv"), schema)
    assert first == "sha256:022765e0c24a02ed7633135f1437e9d6258f9c1d2764b4d3d72c7f67f22e7fd0"
    assert version_id("1" * 64, ReadOptions(format="csv"), schema) != first
    assert version_id("0" * 64, ReadOptions(format="csv", delimiter=";"), schema) != first
    assert version_id("0" * 64, ReadOptions(format="csv"), Schema(schema.columns)) != first


def test_only_errors_forbid_a_commit_and_the_first_one_names_its_rows() -> None:
    warning = Finding("data.constant_column", WARNING, 5, "constant", "a")
    refuse_errors([warning])
    ragged = Finding("data.ragged", ERROR, 3, "line 1204 has 7 values, the header has 6 columns", rows=(1204, 1301))
    with pytest.raises(InvalidError) as refusal:
        refuse_errors([warning, ragged])
    assert (refusal.value.code, refusal.value.params["rows"], refusal.value.params["count"]) == (
        "data.ragged",
        "1204, 1301",
        "3",
    )
    assert "drop" in refusal.value.hint


def test_occurrences_remember_the_first_five_lines_and_count_all() -> None:
    seen = Occurrences()
    for line in range(10, 20):
        seen.add(line, f"example {line}")
    assert (seen.count, seen.rows, seen.example) == (10, [10, 11, 12, 13, 14], "example 10")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a\\b", "C:x", "..", ".", "a\0b", "a\nb", "x" * 256, "\u202ea"]
)
def test_a_file_name_is_never_a_path(name: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_file_name(name)
    assert refusal.value.code == "upload.file_name"
    assert refusal.value.params["value"] == name[:80]


@pytest.mark.parametrize("text", [None, "", "-1", "1.5", "0x10", "1e3", "９", "1" * 19, " 1", "NaN"])
def test_a_length_is_a_plain_whole_number(text: str | None) -> None:
    with pytest.raises(InvalidError) as refusal:
        parse_number(text, "Upload-Length")
    assert (refusal.value.code, refusal.value.params["header"]) == ("upload.malformed", "Upload-Length")


def test_metadata_is_names_with_base64_of_utf8() -> None:
    name = b64encode("读数.csv".encode()).decode()
    assert parse_metadata(f"filename {name}, is_confidential") == {"filename": "读数.csv", "is_confidential": ""}
    for text in ("filename !!!", "filename /w==", f"a {name},a {name}", "x " + "A" * 5000):
        with pytest.raises(InvalidError) as refusal:
            parse_metadata(text)
        assert refusal.value.code == "upload.malformed"


def test_bytes_go_on_where_they_are_and_end_where_they_were_announced() -> None:
    check_offset("u_1", 5, 5)
    check_end(10, 10)
    with pytest.raises(ConflictError) as elsewhere:
        check_offset("u_1", 4, 5)
    assert elsewhere.value.params == {"offset": "5", "value": "4"}
    with pytest.raises(ExhaustedError):
        check_end(11, 10)
    assert check_expected("A" * 64) == "a" * 64
    with pytest.raises(InvalidError):
        check_expected("abc")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_statistics_of_any_finite_numbers_are_finite_and_ordered(values: list[float]) -> None:
    described = describe(np.array(values))
    assert (described["min"], described["max"]) == (min(values), max(values))
    marks = list(described["quantiles"].values())
    assert marks == sorted(marks)
    assert all(math.isfinite(mark) for mark in marks)
    assert sum(one["count"] for one in described["histogram"]) == len(values)
    assert all(math.isfinite(described[name]) for name in ("mean", "std") if name in described)


def test_known_numbers_have_known_statistics() -> None:
    described = describe(np.arange(101, dtype=np.float64))
    assert described["mean"] == pytest.approx(50)
    assert described["std"] == pytest.approx(29.1547594742265)
    assert described["quantiles"]["0.05"] == pytest.approx(5)
    assert [one["count"] for one in describe(np.array([3.0, 3.0]))["histogram"]] == [2]
    assert describe(np.array([])) == {}
