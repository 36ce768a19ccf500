"""Seal a stream piece by piece with a passphrase, so that no bit of it can be read or changed unseen.

Layout: magic line, header line (JSON), SHA-256 of the header line, then pieces. A piece is four bytes of length
(big-endian) and AES-256-GCM of one kind byte and at most 1 MiB. Its nonce is its number and its associated data
the header's digest, so pieces cannot be dropped, repeated, reordered or moved to another file; the last piece is
of kind ``END``, so a cut is seen. The key is scrypt's of the passphrase and a salt that no other file has, which
is why a counter may be the nonce.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from onecode_common.errors import InvalidError, PreconditionError

PIECE = 1 << 20
DATA, BLOB_END, MANIFEST, END = b"d", b"b", b"m", b"z"

_MAGIC = b"onecode backup 1\n"
_FAMILY = b"onecode backup "
_TAG = 16
_LONGEST_HEADER = 4096
_DIGEST = 32
_N, _R, _P = 1 << 17, 8, 1
"""128 MiB and 0.3 to 0.6 s for each guess (RFC 7914's interactive numbers, times eight)."""
_LARGEST_N, _LARGEST_R = 1 << 20, 16


class Place(NamedTuple):
    """A point between two pieces: byte offset, and number of the piece that follows."""

    offset: int
    number: int


class SealedWriter:
    """Writes a sealed stream to a new file.

    Args:
        file: Open for writing, empty.
        passphrase: Secret of whoever may restore.
    """

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        self._file = file
        salt = os.urandom(16)
        key = _key(passphrase, salt, _N, _R, _P)
        header = {"salt": salt.hex(), "n": _N, "r": _R, "p": _P, "check": _check(key).hex()}
        line = json.dumps(header).encode() + b"\n"
        self._bound = hashlib.sha256(_MAGIC + line).digest()
        file.write(_MAGIC + line + self._bound)
        self._cipher = AESGCM(key)
        self._number = 0

    def write(self, kind: bytes, content: bytes) -> None:
        """Append a piece of at most 1 MiB."""
        sealed = self._cipher.encrypt(_nonce(self._number), kind + content, self._bound)
        self._file.write(len(sealed).to_bytes(4, "big") + sealed)
        self._number += 1


class SealedReader:
    """Reads a sealed stream.

    Args:
        file: Open for reading, at its beginning.
        passphrase: The one it was sealed with.

    Raises:
        InvalidError: Not a backup, a damaged header, or another passphrase.
        PreconditionError: A newer release wrote it.
    """

    def __init__(self, file: BinaryIO, passphrase: bytes) -> None:
        self._file = file
        header, self.identity = _read_header(file)
        key = _key(passphrase, header.salt, header.n, header.r, header.p)
        if not hmac.compare_digest(_check(key), header.check):
            message = "the passphrase is not the one that this backup was sealed with"
            raise InvalidError(message, code="backup.passphrase", hint="nothing was read or written")
        self._cipher = AESGCM(key)
        self.first = Place(file.tell(), 0)

    def pieces(self, start: Place | None = None) -> Iterator[tuple[bytes, bytes, Place]]:
        """Yield (kind, content, place behind it) up to and with the piece of kind ``END``.

        Raises:
            InvalidError: A piece is damaged or missing; the message says where.
        """
        place = start or self.first
        self._file.seek(place.offset)
        while True:
            plain, place = self._piece(place)
            yield plain[:1], plain[1:], place
            if plain[:1] == END:
                break
        if self._file.read(1):
            raise damaged(place.offset, "something follows its end")

    def _piece(self, place: Place) -> tuple[bytes, Place]:
        head = self._file.read(4)
        length = int.from_bytes(head, "big")
        if len(head) < len(_LENGTH) or not _TAG < length <= PIECE + 1 + _TAG:
            raise damaged(place.offset, "it is cut off" if len(head) < len(_LENGTH) else "a length cannot be")
        sealed = self._file.read(length)
        if len(sealed) < length:
            raise damaged(place.offset, "it is cut off")
        try:
            plain = self._cipher.decrypt(_nonce(place.number), sealed, self.identity)
        except InvalidTag as error:
            raise damaged(place.offset, "a piece is not as it was written") from error
        return plain, Place(place.offset + len(_LENGTH) + length, place.number + 1)


_LENGTH = bytes(4)


class _Header(NamedTuple):
    salt: bytes
    n: int
    r: int
    p: int
    check: bytes


def damaged(offset: int, what: str) -> InvalidError:
    """Return the refusal of a damaged file."""
    message = f"the backup is damaged at byte {offset}: {what}"
    hint = "take another copy of the file; nothing was restored from this one"
    return InvalidError(message, code="backup.damaged", hint=hint, params={"offset": offset})


def _read_header(file: BinaryIO) -> tuple[_Header, bytes]:
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        if magic.startswith(_FAMILY):
            message = "a newer release wrote this backup: restore it with that release"
            raise PreconditionError(message, code="backup.newer")
        message = "the file is not a backup of OneCode"
        raise InvalidError(message, code="backup.format")
    line = file.readline(_LONGEST_HEADER)
    bound = file.read(_DIGEST)
    if bound != hashlib.sha256(_MAGIC + line).digest():
        raise damaged(len(_MAGIC), "its header is not as it was written")
    document = json.loads(line)
    header = _Header(
        bytes.fromhex(document["salt"]),
        int(document["n"]),
        int(document["r"]),
        int(document["p"]),
        bytes.fromhex(document["check"]),
    )
    # The header is not sealed: whoever made the file must not choose how much memory we take.
    if header.n > _LARGEST_N or header.r > _LARGEST_R or header.p != _P:
        raise damaged(len(_MAGIC), f"it asks for too much work (n {header.n}, r {header.r}, p {header.p})")
    return header, bound


def _key(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase)


def _check(key: bytes) -> bytes:
    """Return what tells a wrong passphrase from a damaged file; it says nothing about the key."""
    return hmac.digest(key, b"onecode backup check", "sha256")[:16]


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
