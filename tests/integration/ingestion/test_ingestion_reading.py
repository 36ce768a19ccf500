"""What the reader makes of real files: values, findings with counts and lines, and typed refusals of hostile bytes."""

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onecode_ingestion.domain.columns import ColumnType

Read = Callable[..., dict[str, Any]]


def table(outcome: dict[str, Any]) -> Any:
    return pa.concat_tables([pq.read_table(part["path"]) for part in outcome["parts"]])


def types(outcome: dict[str, Any]) -> list[str]:
    return [column["type"] for column in outcome["schema"]["columns"]]


def found(outcome: dict[str, Any]) -> dict[str, tuple[str, int, list[int]]]:
    return {one["code"]: (one["severity"], one["count"], one["rows"]) for one in outcome["findings"]}


def parquet(columns: dict[str, Any], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **how)
    return sink.getvalue()


def test_every_type_is_inferred_and_its_values_are_exact(read: Read) -> None:
    outcome = read(
        b"i,f,b,t,s,code\n"
        b"1,1.5,true,2026-01-01,a,007\n"
        b"-999999999999999999,1e-300,False,2026/02/28 23:59:59.5,NA,010\n"
        b"NA,,,,,\n"
        b"+3, 2 ,TRUE,2026-01-01T00:00:00+08:00,x,000\n"
    )
    assert types(outcome) == ["integer", "float", "boolean", "timestamp", "text", "text"]
    rows = table(outcome).to_pydict()
    assert rows["i"] == [1, -999999999999999999, None, 3]
    assert rows["f"] == [1.5, 1e-300, None, 2.0]
    assert rows["b"] == [True, False, None, True]
    assert rows["t"] == [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 23, 59, 59, 500000, tzinfo=UTC),
        None,
        datetime(2025, 12, 31, 16, tzinfo=UTC),
    ]
    assert rows["s"] == ["a", "NA", None, "x"]
    assert rows["code"] == ["007", "010", None, "000"]


@pytest.mark.parametrize(
    ("content", "encoding", "delimiter"),
    [
        ("\ufeff温度;状态\n1,5;正常\n".encode(), "utf-8", ";"),
        ("温度;状态\n1,5;正常\n".encode("gb18030"), "gb18030", ";"),
        ("温度;状态\n1,5;正常\n".encode("utf-16"), "utf-16", ";"),
        ("温度;状态\n1,5;正常\n".encode("utf-16-be"), "utf-16", ";"),
        ("温度;状态\r\n1,5;正常\r\n".encode(), "utf-8", ";"),
        ("温度;状态\r1,5;正常\r".encode(), "utf-8", ";"),
        (gzip.compress("温度;状态\n".encode(), mtime=0) + gzip.compress("1,5;正常\n".encode()), "utf-8", ";"),
        ('"温度"\t"状态"\n"1,5"\t"正常"\n'.encode(), "utf-8", "\t"),
    ],
)
def test_one_table_written_in_many_ways_is_one_table(read: Read, content: bytes, encoding: str, delimiter: str) -> None:
    outcome = read(content, "a.csv.gz" if content.startswith(b"\x1f") else "a.csv")
    assert table(outcome).to_pydict() == {"温度": [1.5], "状态": ["正常"]}
    assert (outcome["options"]["encoding"], outcome["options"]["delimiter"]) == (encoding, delimiter)
    assert ("data.encoding" in found(outcome)) == (encoding != "utf-8")


def test_quotes_hold_delimiters_line_ends_and_quotes_and_lines_are_still_counted(read: Read) -> None:
    outcome = read(b'a,b\n"1\n2","x ""y"", z"\nbad\n"3",4\nbad,bad,bad\n', ragged_rows="drop")
    assert table(outcome).to_pydict() == {"a": ["1\n2", "3"], "b": ['x "y", z', "4"]}
    assert found(outcome)["data.ragged"] == ("warning", 2, [4, 6])
    assert outcome["dropped"] == 2


def test_ragged_rows_are_counted_with_their_lines_and_never_shifted(read: Read) -> None:
    rows = [b"1,2,3"] * 20
    rows[3], rows[9] = b"1,2,3,4", b"1,2"
    outcome = read(b"a,b,c\n" + b"\n".join(rows))
    assert found(outcome)["data.ragged"] == ("error", 2, [5, 11])
    assert outcome["rows"] == 18
    assert "line 5 has 4 values, the header has 3 columns" in outcome["findings"][0]["detail"]


def test_cells_that_do_not_fit_are_counted_by_column_and_become_missing(read: Read) -> None:
    rows = [f"{number},{number}.5" for number in range(40)]
    rows[7], rows[21] = "ERR,7.5", "ERR,inf"
    rows[30] = "30,1e400"
    outcome = read(("a,b\n" + "\n".join(rows)).encode(), bad_cells="missing")
    assert types(outcome) == ["integer", "float"]
    assert found(outcome) == {
        "data.bad_cells": ("warning", 2, [9, 23]),
        "data.non_finite": ("warning", 2, [23, 32]),
    }
    assert table(outcome).column("a").null_count == 2
    assert table(outcome).column("b").null_count == 2
    refused = read(("a,b\n" + "\n".join(rows)).encode())
    assert {one[0] for one in found(refused).values()} == {"error"}


