"""Read the signed list of a version's files, and refuse a list that names anything but what a version has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onecode_common.canonical import sha256_hex
from onecode_common.errors import InvalidError, OnecodeError
from onecode_common.ids import Digest, hex_of
from onecode_delivery.policy import strict_document

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.jsonl"
MAX_BYTES = 1 << 20
"""Of the manifest itself."""

LIMITS: Mapping[str, int] = {MODEL_FILE: 256 << 20, GOLDEN_FILE: 1 << 20}
"""The files of a version and the most bytes that each may have."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version, named by its content."""

    name: str
    hex: str
    length: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A version as its signed document describes it.

    Attributes:
        digest: ``sha256:<hex>`` of the document: the version's name.
        content: The document's bytes.
        document: The same, parsed.
    """

    digest: Digest
    model: str
    release: int
    files: tuple[File, ...]
    content: bytes
    document: Mapping[str, Any]

    def file(self, name: str) -> File:
        """Return a file by name; every manifest has all of :data:`LIMITS`."""
        return next(file for file in self.files if file.name == name)


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest.

    Raises:
        InvalidError: ``sync.manifest`` (cannot be read), ``sync.file_name`` (not a plain name), ``sync.extra_file``,
            ``sync.missing_file``, ``sync.too_large``.
    """
    document = strict_document(content, "sync.manifest", MAX_BYTES)
    try:
        files = tuple(_file(entry) for entry in document["files"])
        model, release = str(document["model"]), int(document["release"])
    except InvalidError as error:
        if error.code.startswith("sync."):
            raise
        raise _refused("sync.manifest", f"the manifest cannot be read: {error.message}") from error
    except (KeyError, TypeError, ValueError, OnecodeError) as error:
        raise _refused("sync.manifest", f"the manifest cannot be read: {error!r}") from error
    names = [file.name for file in files]
    for name in LIMITS:
        if names.count(name) != 1:
            raise _refused("sync.missing_file", f"the manifest lists {name!r} {names.count(name)} times, expected once")
    digest = Digest(f"sha256:{sha256_hex(content)}")
    return Manifest(digest, model, release, files, content, document)


def _file(entry: Mapping[str, Any]) -> File:
    name, length = entry["name"], entry["length"]
    if not isinstance(name, str) or not name or name.startswith(".") or any(sign in name for sign in "/\\\0:"):
        raise _refused("sync.file_name", f"{str(name)[:80]!r} is not a plain file name")
    if name not in LIMITS:
        raise _refused("sync.extra_file", f"the manifest lists {name[:80]!r}: a version has {', '.join(LIMITS)} only")
    if type(length) is not int or length < 0:
        raise _refused("sync.manifest", f"the length of {name!r} is {str(length)[:40]!r}")
    if length > LIMITS[name]:
        raise _refused("sync.too_large", f"{name!r} has {length} bytes, at most {LIMITS[name]} are allowed")
    return File(name, hex_of(str(entry["sha256"])), length)


def _refused(code: str, message: str) -> InvalidError:
    return InvalidError(message, code=code, hint="the version is not installed; the last good one stays")
