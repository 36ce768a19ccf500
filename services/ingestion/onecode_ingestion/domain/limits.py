"""Say how much of one upload is too much, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost.

    Attributes:
        upload_bytes: Bytes of an upload as sent.
        decoded_bytes: Bytes after decompression, or of the values of a Parquet file in memory.
        gzip_ratio: Decompressed to compressed size, asked once :data:`RATIO_FREE_BYTES` have come out.
        rows: Rows of one version.
        columns: Columns of one version.
        cell_chars: Characters of one cell.
        memory_bytes: Address space of the child that reads.
        cpu_s: CPU seconds of that child.
        wall_s: Seconds on the clock of that child.
    """

    upload_bytes: int = 2 << 30
    decoded_bytes: int = 4 << 30
    gzip_ratio: int = 200
    rows: int = 20_000_000
    columns: int = 2_000
    cell_chars: int = 1 << 20
    memory_bytes: int = 3 << 30
    cpu_s: int = 600
    wall_s: int = 900


RATIO_FREE_BYTES = 16 << 20
"""A small file may be as regular as it likes: a column of zeros is no attack."""

NAME_CHARS = 200
"""Characters of a column's name; what is longer is cut, with a finding."""
