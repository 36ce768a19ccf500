"""Read a whole backup and prove every byte of it, going on where an earlier check was interrupted.

How far a check came is kept beside the file, in ``FILE.checked``; the note names the file it was made for, so
that it counts for no other, and goes away when the check has ended.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from onecode_common.errors import InvalidError, OnecodeError
from onecode_common.files import write_file
from onecode_standalone.backup.blobs import BlobReader, Checked
from onecode_standalone.backup.manifest import Manifest
from onecode_standalone.backup.seal import Place

_NOTE_EVERY = 256 << 20
"""Bytes between two notes: about a second of work."""

Told = Callable[[str, int, int], None]


def open_backup(path: Path) -> BinaryIO:
    """Open the file.

    Raises:
        InvalidError: It cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        message = f"cannot read the backup {path}: {error.strerror}"
        raise InvalidError(message, code="backup.file", params={"path": path}) from error


def check(path: Path, passphrase: bytes, told: Told) -> Manifest:
    """Check the whole file and return what it holds.

    Raises:
        InvalidError: Not a backup, damaged, or another passphrase.
        PreconditionError: A newer release wrote it.
    """
    note = path.with_name(f"{path.name}.checked")
    with open_backup(path) as file:
        length = path.stat().st_size
        reader = BlobReader(file, passphrase)
        reached = start = _noted(note, reader, length) or reader.beginning()
        noted_at = start.place.offset

        def tell(now: Checked) -> None:
            nonlocal reached, noted_at
            reached = now
            told("check", now.place.offset, length)
            if now.place.offset - noted_at >= _NOTE_EVERY:
                _note(note, reader, length, now)
                noted_at = now.place.offset

        try:
            manifest = reader.check(start, tell)
        except KeyboardInterrupt:
            _note(note, reader, length, reached)
            raise
        except InvalidError:
            # What was found good before may have been read from the disk's cache: the next check begins anew.
            note.unlink(missing_ok=True)
            raise
    note.unlink(missing_ok=True)
    return manifest


def _note(note: Path, reader: BlobReader, length: int, reached: Checked) -> None:
    document = {
        "identity": reader.identity,
        "length": length,
        "offset": reached.place.offset,
        "number": reached.place.number,
        "blobs": reached.blobs,
        "chain": reached.chain,
    }
    # The folder may be read-only: then an interrupted check begins again.
    with suppress(OnecodeError):
        write_file(note, json.dumps(document).encode(), mode=0o600)


def _noted(note: Path, reader: BlobReader, length: int) -> Checked | None:
    try:
        document = json.loads(note.read_bytes())
        if (document["identity"], document["length"]) != (reader.identity, length):
            return None
        place = Place(int(document["offset"]), int(document["number"]))
        return Checked(place, int(document["blobs"]), str(document["chain"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
