"""Write the rows of a version as Parquet files: the same rows in the same batches give the same bytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_PART_ROWS = 1_000_000
_PART_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """One Parquet file.

    Attributes:
        path: Where it lies.
        rows: Rows in it.
        bytes: Its size.
    """

    path: Path
    rows: int
    bytes: int


def write_parts(batches: Iterator[Any], schema: Any, folder: Path) -> list[WrittenPart]:
    """Write the batches, each as one row group, to files of about a million rows; no rows make one empty file."""
    parts: list[WrittenPart] = []
    batch = next(batches, None)
    while batch is not None or not parts:
        path = folder / f"part-{len(parts):05d}.parquet"
        rows = size = 0
        with pq.ParquetWriter(path, schema, compression="zstd", version="2.6") as writer:
            while batch is not None and rows < _PART_ROWS and size < _PART_BYTES:
                writer.write_batch(batch)
                rows += len(batch)
                size += batch.nbytes
                batch = next(batches, None)
        parts.append(WrittenPart(path, rows, path.stat().st_size))
    return parts
