"""Let a database say that it was restored, so that numbers given out after its backup are never given out again.

Gateways refuse signed metadata whose number is lower than one that they accepted. What was signed after the backup is
unknown to the restored database, so its owner jumps far ahead of it, once.
"""

from sqlalchemy import Connection, inspect, text

JUMP = 1_000_000
"""More numbers than are given out between two backups; a generation may jump by 2**32 at once."""


def mark_restored(connection: Connection) -> None:
    """Note it in the running transaction."""
    connection.execute(text("CREATE TABLE IF NOT EXISTS restored (jump INTEGER NOT NULL)"))


def take_restored(connection: Connection) -> bool:
    """Return whether the database was restored, and forget it in the running transaction: who asks acts on it."""
    if not inspect(connection).has_table("restored"):
        return False
    connection.execute(text("DROP TABLE restored"))
    return True
