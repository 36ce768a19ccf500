"""Take files into the object store, checked against their digest before they get their name."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from onecode_common.errors import ExhaustedError, InvalidError, NotFoundError
from onecode_common.files import storage_error
from onecode_common.ids import hex_of
from onecode_common.objects import Objects

MAX_OBJECT = 256 << 20
"""Largest file that is taken."""


class Intake:
    """Stores what a caller sends.

    Args:
        objects: Where to.
        folder: Where a file grows until it is whole; emptied at the start.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.iterdir():
            leftover.unlink()

    async def receive(self, hex_digest: str, announced: int, pieces: AsyncIterator[bytes]) -> bool:
        """Store the bytes; return whether they were new here.

        Args:
            hex_digest: What they must hash to.
            announced: Length that the sender announces; 0 if it does not.
            pieces: The bytes.

        Raises:
            InvalidError: The bytes have another digest; nothing was stored.
            ExhaustedError: They are too many, or the disk is full.
        """
        digits = hex_of(hex_digest)
        _require_size(announced)
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder) as file:
                found = await _collect(pieces, file)
                if found != digits:
                    message = f"the bytes have digest {found}, announced was {digits}: send them again"
                    params = {"expected": digits, "found": found}
                    raise InvalidError(message, code="object.digest_mismatch", params=params)
                return await asyncio.to_thread(self._store, digits, Path(file.name))
        except OSError as error:
            raise storage_error(error, self._folder) from error

    def _store(self, digits: str, path: Path) -> bool:
        known = self._knows(digits)
        self._objects.put_file(path)
        return not known

    def _knows(self, digits: str) -> bool:
        try:
            self._objects.size(digits)
        except NotFoundError:
            return False
        return True


async def _collect(pieces: AsyncIterator[bytes], file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    size = 0
    async for piece in pieces:
        size += len(piece)
        _require_size(size)
        digest.update(piece)
        file.write(piece)
    file.flush()
    return digest.hexdigest()


def _require_size(size: int) -> None:
    if size > MAX_OBJECT:
        message = f"an object may have {MAX_OBJECT} bytes: {size} or more were sent"
        raise ExhaustedError(message, code="object.too_large", params={"limit": MAX_OBJECT})
