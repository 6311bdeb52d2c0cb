"""Names that OpenTelemetry's semantic conventions have for what records and spans say (database client, HTTP; 1.38).

INVARIANT: `db.query.text` is the text without its literals, or nothing; `http.route` is the template, without values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT = 4_096
"""Characters of a statement that are passed on."""


_SYSTEMS = {"postgres": "postgresql"}
"""`db.system.name` by the engine that a session came through."""


def of_target(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of its target, a database or an API; empty for one that is of no target."""
    if not record.get("target"):
        return {}
    engine = str(record.get("engine", ""))
    if engine == "http":
        return _api(record)
    # of a record that does not say through which engine, no system is made up
    found: dict[str, Any] = {"db.system.name": _SYSTEMS[engine]} if engine in _SYSTEMS else {}
    found["db.namespace"] = record["target"]
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


def http_status(tag: str) -> int | None:
    """The status in what the end of a request is recorded as (`HTTP 200`)."""
    name, _, rest = tag.partition(" ")
    status = rest.partition(" ")[0]
    return int(status) if name == "HTTP" and status.isdigit() else None


def _api(record: Mapping[str, Any]) -> dict[str, Any]:
    method, _, shape = str(record.get("sql", "")).partition(" ")
    optional = {
        "http.request.method": record.get("verb") or method,
        "http.route": shape.partition(" ")[0].partition("?")[0][:TEXT],
        "http.response.status_code": http_status(str(record.get("tag", ""))),
        "error.type": record.get("code"),
    }
    found = {name: value for name, value in optional.items() if value not in (None, "")}
    return {"gateway.target": record["target"], **found}


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
