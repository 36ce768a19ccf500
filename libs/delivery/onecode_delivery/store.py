"""Keep verified files by their digest, and hand out only bytes that were hashed again on the way.

"Was verified" is never a stored fact: a version is opened by reading and hashing every file of it. This module
imports the standard library only, because the process that serves needs no more.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onecode_common.canonical import sha256_hex
from onecode_common.errors import ExhaustedError, InvalidError, NotFoundError
from onecode_common.files import flush_directory, storage_error, write_file
from onecode_common.ids import hex_of
from onecode_delivery.manifest import GOLDEN_FILE, MAX_BYTES, MODEL_FILE, Manifest, parse_manifest

_VERIFIER = object()
_READ_ONLY = 0o444
_MARGIN = 1.1


@dataclass(frozen=True, slots=True)
class VerifiedVersion:
    """The bytes of one version, hashed as they were read; made by :meth:`ModelStore.open_version` only.

    Attributes:
        digest: ``sha256:<hex>`` of the manifest.
        manifest: The signed document.
        onnx: The model.
        golden: Requests with their right answers.
    """

    digest: str
    manifest: dict[str, Any]
    onnx: bytes
    golden: bytes
    verifier: object = None

    def __post_init__(self) -> None:
        if self.verifier is not _VERIFIER:
            message = "a verified version is made by the store that verified it"
            raise TypeError(message)

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.manifest["model"])

    @property
    def release(self) -> int:
        """Its release number."""
        return int(self.manifest["release"])


class ModelStore:
    """A folder of read-only files named by their SHA-256, ``objects/ab/<hex>``; ``tmp`` holds what is not whole yet."""

    def __init__(self, directory: Path) -> None:
        self._objects = directory / "objects"
        self.tmp = directory / "tmp"

    def path(self, hex_digits: str) -> Path:
        """Return where an object is, or will be."""
        return self._objects / hex_digits[:2] / hex_digits

    def has(self, hex_digits: str, length: int) -> bool:
        """Return whether there is a file of this name and length; its bytes are checked when it is opened."""
        try:
            return self.path(hex_digits).stat().st_size == length
        except FileNotFoundError:
            return False

    def read(self, hex_digits: str, limit: int, *, remove: bool = True) -> bytes:
        """Return an object's bytes, hashed.

        Args:
            hex_digits: Its name.
            limit: Most bytes that it may have.
            remove: A damaged one is removed, so that it is fetched again.

        Raises:
            NotFoundError: ``sync.missing_object``: there is none.
            InvalidError: ``sync.damaged``: its bytes are not those of its name.
        """
        path = self.path(hex_digits)
        try:
            with path.open("rb") as file:
                content = file.read(limit + 1)
        except FileNotFoundError as error:
            message = f"object {hex_digits} is not on this disk"
            raise NotFoundError(message, code="sync.missing_object", params={"digest": hex_digits}) from error
        except OSError as error:
            raise storage_error(error, path) from error
        if sha256_hex(content) != hex_digits:
            if remove:
                path.unlink(missing_ok=True)
            message = f"object {hex_digits} was damaged on disk"
            raise InvalidError(message, code="sync.damaged", params={"digest": hex_digits}, hint="it is fetched again")
        return content

    def add(self, hex_digits: str, content: bytes) -> None:
        """Store bytes under their digest; once this returns they survive a power cut.

        Raises:
            InvalidError: ``sync.digest_mismatch``: they have another digest.
            ExhaustedError: The disk is full.
        """
        if sha256_hex(content) != hex_digits:
            message = f"bytes have digest {sha256_hex(content)}, expected {hex_digits}"
            raise InvalidError(message, code="sync.digest_mismatch", params={"digest": hex_digits})
        self.make_parent(hex_digits)
        write_file(self.path(hex_digits), content, mode=_READ_ONLY)

    def adopt(self, hex_digits: str, whole: Path) -> None:
        """Give a finished, flushed and verified temporary file its name."""
        self.make_parent(hex_digits)
        path = self.path(hex_digits)
        try:
            whole.chmod(_READ_ONLY)
            whole.replace(path)
            flush_directory(path.parent)
        except OSError as error:
            raise storage_error(error, path) from error

    def make_parent(self, hex_digits: str) -> None:
        """Make the folder of an object and those above it, durably."""
        folder = self.path(hex_digits).parent
        if not folder.is_dir():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in (self._objects, self._objects.parent):
                    flush_directory(name)
            except OSError as error:
                raise storage_error(error, folder) from error

    def manifest(self, digest: str) -> Manifest:
        """Return a version's manifest from the disk. Raises as :meth:`read` and ``parse_manifest`` do."""
        return parse_manifest(self.read(hex_of(digest), MAX_BYTES))

    def open_version(self, digest: str) -> VerifiedVersion:
        """Return all bytes of a version, hashed now; works without a network.

        Raises:
            NotFoundError: A file is missing.
            InvalidError: A file is damaged, or the manifest lists what it must not.
        """
        manifest = self.manifest(digest)
        found = {}
        for file in manifest.files:
            content = self.read(file.hex, file.length)
            if len(content) != file.length:
                message = f"{file.name!r} of {digest} has {len(content)} bytes, the manifest says {file.length}"
                raise InvalidError(message, code="sync.length_mismatch")
            found[file.name] = content
        return VerifiedVersion(
            digest=manifest.digest,
            manifest=dict(manifest.document),
            onnx=found[MODEL_FILE],
            golden=found[GOLDEN_FILE],
            verifier=_VERIFIER,
        )

    def check_version(self, digest: str) -> None:
        """Hash every file of a version, and change nothing. Raises as :meth:`open_version` does."""
        manifest = parse_manifest(self.read(hex_of(digest), MAX_BYTES, remove=False))
        for file in manifest.files:
            self.read(file.hex, file.length, remove=False)

    def check_space(self, missing: int) -> None:
        """Make sure that so many bytes, and a margin, fit.

        Raises:
            ExhaustedError: ``sync.space``.
        """
        free = shutil.disk_usage(self._objects.parent).free
        if free < missing * _MARGIN:
            message = f"{missing} bytes are needed, {free} are free at {self._objects.parent}"
            raise ExhaustedError(message, code="sync.space", params={"missing": missing, "free": free})

    def sweep(self, keep: Iterable[str]) -> int:
        """Remove every object that none of these versions needs, and return how many that were."""
        needed: set[str] = set()
        for digest in keep:
            needed.add(hex_of(digest))
            try:
                needed.update(file.hex for file in self.manifest(digest).files)
            except (NotFoundError, InvalidError):
                continue
        removed = 0
        for path in self._objects.glob("??/*"):
            if path.name not in needed:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def empty_tmp(self) -> None:
        """Make the folder for unfinished files, and remove what is no download that can be resumed."""
        self.tmp.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.tmp.iterdir():
            if path.suffix != ".part" or path.is_symlink() or not path.is_file():
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
