"""Say what ingestion needs from outside: records, files of uploads, a reader of foreign bytes, objects, the time."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from onecode_common.clock import Clock
from onecode_common.objects import Objects
from onecode_ingestion.domain.columns import Schema
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.upload import Upload
from onecode_ingestion.domain.version import StoredPart, Version

Cells = list[list[str | None]]


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A Parquet file that a reader wrote."""

    path: Path
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of an upload.

    Attributes:
        options: How it was read; nothing is left open.
        schema: Its columns.
        findings: What was noticed; some may forbid a commit.
        rows: Good rows.
        dropped: Ragged rows.
        estimated_rows: Of the whole file, where a preview read only its beginning.
        first_rows: As text.
        profile: Document with the names of ``onecode.ingestion.v1.Profile``.
        parts: Good rows as Parquet; the files live as long as the reading.
    """

    options: ReadOptions
    schema: Schema
    findings: tuple[Finding, ...]
    rows: int
    dropped: int
    estimated_rows: int
    first_rows: Cells
    profile: Mapping[str, Any]
    parts: tuple[ReadPart, ...]


class Reader(Protocol):
    """Reads foreign bytes where they can do no harm."""

    def reading(
        self, path: Path, file_name: str, options: ReadOptions, *, preview: bool
    ) -> AbstractContextManager[Reading]:
        """Read a file.

        Raises:
            InvalidError: It is no table that can be read; the code says why.
            ExhaustedError: It is too large, or costs too much.
            UnavailableError: Too many others are being read.
        """
        ...


class Appending(Protocol):
    """An upload's file while bytes are being appended to it."""

    def write(self, piece: bytes) -> None:
        """Append. Raises ExhaustedError when the disk is full."""
        ...

    def close(self) -> int:
        """Make what was written durable and return the length of the file."""
        ...

    def undo(self) -> None:
        """Take back what was written since the opening."""
        ...


class UploadFiles(Protocol):
    """The bytes of uploads in progress."""

    def durable(self, upload_id: str) -> int:
        """Return how many bytes would survive a power cut now."""
        ...

    def open(self, upload_id: str) -> Appending:
        """Open for appending. Raises ConflictError while somebody else has it open."""
        ...

    def digest(self, upload_id: str) -> str:
        """Return the SHA-256 of the bytes, hex."""
        ...

    def clear(self, upload_id: str) -> None:
        """Remove the bytes; nothing happens where there are none."""
        ...

    def path(self, upload_id: str) -> Path:
        """Return where the bytes lie."""
        ...

    def known(self) -> list[str]:
        """Return the ids of all uploads that have bytes."""
        ...

    def free_bytes(self) -> int:
        """Return how many more bytes fit."""
        ...


@dataclass(frozen=True, slots=True)
class Commit:
    """What makes a version; its number and time are given when it is recorded.

    Attributes:
        version_id: Of what is committed.
        dataset: Where it belongs.
        requested: Digest of the options as they were asked for, by which a repeated commit is recognised.
        rows: Committed.
        dropped_rows: Left out.
        parts: Objects that are stored already.
        profile: Document.
        principal: Who asked.
    """

    version_id: str
    project: str
    dataset: str
    requested: str
    upload_sha256: str
    options: ReadOptions
    schema: Schema
    findings: tuple[Finding, ...]
    rows: int
    dropped_rows: int
    parts: tuple[StoredPart, ...]
    profile: Mapping[str, Any]
    principal: str


class Records(Protocol):
    """What ingestion remembers; each method is one transaction."""

    def add_upload(self, upload: Upload, most: int) -> None:
        """Remember an upload. Raises ExhaustedError when ``most`` are under way already."""
        ...

    def upload(self, project: str, upload_id: str) -> Upload:
        """Return an upload. Raises NotFoundError."""
        ...

    def complete_upload(self, upload_id: str, sha256: str) -> None:
        """Write down the digest of a complete upload."""
        ...

    def remove_upload(self, project: str, upload_id: str, principal: str) -> None:
        """Forget an upload. Raises NotFoundError."""
        ...

    def uploads_before(self, moment: datetime) -> list[Upload]:
        """Return uploads begun before this moment."""
        ...

    def upload_ids(self) -> set[str]:
        """Return the ids of all uploads."""
        ...

    def committed(self, project: str, upload_sha256: str, requested: str) -> Version | None:
        """Return the version that the same bytes and asked-for options made before."""
        ...

    def commit(self, commit: Commit) -> Version:
        """Record a version with its fact and audit row, or return it if it is there.

        Raises:
            ConflictError: It belongs to another data set, or another writer was faster.
        """
        ...

    def version(self, project: str, version_id: str) -> Version:
        """Return a version. Raises NotFoundError."""
        ...

    def newest(self, project: str, dataset: str) -> Version:
        """Return the newest version of a data set. Raises NotFoundError."""
        ...

    def versions(self, project: str, dataset: str) -> list[Version]:
        """Return all versions of a data set, newest first. Raises NotFoundError."""
        ...

    def datasets(self, project: str, after: str, limit: int) -> list[tuple[str, int, Version]]:
        """Return (name, number of versions, newest) by name, those after a name."""
        ...

    def profile(self, project: str, version_id: str) -> Mapping[str, Any]:
        """Return a version's profile document. Raises NotFoundError."""
        ...

    def hold(self, project: str, version_id: str, holder: str) -> None:
        """Write down that somebody needs the version; again is nothing new. Raises NotFoundError."""
        ...

    def release(self, project: str, version_id: str, holder: str) -> None:
        """Take a hold back; nothing happens where there is none."""
        ...

    def delete(self, project: str, version_id: str, principal: str) -> None:
        """Delete a version. Raises NotFoundError, PreconditionError while it is held."""
        ...

    def objects(self) -> set[str]:
        """Return the digests of all objects that a version needs."""
        ...


class RowPages(Protocol):
    """Shows rows of committed versions."""

    def page(self, parts: Sequence[StoredPart], offset: int, limit: int) -> Cells:
        """Return some rows as text; fewer than ``limit`` at the end, or when cells are long."""
        ...


class Ports(NamedTuple):
    """Everything outside."""

    records: Records
    files: UploadFiles
    reader: Reader
    objects: Objects
    pages: RowPages
    clock: Clock
