"""Keep contents by digest inside one sealed file: each content once, however many names it has."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from onecode_standalone.backup.manifest import Manifest, manifest_from
from onecode_standalone.backup.seal import (
    BLOB_END,
    DATA,
    END,
    MANIFEST,
    PIECE,
    Place,
    SealedReader,
    SealedWriter,
    damaged,
)

Told = Callable[[int], None]
"""Takes a number of bytes that were done just now."""


class BlobWriter:
    """Writes blobs, then the manifest.

    Args:
        sealed: Where to.
        told: Of each piece's bytes.
    """

    def __init__(self, sealed: SealedWriter, told: Told) -> None:
        self._sealed = sealed
        self._told = told
        self._known: set[str] = set()
        self.blobs: list[tuple[str, int]] = []

    def add_file(self, path: Path) -> str:
        """Append a file as it is read now; return the SHA-256 of what was read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest in self._known:
                self._told(file.tell())
                return digest
            file.seek(0)
            return self.add(iter(lambda: file.read(PIECE), b""))

    def add_named(self, digest: str, pieces: Iterable[bytes]) -> str:
        """Append bytes whose SHA-256 should be ``digest``, unless they are there; return what it was."""
        return digest if digest in self._known else self.add(pieces)

    def add(self, pieces: Iterable[bytes]) -> str:
        """Append bytes and return their SHA-256."""
        sha256, size = hashlib.sha256(), 0
        for piece in pieces:
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE]
                self._sealed.write(DATA, part)
                sha256.update(part)
                size += len(part)
                self._told(len(part))
        digest = sha256.hexdigest()
        self._sealed.write(BLOB_END, sha256.digest())
        # The same content twice in the file is possible here and harmless: its name is the same.
        self._known.add(digest)
        self.blobs.append((digest, size))
        return digest

    def finish(self, manifest: Manifest) -> None:
        """Append the manifest and the end."""
        content = manifest.encoded()
        for start in range(0, len(content), PIECE):
            self._sealed.write(MANIFEST, content[start : start + PIECE])
        self._sealed.write(END, b"")


class Checked(NamedTuple):
    """How far a file was read and found good: where to go on, number of blobs, and a digest over their digests."""

    place: Place
    blobs: int
    chain: str


class BlobReader:
    """Reads what :class:`BlobWriter` wrote.

    Args:
        file: Open for reading.
        passphrase: Of the seal.

    Raises:
        InvalidError: Not a backup, damaged, or another passphrase.
        PreconditionError: A newer release wrote it.
    """

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        self._sealed = SealedReader(file, passphrase)
        self.identity = self._sealed.identity.hex()

    def beginning(self) -> Checked:
        """Return where a check begins."""
        return Checked(self._sealed.first, 0, "")

    def check(self, start: Checked, told: Callable[[Checked], None]) -> Manifest:
        """Read to the end; return what the file holds.

        Args:
            start: Where an earlier check stopped, or :meth:`beginning`.
            told: Of each blob that was found good.

        Raises:
            InvalidError: It is damaged, or the manifest lists other blobs than the file has.
        """
        sha256, reached, listed = hashlib.sha256(), start, bytearray()
        for kind, content, place in self._sealed.pieces(start.place):
            if kind == DATA:
                sha256.update(content)
            elif kind == BLOB_END:
                if content != sha256.digest():
                    raise damaged(place.offset, "a content does not match its digest")
                reached = Checked(place, reached.blobs + 1, chained(reached.chain, sha256.hexdigest()))
                sha256 = hashlib.sha256()
                told(reached)
            elif kind == MANIFEST:
                listed += content
        manifest = manifest_from(bytes(listed))
        chain = ""
        for digest, _ in manifest.blobs:
            chain = chained(chain, digest)
        if chain != reached.chain or not _names(manifest) <= {digest for digest, _ in manifest.blobs}:
            raise damaged(reached.place.offset, "its list of contents names what is not there")
        return manifest

    def contents(self, manifest: Manifest) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield (digest, pieces) of every blob in order; the pieces must be taken before the next.

        The file must have been checked: pieces come out before their blob's digest is known to be right.
        """
        pieces = self._sealed.pieces()
        for digest, _ in manifest.blobs:
            yield digest, _one_blob(pieces)


def chained(chain: str, digest: str) -> str:
    """Return the digest over a growing list of digests; it can be kept and continued, unlike a hash's inner state."""
    return hashlib.sha256(f"{chain}{digest}".encode()).hexdigest()


def _one_blob(pieces: Iterator[tuple[bytes, bytes, Place]]) -> Iterator[bytes]:
    for kind, content, _ in pieces:
        if kind != DATA:
            return
        yield content


def _names(manifest: Manifest) -> set[str]:
    objects = {digest for digests in manifest.objects.values() for digest in digests}
    tables = {rows.blob for dump in manifest.dumps for rows in dump.tables}
    return objects | tables | {one.blob for one in manifest.files}
