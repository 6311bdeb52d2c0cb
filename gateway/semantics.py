"""Names that OpenTelemetry's semantic conventions have for what records and spans say (database client, 1.38).

INVARIANT: `db.query.text` is the text without its literals, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT = 4_096
"""Characters of a statement that are passed on."""


def database(record: Mapping[str, Any]) -> dict[str, Any]:
    """The database's part of what a record says; empty for one that is of no target."""
    if not record.get("target"):
        return {}
    found: dict[str, Any] = {"db.system.name": "postgresql", "db.namespace": record["target"]}
    verb = record.get("verb") or str(record.get("tag", "")).partition(" ")[0]
    found_in = record.get("relations")
    relations = found_in if isinstance(found_in, list | tuple) else ()
    optional = {
        "db.query.text": str(record.get("sql", ""))[:TEXT],
        "db.operation.name": verb,
        "db.collection.name": relations[0] if len(relations) == 1 else record.get("relation"),
        "db.response.status_code": record.get("sqlstate"),
        "db.response.returned_rows": record.get("rows"),
        "error.type": record.get("code") or record.get("sqlstate"),
    }
    return found | {name: value for name, value in optional.items() if value not in (None, "")}


def peer(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who came, from where, in which session."""
    host, _, port = str(record.get("address", "")).rpartition(":")
    optional = {
        "client.address": host,
        "client.port": int(port) if port.isdigit() else None,
        "user.id": record.get("person"),
        "user.name": record.get("login"),
        "session.id": record.get("session"),
    }
    return {name: value for name, value in optional.items() if value not in (None, "")}
