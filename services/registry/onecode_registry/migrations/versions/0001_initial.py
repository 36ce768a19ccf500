"""The registry's first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO turns (id, number) VALUES (1, 0)")
    op.create_table(
        "models",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("last_release", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("request_id", sa.String(100), nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("release", sa.BigInteger, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("principal", sa.String(100), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("mlflow_version", sa.String(40), nullable=False),
        sa.Column("mirrored", sa.Boolean, nullable=False),
        sa.UniqueConstraint("project", "request_id"),
        sa.UniqueConstraint("project", "model", "release"),
    )
    op.create_table(
        "version_files",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("length", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "aliases",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("alias", sa.String(63), primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("mirrored", sa.Boolean, nullable=False),
    )
    op.create_table(
        "metadata",
        sa.Column("role", sa.String(40), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("stored", sa.String(40), nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("path", sa.String(200), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("stored", sa.String(40), nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
    )
    op.create_table(
        "named",
        sa.Column("segment", sa.String(63), primary_key=True),
        sa.Column("digest", sa.String(71), primary_key=True),
    )
    op.create_table(
        "runs",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("run_id", sa.String(100), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("started", sa.String(40), nullable=False),
        sa.Column("changed", sa.String(40), nullable=False),
        sa.Column("last_batch", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("mirrored", sa.BigInteger, nullable=False),
        sa.Column("parameters_sent", sa.Integer, nullable=False),
        sa.Column("mlflow_run", sa.String(64), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
    )
    op.create_table(
        "points",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("value", sa.String(40), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("time", sa.String(40), nullable=False),
        sa.Index("points_by_run", "project", "run_id", "number"),
        sqlite_autoincrement=True,
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
