"""Opens the store that the settings name."""

from __future__ import annotations

from pathlib import Path

from gateway.store.database import Database
from gateway.store.postgres import PostgresDatabase
from gateway.store_settings import Store

FILE = "gateway.sqlite"
"""The store's file below `state`, where it is none in PostgreSQL."""


def open_store(settings: Store, state: Path) -> Database:
    """The store, brought up to this program; blocks. Raises `GatewayError`."""
    return PostgresDatabase(settings) if settings.kind == "postgres" else Database(state / FILE)
