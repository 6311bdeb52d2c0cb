"""The store's revisions, from the first version on, which alembic runs: see `gateway.store.migrate`."""
