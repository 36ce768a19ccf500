"""Show rows of committed versions: Parquet that this service wrote itself, found and checked by digest."""

import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from onecode_common.objects import Objects
from onecode_ingestion.domain.version import StoredPart
from onecode_ingestion.ports import Cells

_CELL_CHARS = 500
_ANSWER_CHARS = 4 << 20
_CACHE_BYTES = 1 << 30


class CachedRowPages:
    """The port :class:`onecode_ingestion.ports.RowPages`.

    Args:
        objects: Where versions lie.
        cache: Folder for copies of those looked at lately; emptied here.
    """

    def __init__(self, objects: Objects, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.iterdir():
            left.unlink()
        self._objects = objects
        self._cache = cache
        self._lock = threading.Lock()

    def page(self, parts: Sequence[StoredPart], offset: int, limit: int) -> Cells:
        """Return some rows as text."""
        rows: Cells = []
        for part in parts:
            if offset < part.rows and len(rows) < limit:
                rows += self._of_part(part, offset, limit - len(rows))
            offset = max(0, offset - part.rows)
        return _fitting(rows)

    def _of_part(self, part: StoredPart, offset: int, limit: int) -> Cells:
        # Arrow costs 60 MB of memory; a service that nobody asks for rows does not pay them.
        import pyarrow.parquet as pq  # noqa: PLC0415

        from onecode_ingestion.adapters.reading.text_form import rows_of  # noqa: PLC0415

        rows: Cells = []
        with self._lock, pq.ParquetFile(self._local(part)) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if offset < count and len(rows) < limit:
                    table = file.read_row_group(group, use_threads=False).slice(offset, limit - len(rows))
                    rows += rows_of(table, _CELL_CHARS)
                offset = max(0, offset - count)
        return rows

    def _local(self, part: StoredPart) -> Path:
        path = self._cache / part.digest
        if not path.exists():
            self._make_room(part.bytes)
            fetched = self._cache / f".{secrets.token_hex(8)}"
            self._objects.fetch(part.digest, fetched)
            fetched.rename(path)
        path.touch()
        return path

    def _make_room(self, needed: int) -> None:
        kept = sorted(self._cache.iterdir(), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in kept)
        for path in kept:
            if size + needed <= _CACHE_BYTES:
                return
            size -= path.stat().st_size
            path.unlink()


def _fitting(rows: Cells) -> Cells:
    chars = 0
    for count, row in enumerate(rows):
        chars += sum(len(cell or "") + 4 for cell in row)
        if chars > _ANSWER_CHARS and count:
            return rows[:count]
    return rows
