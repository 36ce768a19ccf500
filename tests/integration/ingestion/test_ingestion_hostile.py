"""Hostile bytes are refused with a stable code and the place that offends; the reader never breaks."""

import gzip
import io
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onecode_ingestion.domain.columns import ColumnType

Read = Callable[..., dict[str, Any]]


def parquet(columns: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


BIG = "x" * 1_100_000
ZEROS = gzip.compress(bytes(40 << 20))
MEMBER = gzip.compress(b"\n".join(random.Random(1).randbytes(500).hex().encode() for _ in range(100)))
PARQUET = parquet({"a": list(range(1000)), "b": ["x"] * 1000})

HOSTILE = [
    # (what, bytes, name, options, code, parameter named in the refusal)
    ("nothing", b"", "a.csv", {}, "data.empty", {}),
    ("only a header", b"a,b\n", "a.csv", {}, "data.empty", {}),
    ("only blank lines", b"\n\n\n", "a.csv", {}, "data.empty", {}),
    (
        "mixed encodings",
        "温度,状态\n".encode() + "1,正常\n".encode("gb18030"),
        "a.csv",
        {},
        "data.encoding_mixed",
        {"row": "2", "byte": "3"},
    ),
    (
        "not the said encoding",
        "a\n正常\n".encode("gb18030"),
        "a.csv",
        {"encoding": "utf-8"},
        "data.encoding",
        {"row": "2", "byte": "1"},
    ),
    ("cut UTF-16", "a,b\n1,2\n".encode("utf-16")[:-1], "a.csv", {}, "data.encoding", {"row": "1"}),
    ("no known encoding", b"a\n\xff\xff\xfe\n", "a.csv", {}, "data.encoding", {"row": "2"}),
    ("NUL in a cell", b"a,b\n1,2\n3,\x004\n", "a.csv", {}, "data.nul_byte", {"row": "3", "column": "2"}),
    ("quote never closed", b'a,b\n1,2\n3,"x\n4,5\n', "a.csv", {}, "data.unclosed_quote", {"row": "3"}),
    ("quote closed by the next", b'a,b\n1,"x\n2,"y"\n', "a.csv", {}, "data.unclosed_quote", {"row": "2"}),
    (
        "unclosed quote before 2 MB",
        b'a,b\n1,"x\n' + b"4,5\n" * 500_000,
        "a.csv",
        {},
        "data.unclosed_quote",
        {"row": "2"},
    ),
    ("misplaced quote", b'a,b\n1,"x"y\n', "a.csv", {}, "data.bad_quote", {"row": "2"}),
    ("huge cell", f'a,b\n1,{BIG}\n"2",3\n'.encode(), "a.csv", {}, "data.cell_too_large", {"row": "2"}),
    ("huge quoted cell", f'a,b\n1,"{BIG}"\n2,3\n'.encode(), "a.csv", {}, "data.cell_too_large", {"row": "2"}),
    ("endless line", b"a,b\n" + b"x" * (17 << 20), "a.csv", {}, "data.cell_too_large", {"row": "2"}),
    (
        "too many columns",
        b",".join(b"c%d" % n for n in range(51)) + b"\n" + b"1," * 50 + b"1\n",
        "a.csv",
        {},
        "data.too_many_columns",
        {"value": "51"},
    ),
    ("too many rows", b"a\n" + b"1\n" * 200_001, "a.csv", {}, "data.too_many_rows", {"limit": "200000"}),
    ("zip", b"PK\x03\x04" + bytes(50), "a.csv", {}, "data.type_not_accepted", {}),
    ("pickle", b"\x80\x04\x95" + bytes(50), "a.csv", {}, "data.type_not_accepted", {"found": "a Python pickle"}),
    ("Arrow IPC", b"ARROW1\0\0" + bytes(50), "a.csv", {}, "data.type_not_accepted", {"found": "an Arrow IPC file"}),
    ("HTML", b"<!DOCTYPE html><table>", "a.csv", {}, "data.type_not_accepted", {}),
    ("Parquet named CSV", PARQUET, "a.csv", {}, "data.type_mismatch", {"found": "Parquet"}),
    ("CSV named Parquet", b"a,b\n1,2\n", "a.parquet", {}, "data.type_mismatch", {"found": "text"}),
    ("gzip bomb by ratio", ZEROS, "a.csv.gz", {}, "archive.too_large", {"limit": "200"}),
    ("gzip of members", MEMBER * 600, "a.csv.gz", {}, "archive.too_large", {"limit": str(48 << 20)}),
    ("gzip in gzip", gzip.compress(gzip.compress(b"a,b\n1,2\n")), "a.csv.gz", {}, "data.type_not_accepted", {}),
    ("cut gzip", gzip.compress(b"a,b\n1,2\n" * 100)[:-20], "a.csv.gz", {}, "data.corrupt", {}),
    ("gzip with rubbish behind", gzip.compress(b"a,b\n1,2\n") + b"rubbish", "a.csv.gz", {}, "data.corrupt", {}),
    ("cut Parquet", PARQUET[:-30], "a.parquet", {}, "data.corrupt", {}),
    ("Parquet with a wrong footer length", PARQUET[:-8] + b"\xff\xff\xff\x7fPAR1", "a.parquet", {}, "data.corrupt", {}),
    (
        "Parquet of nested columns",
        parquet({"a": [[1, 2]]}),
        "a.parquet",
        {},
        "data.column_type_not_accepted",
        {"column": "a"},
    ),
    ("Parquet of bytes", parquet({"a": [b"x"]}), "a.parquet", {}, "data.column_type_not_accepted", {"value": "binary"}),
    ("Parquet with a huge cell", parquet({"a": [BIG]}), "a.parquet", {}, "data.cell_too_large", {"column": "a"}),
    (
        "Parquet beyond 64 bits",
        parquet({"a": pa.array([2**64 - 1], pa.uint64())}),
        "a.parquet",
        {},
        "data.bad_cells",
        {"column": "a"},
    ),
    ("Parquet of no rows", parquet({"a": pa.array([], pa.int64())}), "a.parquet", {}, "data.empty", {}),
    (
        "Parquet bomb",
        parquet({"a": ["y" * 1000] * 190_000}),
        "a.parquet",
        {},
        "data.too_large_decoded",
        {"limit": str(48 << 20)},
    ),
    (
        "a target that is not there",
        b"a,b\n1,2\n",
        "a.csv",
        {"target": "c"},
        "options.column_unknown",
        {"role": "target", "value": "c"},
    ),
    (
        "a type of no column",
        b"a\n1\n",
        "a.csv",
        {"columns": (("z", ColumnType.TEXT),)},
        "options.column_unknown",
        {"value": "z"},
    ),
]


@pytest.mark.parametrize(
    ("content", "name", "options", "code", "params"),
    [case[1:] for case in HOSTILE],
    ids=[case[0].replace(" ", "-") for case in HOSTILE],
)
def test_hostile_bytes_are_refused_with_a_code_and_the_offending_place(
    read: Read, content: bytes, name: str, options: dict[str, Any], code: str, params: dict[str, str]
) -> None:
    outcome = read(content, name, **options)
    assert "error" in outcome, outcome["findings"]
    error = outcome["error"]
    assert (error["code"], error["kind"] in ("invalid", "exhausted")) == (code, True), error
    assert params.items() <= error["params"].items(), error


@pytest.mark.parametrize("place", range(0, len(PARQUET), 61))
def test_a_parquet_file_with_a_flipped_byte_is_read_or_refused_but_never_breaks_the_reader(
    read: Read, place: int
) -> None:
    mutated = bytearray(PARQUET)
    mutated[place] ^= 0xFF
    outcome = read(bytes(mutated), "a.parquet")
    assert "error" not in outcome or outcome["error"]["kind"] in ("invalid", "exhausted")
