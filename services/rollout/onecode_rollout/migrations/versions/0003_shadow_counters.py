"""Keep what shadows found; schema 0002's code starts none and needs nothing of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shadow_counters",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("interval_start", sa.BigInteger, primary_key=True),
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("boot_id", sa.String(500), primary_key=True),
        sa.Column("pairs", sa.BigInteger, nullable=False),
        sa.Column("different", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("largest", sa.Double, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
