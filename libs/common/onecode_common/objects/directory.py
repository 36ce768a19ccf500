"""Keep objects in a directory, so that a power cut leaves the old or the new, never half."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from onecode_common.errors import NotFoundError
from onecode_common.files import flush_directory, storage_error, whole_or_removed
from onecode_common.ids import hex_of

PIECE = 1 << 20


class DirectoryObjects:
    """The object store port, on a local file system; see :class:`onecode_common.objects.port.Objects`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        """Store the bytes and return their hex digest."""
        hex_digest = hashlib.sha256(content).hexdigest()
        return self._store(hex_digest, iter([content]))

    def put_file(self, path: Path) -> str:
        """Store the bytes of a file and return their hex digest."""
        with path.open("rb") as file:
            hex_digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            return self._store(hex_digest, iter(lambda: file.read(PIECE), b""))

    def get(self, hex_digest: str) -> bytes:
        """Return the bytes, checked against their name."""
        path = self._path(hex_digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise _missing(hex_digest) from error
        if hashlib.sha256(content).hexdigest() != hex_digest:
            raise self._set_aside(path, hex_digest)
        return content

    def read(self, hex_digest: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a range of the bytes in pieces, not checked."""
        try:
            file = self._path(hex_digest).open("rb")
        except FileNotFoundError as error:
            raise _missing(hex_digest) from error
        return _pieces(file.fileno(), file.close, offset, length)

    def fetch(self, hex_digest: str, path: Path) -> None:
        """Write the object to a new file, checked against its name."""
        digest = hashlib.sha256()
        with path.open("xb") as target, whole_or_removed(path):
            for piece in self.read(hex_digest):
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != hex_digest:
            path.unlink()
            raise self._set_aside(self._path(hex_digest), hex_digest)

    def size(self, hex_digest: str) -> int:
        """Return the number of bytes."""
        try:
            return self._path(hex_digest).stat().st_size
        except FileNotFoundError as error:
            raise _missing(hex_digest) from error

    def delete(self, hex_digest: str) -> None:
        """Remove the object."""
        self._path(hex_digest).unlink(missing_ok=True)

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Yield (hex digest, time of storing) of every object."""
        for path in self._root.glob("[0-9a-f][0-9a-f]/*"):
            if len(path.name) == 62:  # noqa: PLR2004 - a SHA-256 without the two digits of its folder
                yield path.parent.name + path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def _path(self, hex_digest: str) -> Path:
        digits = hex_of(hex_digest)
        # Two levels keep a directory listing short at a million objects.
        return self._root / digits[:2] / digits[2:]

    def _store(self, hex_digest: str, pieces: Iterator[bytes]) -> str:
        path = self._path(hex_digest)
        if path.exists():
            # A sweep goes by age: what somebody stores again is young again.
            os.utime(path)
            return hex_digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, pieces)
        except OSError as error:
            raise storage_error(error, self._root) from error
        return hex_digest

    def _write(self, path: Path, pieces: Iterator[bytes]) -> None:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with whole_or_removed(Path(temporary)):
            with os.fdopen(handle, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        # A new file is only as durable as the chain of names that leads to it.
        flush_directory(path.parent)
        flush_directory(self._root)

    def _set_aside(self, path: Path, hex_digest: str) -> NotFoundError:
        path.rename(path.with_suffix(".corrupt"))
        message = f"object {hex_digest} was damaged on disk and has been set aside: store it again"
        return NotFoundError(message, code="object.damaged", params={"digest": hex_digest})


def _pieces(handle: int, close: Callable[[], None], offset: int, length: int | None) -> Iterator[bytes]:
    try:
        left = length
        while left is None or left > 0:
            piece = os.pread(handle, PIECE if left is None else min(PIECE, left), offset)
            if not piece:
                return
            offset += len(piece)
            left = None if left is None else left - len(piece)
            yield piece
    finally:
        close()


def _missing(hex_digest: str) -> NotFoundError:
    message = f"there is no object {hex_digest}"
    return NotFoundError(message, code="object.missing", params={"digest": hex_digest})