def test_a_said_type_stands_and_its_misfits_are_bad_cells(read: Read) -> None:
    outcome = read(
        b"a,b,t\n1,1,2026-02-30\n0,x,2026-02-28\nyes,2,now\n",
        columns=(("a", ColumnType.BOOLEAN), ("b", ColumnType.FLOAT), ("t", ColumnType.TIMESTAMP)),
        bad_cells="missing",
    )
    assert table(outcome).column("a").to_pylist() == [True, False, True]
    assert table(outcome).column("b").to_pylist() == [1.0, None, 2.0]
    assert table(outcome).column("t").null_count == 2
    by_column = {one["column"]: one["rows"] for one in outcome["findings"] if one["code"] == "data.bad_cells"}
    assert by_column == {"b": [3], "t": [2, 4]}


def test_duplicates_constants_and_empty_columns_are_told(read: Read) -> None:
    outcome = read(b"a,b,c,t\n1,5,,y\n1,5,,y\n2,5,,y\n1,5,,y\n", target="t")
    assert found(outcome)["data.duplicates"] == ("info", 2, [])
    by_code = {(one["code"], one["column"]) for one in outcome["findings"]}
    assert {("data.constant_column", "b"), ("data.empty_column", "c")} <= by_code
    assert outcome["profile"]["duplicate_rows"] == 2
    assert outcome["profile"]["constant_columns"] == ["b", "c", "t"]
    assert outcome["profile"]["class_balance"] == [{"value": "y", "count": 4}]


def test_duplicate_rows_are_those_that_plain_python_finds(read: Read) -> None:
    dice = np.random.default_rng(7)
    rows = [f"{a},{b / 4},{'xyz'[c]},{'' if d else 1}" for a, b, c, d in dice.integers(0, 3, (500, 4))]
    outcome = read(("a,b,c,d\n" + "\n".join(rows)).encode())
    assert outcome["profile"]["duplicate_rows"] == len(rows) - len(set(rows))


def test_the_profile_agrees_with_numpy(read: Read) -> None:
    values = np.random.default_rng(1).normal(50, 12, 1000).round(3)
    outcome = read(("v\n" + "\n".join(str(one) for one in values) + "\nNA\n").encode())
    column = outcome["profile"]["columns"][0]
    assert (column["missing"], column["distinct"]) == (1, len(set(values)))
    assert (column["min"], column["max"]) == (values.min(), values.max())
    assert column["mean"] == pytest.approx(values.mean())
    assert column["quantiles"]["0.95"] == pytest.approx(np.quantile(values, 0.95))
    assert sum(one["count"] for one in column["histogram"]) == 1000
    assert column["examples"] == [str(one) for one in values[:5]]


def test_a_file_without_a_header_has_numbered_columns(read: Read) -> None:
    outcome = read(b"1,2\n3,4\n")
    assert table(outcome).to_pydict() == {"column_1": [1, 3], "column_2": [2, 4]}
    outcome = read(b"1,2\n3,4\n", header=True)
    assert table(outcome).to_pydict() == {"1": [3], "2": [4]}


def test_parquet_is_read_with_its_own_types(read: Read) -> None:
    columns = {
        "i": pa.array([1, None], pa.int16()),
        "f": pa.array([1.5, float("nan")], pa.float32()),
        "g": pa.array([float("inf"), 2.0]),
        "d": pa.array([0, 1], pa.date32()),
        "t": pa.array([0, 1_500_000_000], pa.timestamp("ns")),
        "s": pa.array(["a", None]).dictionary_encode(),
        "b": pa.array([True, False]),
        "x.y": pa.array([1, 2], pa.uint8()),
    }
    outcome = read(parquet(columns), "a.parquet", bad_cells="missing", target="s")
    assert types(outcome) == ["integer", "float", "float", "timestamp", "timestamp", "text", "boolean", "integer"]
    rows = table(outcome).to_pydict()
    assert (rows["i"], rows["f"], rows["g"]) == ([1, None], [1.5, None], [None, 2.0])
    assert rows["d"][1] == datetime(1970, 1, 2, tzinfo=UTC)
    assert rows["t"][1] == datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)
    assert (rows["s"], rows["b"], rows["x.y"]) == (["a", None], [True, False], [1, 2])
    assert found(outcome)["data.non_finite"] == ("warning", 1, [1])


def test_the_same_rows_as_csv_and_parquet_are_the_same_objects(read: Read) -> None:
    csv = read(b"a,b\n1,x\n2,y\n")
    assert csv["parts"][0]["bytes"]
    first = Path(csv["parts"][0]["path"]).read_bytes()
    read(parquet({"a": [1, 2], "b": ["x", "y"]}), "a.parquet")
    assert Path(csv["parts"][0]["path"]).read_bytes() == first


def test_a_preview_of_a_large_file_reads_its_beginning_and_estimates_the_rest(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onecode_ingestion.adapters.reading.child.PREVIEW_CHARS", 1 << 20)
    content = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number % 7) for number in range(300_000))
    outcome = read(content, preview=True)
    assert outcome["rows"] < 150_000
    assert outcome["estimated_rows"] == pytest.approx(300_000, rel=0.6)
    assert len(outcome["first_rows"]) == 50
