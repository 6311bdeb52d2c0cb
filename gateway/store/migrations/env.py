"""Run by alembic, over the connection and in the transaction of whoever calls it; see `gateway.store.migrate`."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
