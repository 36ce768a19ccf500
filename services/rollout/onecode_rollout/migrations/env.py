"""Run this service's migrations on the connection that it opened."""

from alembic import context

from onecode_common.migrations import run

run(context)
