"""Create all tables of rollout."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("rollout_id", sa.String(500), primary_key=True),
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("digest", sa.String(500), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(30), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("served_digest", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "assertions",
        sa.Column("gateway_id", sa.String(63), primary_key=True),
        sa.Column("jti", sa.String(100), primary_key=True),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_index("ix_assertions_until", "assertions", ["until"])
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("principal", sa.String(100), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("object", sa.String(200), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("interval_start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("digest", sa.String(80), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("boot_id", sa.String(500), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("interval_s", sa.Integer, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("non_finite", sa.BigInteger, nullable=False),
        sa.Column("unassigned", sa.BigInteger, nullable=False),
        sa.Column("latency", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("from_state", sa.String(30), nullable=False),
        sa.Column("to_state", sa.String(30), nullable=False),
        sa.Column("rule", sa.String(60), nullable=False),
        sa.Column("by", sa.String(100), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("signature", sa.String(200), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "exposures",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", sa.Double, nullable=False),
    )
    op.create_table(
        "fleet",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", sa.Double, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "gateways",
        sa.Column("gateway_id", sa.String(63), primary_key=True),
        sa.Column("segment", sa.String(63), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("accept", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("token_id", sa.String(20), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("token_expires", sa.Double, nullable=False),
        sa.Column("token_used", sa.Double, nullable=False),
    )
    op.create_index("ix_gateways_segment", "gateways", ["segment"])
    op.create_index("ix_gateways_token_id", "gateways", ["token_id"])
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(40), nullable=False, unique=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policies",
        sa.Column("segment", sa.String(63), primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("fleet_version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rollouts",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False, unique=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("state", sa.String(30), nullable=False),
        sa.Column("reason", sa.String(100), nullable=False),
        sa.Column("alias", sa.String(20), nullable=False),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_rollouts_model", "rollouts", ["model"])
    op.create_index("ix_rollouts_state", "rollouts", ["state"])
    op.create_table(
        "segments",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("approvals", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "slots",
        sa.Column("segment", sa.String(63), primary_key=True),
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("rollout_id", sa.String(100), nullable=False),
    )
    op.create_index("ix_slots_rollout_id", "slots", ["rollout_id"])
    op.create_table(
        "sources",
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("segment", sa.String(63), nullable=False),
        sa.Column("last_heard", sa.Double, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "suspects",
        sa.Column("rollout_id", sa.String(100), primary_key=True),
        sa.Column("source", sa.String(63), primary_key=True),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
    )
