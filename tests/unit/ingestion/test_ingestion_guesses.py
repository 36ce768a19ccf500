"""How a text was written is guessed from its own bytes, and a mixture is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import InvalidError
from onecode_ingestion.domain.dialect import guess_decimal_comma, guess_delimiter, guess_header, sample_rows
from onecode_ingestion.domain.encodings import LineCounts, bom_encoding, judge
from onecode_ingestion.domain.formats import check_named, format_of
from onecode_ingestion.domain.names import clean_names


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "comma"),
    [
        ("a,b\n1,2\n", ",", True, False),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";", True, True),
        ("1,5;2,5\n3,5;4,5\n", ";", False, True),
        ("a\tb\n1.5\t2\n", "\t", True, False),
        ("a|b|c\n1|2|3\n", "|", True, False),
        ("1,2\n3,4\n", ",", False, False),
        ("value\n1\n2\n", ",", True, False),
        ('name,note\n"x, y",1\n"z; w",2\n', ",", True, False),
        ("t,v\n2026-01-01 10:00,1.5\n", ",", True, False),
        ("2026-01-01,1.5\n", ",", False, False),
        ("温度;湿度\n1,5;2\n", ";", True, True),
        ("id;text\n1;a,b\n2;c,d\n3;e,f\n", ";", True, False),
    ],
)
def test_delimiter_header_and_decimal_sign_are_guessed(text: str, delimiter: str, header: bool, comma: bool) -> None:
    lines = text.splitlines(keepends=True)
    rows = sample_rows(lines, delimiter)
    assert guess_delimiter(lines) == delimiter
    assert guess_header(rows) is header
    assert guess_decimal_comma(rows, delimiter) is comma


@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.lists(st.tuples(st.integers(), st.floats(allow_nan=False), st.integers(0, 9)), min_size=3, max_size=20),
)
def test_a_table_of_numbers_gives_its_delimiter_away(delimiter: str, rows: list[tuple[float, ...]]) -> None:
    assert guess_delimiter([delimiter.join(str(one) for one in row) + "\n" for row in rows]) == delimiter


def counted(*lines: bytes) -> LineCounts:
    counts = LineCounts()
    for number, line in enumerate(lines, start=1):
        if not line.isascii():
            counts.add(number, line)
    return counts


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        ((b"plain",), "utf-8"),
        (("温度,20".encode(),), "utf-8"),
        (("温度,20".encode("gb18030"), "正常".encode("gb18030")), "gb18030"),
        ((b"plain", "阀门".encode("gb18030")), "gb18030"),
        (("\U00020000温度".encode("gb18030"),), "gb18030"),
    ],
)
def test_a_whole_text_has_one_encoding(lines: tuple[bytes, ...], encoding: str) -> None:
    assert judge(counted(*lines)) == encoding


@pytest.mark.parametrize(
    "lines",
    [
        ("温度,状态".encode(), *["正常".encode("gb18030")] * 500),
        ("温度".encode("gb18030"), *["正常运行".encode()] * 3),
        ("正常运行".encode(), "停机".encode("gb18030"), "检修中".encode()),
    ],
)
def test_two_encodings_in_one_text_are_refused_with_line_and_byte(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidError) as refusal:
        judge(counted(*lines))
    assert refusal.value.code == "data.encoding_mixed"
    assert int(refusal.value.params["row"]) == next(
        number for number, line in enumerate(lines, 1) if line != line.decode(errors="ignore").encode()
    )


def test_bytes_of_no_known_encoding_are_refused() -> None:
    with pytest.raises(InvalidError) as refusal:
        judge(counted(b"\xff\xff\xfe"))
    assert (refusal.value.code, refusal.value.params["row"]) == ("data.encoding", "1")


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"\xef\xbb\xbfa", "utf-8"),
        ("a,b\n1,2".encode("utf-16"), "utf-16"),
        ("a,b\n1,2".encode("utf-16-le"), "utf-16"),
        ("a,b\n1,2".encode("utf-16-be"), "utf-16"),
        (b"a,b\n1,2", ""),
        (b"", ""),
    ],
)
def test_a_byte_order_mark_and_bare_utf16_are_seen(head: bytes, encoding: str) -> None:
    assert bom_encoding(head) == encoding


@pytest.mark.parametrize(
    "head",
    [
        b"PK\x03\x04x",
        b"%PDF-1.7",
        b"ARROW1\0\0",
        b"\x93NUMPY\x01",
        b"\x80\x04\x95",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"<!DOCTYPE html>",
        b"\xef\xbb\xbf  <html>",
        b"<?xml ?>",
        b"SQLite format 3\0",
        b"\x89PNG\r\n",
        b"MZ\x90\0",
    ],
)
def test_what_is_no_table_is_refused_by_its_first_bytes(head: bytes) -> None:
    with pytest.raises(InvalidError) as refusal:
        format_of(head)
    assert refusal.value.code == "data.type_not_accepted"
    assert refusal.value.params["found"]


@pytest.mark.parametrize(
    ("name", "found", "wanted", "fits"),
    [
        ("a.csv", "text", "", True),
        ("a.csv", "parquet", "", False),
        ("a.parquet", "parquet", "", True),
        ("a.parquet", "text", "", False),
        ("a", "parquet", "", True),
        ("a.csv", "parquet", "parquet", True),
        ("a.parquet", "parquet", "csv", False),
        ("a.csv.gz", "gzip", "", True),
    ],
)
def test_the_name_must_not_promise_another_format(name: str, found: str, wanted: str, fits: bool) -> None:
    if fits:
        check_named(name, found, wanted)
        return
    with pytest.raises(InvalidError) as refusal:
        check_named(name, found, wanted)
    assert refusal.value.code == "data.type_mismatch"


def test_names_become_unique_visible_and_short_and_each_change_is_told() -> None:
    names, findings = clean_names([" a ", "a", "a", "", "\u202eevil", "x" * 300, "__proto__", "e\u0301"])
    assert names == ("a", "a_2", "a_3", "column_4", "evil", "x" * 200, "__proto__", "é")
    assert [(one.code, one.column) for one in findings] == [
        ("data.duplicate_name", "a_2"),
        ("data.duplicate_name", "a_3"),
        ("data.unnamed_column", "column_4"),
        ("data.renamed_column", "evil"),
        ("data.renamed_column", "x" * 200),
    ]


@given(st.lists(st.text(max_size=12) | st.sampled_from(["a", "a_2", "column_1", ""]), max_size=30))
def test_cleaned_names_are_always_unique_and_never_empty(header: list[str]) -> None:
    names, _ = clean_names(header)
    assert len(set(names)) == len(header)
    assert all(names)
