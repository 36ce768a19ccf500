"""Say what an object store promises, whatever it is made of.

An object is named by the SHA-256 of its bytes (64 hex digits). Storing the same bytes again changes
nothing; a reader never sees half of an object or bytes that do not match their name.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol


class Objects(Protocol):
    """A content-addressed store."""

    def put(self, content: bytes) -> str:
        """Store the bytes and return their hex digest; once this returns they survive a power cut.

        Raises:
            ExhaustedError: No space; nothing was stored.
            UnavailableError: The store does not answer.
        """
        ...

    def put_file(self, path: Path) -> str:
        """Store the bytes of a file of any size and return their hex digest. Raises as :meth:`put`."""
        ...

    def get(self, hex_digest: str) -> bytes:
        """Return the bytes, checked against their name.

        Raises:
            NotFoundError: No such object, or it was damaged and is set aside.
            UnavailableError: The store does not answer.
        """
        ...

    def read(self, hex_digest: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a range of the bytes in pieces of at most 1 MiB, not checked. Raises as :meth:`get`."""
        ...

    def fetch(self, hex_digest: str, path: Path) -> None:
        """Write the object to a new file, checked against its name. Raises as :meth:`get`."""
        ...

    def size(self, hex_digest: str) -> int:
        """Return the number of bytes.

        Raises:
            NotFoundError: No such object.
        """
        ...

    def delete(self, hex_digest: str) -> None:
        """Remove the object; nothing happens where there is none."""
        ...

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Yield (hex digest, time of storing) of every object."""
        ...
