"""Name training's tables once; the migrations make them."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, String, Table, Text

from onecode_common.audit import audit_table
from onecode_common.outbox import outbox_table

METADATA = MetaData()

RUNS = Table(
    "runs",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(100), nullable=False),
    Column("state", String(20), nullable=False),
    Column("held", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
TRIALS = Table(
    "trials",
    METADATA,
    Column("run_id", String(100), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
)
POINTS = Table(
    "points",
    METADATA,
    Column("run_id", String(100), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
)
LOG_BATCHES = Table(
    "log_batches",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(100), nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("at", String(40), nullable=False),
    Column("document", Text, nullable=False),
)
OUTBOX = outbox_table(METADATA)
AUDIT = audit_table(METADATA)
