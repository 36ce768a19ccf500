"""Let Alembic use the connection that the service opened."""

from alembic import context

from onecode_common.migrations import run

run(context)
