"""Name a version by what it is made from, so that committing the same again is the same version."""

from dataclasses import dataclass
from datetime import datetime

from onecode_common.canonical import digest_of
from onecode_common.errors import ConflictError
from onecode_ingestion.domain.columns import Schema
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.options import ReadOptions


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One Parquet object of a version.

    Attributes:
        digest: Hex SHA-256; its name in the object store.
        rows: Rows in it.
        bytes: Its size.
    """

    digest: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable version of a data set.

    Attributes:
        version_id: See :func:`version_id`.
        project: Whose it is.
        dataset: Name of its data set.
        number: 1, 2, 3 … within the data set; never given twice.
        rows: Rows committed.
        dropped_rows: Rows left out because they were ragged.
        schema: Its columns.
        parts: Its Parquet objects, in the order of their rows.
        upload_sha256: Hex digest of the bytes it was read from.
        options: How they were read, nothing left open.
        findings: What was noticed.
        created: When.
        created_by: Principal.
    """

    version_id: str
    project: str
    dataset: str
    number: int
    rows: int
    dropped_rows: int
    schema: Schema
    parts: tuple[StoredPart, ...]
    upload_sha256: str
    options: ReadOptions
    findings: tuple[Finding, ...]
    created: datetime
    created_by: str

    @property
    def bytes(self) -> int:
        """Size of all its objects."""
        return sum(part.bytes for part in self.parts)


def version_id(upload_sha256: str, options: ReadOptions, schema: Schema) -> str:
    """Return ``sha256:<hex>`` of the canonical upload digest, resolved options and schema."""
    return digest_of(
        {"upload": f"sha256:{upload_sha256}", "options": options.to_document(), "schema": schema.to_document()}
    )


def elsewhere(id_: str, dataset: str) -> ConflictError:
    """Return the error for a version that another data set has already."""
    message = f"these bytes, read this way, are version {id_[:19]}… of data set {dataset!r} already"
    hint = f"use data set {dataset!r}, or delete that version first"
    params = {"version_id": id_, "dataset": dataset}
    return ConflictError(message, code="data.version_elsewhere", hint=hint, params=params)
