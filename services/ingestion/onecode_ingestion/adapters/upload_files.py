"""Keep the bytes of uploads in files, one each; what was acknowledged is on the disk."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from onecode_common.errors import ConflictError
from onecode_common.files import flush_directory, storage_error

_ENDING = ".part"


class UploadFolder:
    """The port :class:`onecode_ingestion.ports.UploadFiles`, on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._open: set[str] = set()
        self._lock = threading.Lock()

    def durable(self, upload_id: str) -> int:
        """Return the length of the file once it is flushed.

        Bytes that a killed process had written and not flushed are flushed here, and so become durable.
        """
        try:
            handle = os.open(self.path(upload_id), os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            os.fsync(handle)
            return os.fstat(handle).st_size
        except OSError as error:
            raise storage_error(error, self._folder) from error
        finally:
            os.close(handle)

    def open(self, upload_id: str) -> "AppendingFile":
        """Open for appending; one at a time."""
        with self._lock:
            if upload_id in self._open:
                message = f"upload {upload_id} is being written by another request"
                hint = "wait, ask for the offset and go on there"
                raise ConflictError(message, code="upload.locked", hint=hint)
            self._open.add(upload_id)
        with ExitStack() as freeing:
            freeing.callback(self._free, upload_id)
            try:
                file = AppendingFile(self.path(upload_id), lambda: self._free(upload_id))
            except OSError as error:
                raise storage_error(error, self._folder) from error
            freeing.pop_all()
        return file

    def digest(self, upload_id: str) -> str:
        """Return the SHA-256 of the file; of no file, that of no bytes."""
        try:
            with self.path(upload_id).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return hashlib.sha256().hexdigest()

    def clear(self, upload_id: str) -> None:
        """Remove the file."""
        self.path(upload_id).unlink(missing_ok=True)
        flush_directory(self._folder)

    def path(self, upload_id: str) -> Path:
        """Return where the file lies."""
        return self._folder / f"{upload_id}{_ENDING}"

    def known(self) -> list[str]:
        """Return the ids of all files."""
        return [path.name.removesuffix(_ENDING) for path in self._folder.glob(f"*{_ENDING}")]

    def free_bytes(self) -> int:
        """Return the free bytes of the folder's disk."""
        return shutil.disk_usage(self._folder).free

    def _free(self, upload_id: str) -> None:
        with self._lock:
            self._open.discard(upload_id)


class AppendingFile:
    """The port :class:`onecode_ingestion.ports.Appending`; it frees its upload when it ends, whichever way."""

    def __init__(self, path: Path, free: Callable[[], None]) -> None:
        is_new = not path.exists()
        self._path = path
        self._free = free
        self._file = path.open("ab", buffering=0)
        self._begun = self._length = self._file.seek(0, os.SEEK_END)
        if is_new:
            flush_directory(path.parent)

    def write(self, piece: bytes) -> None:
        """Append.

        Raises:
            ExhaustedError: The disk is full; what was written before stays.
        """
        try:
            rest = memoryview(piece)
            while rest:
                count = self._file.write(rest)
                self._length += count
                rest = rest[count:]
        except OSError as error:
            raise storage_error(error, self._path.parent) from error

    def close(self) -> int:
        """Flush to the disk and return the length."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise storage_error(error, self._path.parent) from error
        finally:
            self._end()
        return self._length

    def undo(self) -> None:
        """Cut the file back to where it was."""
        try:
            os.ftruncate(self._file.fileno(), self._begun)
            os.fsync(self._file.fileno())
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._file.close()
        finally:
            self._free()
