"""Name the registry's tables once, for all who read or write them; the migrations make them."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text

from onecode_common.audit import audit_table
from onecode_common.outbox import outbox_table

metadata = MetaData()

turns = Table("turns", metadata, Column("id", Integer, primary_key=True), Column("number", BigInteger))
"""One row that writers take in turn."""

models = Table(
    "models",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("last_release", BigInteger, nullable=False),
)
"""The release counter of each model, which never goes back."""

versions = Table(
    "versions",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("request_id", String(100), nullable=False),
    Column("body", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("model", String(63), nullable=False),
    Column("release", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("principal", String(100), nullable=False),
    Column("created", String(40), nullable=False),
    Column("mlflow_version", String(40), nullable=False),
    Column("mirrored", Boolean, nullable=False),
)

version_files = Table(
    "version_files",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("length", BigInteger, nullable=False),
)
"""What each version is made of, its manifest included."""

aliases = Table(
    "aliases",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("model", String(63), primary_key=True),
    Column("alias", String(63), primary_key=True),
    Column("digest", String(71), nullable=False),
    Column("mirrored", Boolean, nullable=False),
)

signed = Table(
    "metadata",
    metadata,
    Column("role", String(40), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("stored", String(40), nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("path", String(200), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("stored", String(40), nullable=False),
    Column("published", Boolean, nullable=False),
)

named = Table(
    "named",
    metadata,
    Column("segment", String(63), primary_key=True),
    Column("digest", String(71), primary_key=True),
)
"""Which versions the published policy of a segment names."""

runs = Table(
    "runs",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("run_id", String(100), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("started", String(40), nullable=False),
    Column("changed", String(40), nullable=False),
    Column("last_batch", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("mirrored", BigInteger, nullable=False),
    Column("parameters_sent", Integer, nullable=False),
    Column("mlflow_run", String(64), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("tags", Text, nullable=False),
)

points = Table(
    "points",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("project", String(63), nullable=False),
    Column("run_id", String(100), nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", String(40), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("time", String(40), nullable=False),
    sqlite_autoincrement=True,
)
"""Values of curves on their way to MLflow; a value is text, because not every database keeps NaN."""

outbox = outbox_table(metadata)
audit = audit_table(metadata)
