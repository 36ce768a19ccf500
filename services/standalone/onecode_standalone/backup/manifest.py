"""Say what a backup holds, so that a restore knows where each piece belongs before it writes the first."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, TypeVar

from onecode_common.errors import InvalidError, PreconditionError

FORMAT = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the home; ``blob`` is the SHA-256 of its content, in hex."""

    path: str
    mode: int
    blob: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of the home; its target lies inside the home."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the home."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one PostgreSQL table in COPY's text format."""

    table: str
    columns: tuple[str, ...]
    blob: str


@dataclass(frozen=True, slots=True)
class Dump:
    """One service's PostgreSQL database: schema revision, tables in the order in which they can be filled, sequences.

    Attributes:
        sequences: Next value by name of each sequence.
    """

    service: str
    revision: str
    tables: tuple[Rows, ...]
    sequences: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything in one backup.

    Attributes:
        created: ISO 8601, UTC.
        release: Of OneCode that made it.
        objects: Hex digests by store (``datasets``, ``models``).
        left_out: Objects that were damaged in their store and that no record names.
        blobs: (SHA-256 in hex, bytes) in the order of the file.
    """

    created: str
    release: str
    folders: tuple[Folder, ...]
    files: tuple[StoredFile, ...]
    links: tuple[Link, ...]
    dumps: tuple[Dump, ...]
    objects: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]
    blobs: tuple[tuple[str, int], ...]

    @property
    def content_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(size for _, size in self.blobs)

    def encoded(self) -> bytes:
        """Return it as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False).encode()


def manifest_from(content: bytes) -> Manifest:
    """Return the manifest.

    Raises:
        PreconditionError: A newer release wrote it.
        InvalidError: A path leaves the home, or a name that this release needs is missing.
    """
    document: dict[str, Any] = json.loads(content)
    if document.get("format") != FORMAT:
        message = f"the backup has format {document.get('format')}, this release reads {FORMAT}"
        raise PreconditionError(message, code="backup.newer", hint="restore it with the release that wrote it")
    try:
        found = Manifest(
            created=document["created"],
            release=document["release"],
            folders=tuple(_of(Folder, one) for one in document["folders"]),
            files=tuple(_of(StoredFile, one) for one in document["files"]),
            links=tuple(_of(Link, one) for one in document["links"]),
            dumps=tuple(_dump(one) for one in document["dumps"]),
            objects={name: tuple(digests) for name, digests in document["objects"].items()},
            left_out=tuple(document["left_out"]),
            blobs=tuple((digest, size) for digest, size in document["blobs"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"the list of contents cannot be read: {error!r}"
        raise InvalidError(message, code="backup.manifest") from error
    for path in (*(one.path for one in found.folders), *(one.path for one in found.files)):
        _check_inside(path)
    for link in found.links:
        _check_inside(link.path)
        _check_inside(link.target, from_folder=PurePosixPath(link.path).parent)
    return found


def stays_inside(path: str, *, from_folder: PurePosixPath | None = None) -> bool:
    """Whether a path, relative to a folder of the home, stays inside the home."""
    depth = 0
    if PurePosixPath(path).is_absolute() or "\0" in path or not path:
        return False
    for part in (*(from_folder.parts if from_folder else ()), *PurePosixPath(path).parts):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def _check_inside(path: str, *, from_folder: PurePosixPath | None = None) -> None:
    if not stays_inside(path, from_folder=from_folder):
        message = f"the backup names {path[:120]!r}, which leaves the home"
        raise InvalidError(message, code="backup.path", params={"path": path[:120]})


def _dump(document: dict[str, Any]) -> Dump:
    tables = tuple(Rows(one["table"], tuple(one["columns"]), one["blob"]) for one in document["tables"])
    sequences = tuple((name, value) for name, value in document["sequences"])
    return Dump(document["service"], document["revision"], tables, sequences)


def _of(kind: type[_T], document: dict[str, Any]) -> _T:
    return kind(**{field.name: document[field.name] for field in fields(kind)})  # type: ignore[arg-type]
