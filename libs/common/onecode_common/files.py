"""Write files so that a power cut leaves the old or the new, never half."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from onecode_common.errors import ExhaustedError, UnavailableError

OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace the file; once this returns, bytes and name survive a power cut.

    Raises:
        ExhaustedError: The disk is full; the old file is untouched.
        UnavailableError: The folder cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with whole_or_removed(Path(temporary)):
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        flush_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error


@contextmanager
def whole_or_removed(path: Path) -> Iterator[None]:
    """Remove a file that the block does not finish, by whatever ends it."""
    with ExitStack() as stack:
        stack.callback(path.unlink, missing_ok=True)
        yield
        stack.pop_all()


def flush_directory(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def storage_error(error: OSError, path: Path) -> ExhaustedError | UnavailableError:
    """Return our error for a failed write: a full disk is told apart from a broken one."""
    if error.errno in OUT_OF_SPACE:
        message = f"no space left for {path}: free some or move it"
        return ExhaustedError(message, code="disk.full", params={"path": path})
    message = f"cannot write {path}: {error.strerror}"
    return UnavailableError(message, code="disk.unwritable", params={"path": path})
