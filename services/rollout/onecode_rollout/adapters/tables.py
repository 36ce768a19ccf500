"""Name the tables of this service's database; the first migration creates them with the same columns."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

from onecode_common.audit import audit_table
from onecode_common.outbox import outbox_table

METADATA = MetaData()

OUTBOX = outbox_table(METADATA)
AUDIT = audit_table(METADATA)

SEGMENTS = Table(
    "segments",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("approvals", Integer, nullable=False),
    Column("created", Double, nullable=False),
)

GATEWAYS = Table(
    "gateways",
    METADATA,
    Column("gateway_id", String(63), primary_key=True),
    Column("segment", String(63), nullable=False, index=True),
    Column("state", String(20), nullable=False),
    Column("accept", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("token_id", String(20), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False),
    Column("token_expires", Double, nullable=False),
    Column("token_used", Double, nullable=False),
)

ASSERTIONS = Table(
    "assertions",
    METADATA,
    Column("gateway_id", String(63), primary_key=True),
    Column("jti", String(100), primary_key=True),
    Column("until", Double, nullable=False, index=True),
)

SOURCES = Table(
    "sources",
    METADATA,
    Column("source", String(63), primary_key=True),
    Column("segment", String(63), nullable=False),
    Column("last_heard", Double, nullable=False),
    Column("document", Text, nullable=False),
)

POLICIES = Table(
    "policies",
    METADATA,
    Column("segment", String(63), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("fleet_version", BigInteger, nullable=False),
)

FLEET = Table(
    "fleet",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("signed_at", Double, nullable=False),
    Column("published", BigInteger, nullable=False),
)

ROLLOUTS = Table(
    "rollouts",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("model", String(63), nullable=False, index=True),
    Column("state", String(30), nullable=False, index=True),
    Column("reason", String(100), nullable=False),
    Column("alias", String(20), nullable=False),
    Column("due_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

SLOTS = Table(
    "slots",
    METADATA,
    Column("segment", String(63), primary_key=True),
    Column("model", String(63), primary_key=True),
    Column("rollout_id", String(100), nullable=False, index=True),
)

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("from_state", String(30), nullable=False),
    Column("to_state", String(30), nullable=False),
    Column("rule", String(60), nullable=False),
    Column("by", String(100), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Column("signature", String(200), nullable=False),
    Column("previous", String(64), nullable=False),
)

SUSPECTS = Table(
    "suspects",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("cause", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("accepted", Boolean, nullable=False),
)

EXPOSURES = Table(
    "exposures",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("since", Double, nullable=False),
)

COUNTERS = Table(
    "counters",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("interval_start", BigInteger, primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("digest", String(80), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("boot_id", String(500), primary_key=True),
    Column("model", String(63), nullable=False),
    Column("interval_s", Integer, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("non_finite", BigInteger, nullable=False),
    Column("unassigned", BigInteger, nullable=False),
    Column("latency", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

SHADOW_COUNTERS = Table(
    "shadow_counters",
    METADATA,
    Column("rollout_id", String(100), primary_key=True),
    Column("interval_start", BigInteger, primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("boot_id", String(500), primary_key=True),
    Column("pairs", BigInteger, nullable=False),
    Column("different", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("largest", Double, nullable=False),
    Column("sequence", BigInteger, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("source", String(63), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("at", Double, nullable=False),
    Column("document", Text, nullable=False),
)

ACTIONS = Table(
    "actions",
    METADATA,
    Column("rollout_id", String(500), primary_key=True),
    Column("source", String(63), primary_key=True),
    Column("digest", String(500), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", String(30), nullable=False),
    Column("cause", Text, nullable=False),
    Column("served_digest", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)

CUSTOM_RESOURCES = Table(
    "custom_resources",
    METADATA,
    Column("namespace", String(63), primary_key=True),
    Column("name", String(253), primary_key=True),
    Column("rollout_id", String(100), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("present", Boolean, nullable=False),
)

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("until", Double, nullable=False),
)
