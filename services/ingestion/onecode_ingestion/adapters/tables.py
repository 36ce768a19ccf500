"""Name the tables of ingestion's database, as its migrations make them."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Integer, MetaData, String, Table, Text

from onecode_common.audit import audit_table
from onecode_common.outbox import outbox_table

metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(40), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("expected", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created", String(40), nullable=False),
    Column("created_by", String(100), nullable=False),
)
datasets = Table(
    "datasets",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("last_number", BigInteger, nullable=False),
)
versions = Table(
    "versions",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("version_id", String(80), primary_key=True),
    Column("dataset", String(63), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("dropped_rows", BigInteger, nullable=False),
    Column("upload_sha256", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("created", String(40), nullable=False),
    Column("created_by", String(100), nullable=False),
)


def _of_version(name: str, *columns: "Column[str] | Column[int]") -> Table:
    """Return a table whose rows cannot outlive (and so forbid deleting) their version."""
    return Table(
        name,
        metadata,
        Column("project", String(63), primary_key=True),
        Column("version_id", String(80), primary_key=True),
        *columns,
        ForeignKeyConstraint(["project", "version_id"], ["versions.project", "versions.version_id"]),
    )


parts = _of_version(
    "version_objects",
    Column("position", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
commits = _of_version(
    "commits",
    Column("upload_sha256", String(64), primary_key=True),
    Column("requested", String(80), primary_key=True),
)
holds = _of_version(
    "holds",
    Column("holder", String(200), primary_key=True),
    Column("since", String(40), nullable=False),
)
audit = audit_table(metadata)
outbox = outbox_table(metadata)
