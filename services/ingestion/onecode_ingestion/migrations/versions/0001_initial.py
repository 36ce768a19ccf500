"""Create uploads, data sets, their versions with objects, commits and holds, and ingestion's outbox and audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _data()
    _of_version(
        "version_objects",
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    _of_version(
        "commits",
        sa.Column("upload_sha256", sa.String(64), primary_key=True),
        sa.Column("requested", sa.String(80), primary_key=True),
    )
    _of_version(
        "holds",
        sa.Column("holder", sa.String(200), primary_key=True),
        sa.Column("since", sa.String(40), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(40), nullable=False, unique=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("principal", sa.String(100), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("object", sa.String(200), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    for table in ("audit", "outbox", "holds", "commits", "version_objects", "versions", "datasets", "uploads"):
        op.drop_table(table)


def _data() -> None:
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(40), primary_key=True),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("expected", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("last_number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("version_id", sa.String(80), primary_key=True),
        sa.Column("dataset", sa.String(63), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("dropped_rows", sa.BigInteger, nullable=False),
        sa.Column("upload_sha256", sa.String(64), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.UniqueConstraint("project", "dataset", "number"),
    )


def _of_version(name: str, *columns: sa.Column) -> None:
    op.create_table(
        name,
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("version_id", sa.String(80), primary_key=True),
        *columns,
        sa.ForeignKeyConstraint(["project", "version_id"], ["versions.project", "versions.version_id"]),
    )
