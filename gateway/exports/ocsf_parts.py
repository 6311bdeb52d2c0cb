"""The parts of events that their classes ask for: who, from where, at what, about what.

Each function fills in an event and says which fields of the record it told.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from gateway import __version__

Record = Mapping[str, Any]
Used = frozenset[str]
_MEDIUM = 3


def product(record: Record) -> dict[str, Any]:
    version = str(record["version"]) if record.get("kind") == "log.start" and record.get("version") else __version__
    return {"name": "gateway", "vendor_name": "gateway", "version": version, "uid": str(record.get("origin", ""))}


def _user(whose: Record) -> dict[str, Any]:
    user: dict[str, Any] = {"type_id": 1, "type": "User"}
    user["name"] = str(whose.get("login") or "unknown")
    if whose.get("person"):
        user["uid"] = str(whose["person"])
    if teams := _texts(whose.get("teams")):
        user["groups"] = [{"name": team} for team in teams]
    return user


def _actor(whose: Record) -> dict[str, Any]:
    actor: dict[str, Any] = {}
    if whose.get("login") or whose.get("person"):
        actor["user"] = _user(whose)
    if whose.get("session"):
        actor["session"] = {"uid": str(whose["session"])}
        if whose.get("factor"):
            actor["session"]["is_mfa"] = True
    if whose.get("application"):
        actor["app_name"] = str(whose["application"])
    return actor or {"app_name": "gateway"}


def _by(record: Record) -> dict[str, Any]:
    """Who acted on another person's account, request or grant."""
    by = record.get("by")
    if not by or by == "gateway":
        return {"app_name": "gateway"}
    return {"user": {"uid": str(by), "type_id": 1, "type": "User"}}


def _source(whose: Record) -> dict[str, Any]:
    host, _, port = str(whose.get("address", "")).rpartition(":")
    host = host.strip("[]")
    if not host:
        return {"name": str(whose.get("address") or "unknown")}
    endpoint: dict[str, Any] = {"ip": host} if _is_address(host) else {"name": host}
    if port.isdigit() and int(port) <= 65535:
        endpoint["port"] = int(port)
    return endpoint


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)] if value else []


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def datastore_parts(event: dict[str, Any], record: Record, whose: Record, _: str) -> Used:
    event["actor"], event["src_endpoint"] = _actor(whose), _source(whose)
    # a session through an API says so, and what it begins is no database
    kind = (99, "API") if whose.get("engine") == "http" else (1, "Relational")
    database = {"name": str(whose.get("target") or "unknown"), "type_id": kind[0], "type": kind[1]}
    event |= {"database": database, "type_id": 1, "type": "Database"}
    used = {"person", "login", "teams", "address", "target", "session", "application"}
    if record.get("sql"):
        event["query_info"] = {
            "uid": str(record.get("fingerprint") or record.get("statement") or "unknown"),
            "query_string": str(record["sql"]),
        }
        used |= {"sql"}
    relations = [*_texts(record.get("relations")), *_texts(record.get("relation"))]
    if len(relations) == 1:
        event["table"] = {"name": relations[0]}
        used |= {"relations", "relation"}
    return frozenset(used)


def authentication_parts(event: dict[str, Any], record: Record, whose: Record, _: str) -> Used:
    event |= {"user": _user(whose), "actor": _actor(whose), "src_endpoint": _source(whose)}
    event["service"] = {"name": str(whose.get("target") or "gateway")}
    event |= {"is_remote": True, "is_mfa": bool(whose.get("factor"))}
    if record.get("factor"):
        factor = str(record["factor"])
        number, caption = (7, "OTP") if factor == "totp" else (99, factor)
        event["auth_factors"] = [{"factor_type_id": number, "factor_type": caption, "is_totp": factor == "totp"}]
    if record.get("session"):
        event["session"] = {"uid": str(record["session"])}
    return frozenset({"person", "login", "teams", "address", "target", "session", "application", "factor"})


def account_parts(event: dict[str, Any], record: Record, whose: Record, _: str) -> Used:
    event |= {"user": _user(whose), "src_endpoint": _source(whose)}
    event["actor"] = _by(record) if record.get("by") else _actor(whose)
    return frozenset({"person", "login", "teams", "address", "by"})


def entity_parts(event: dict[str, Any], record: Record, whose: Record, what: str) -> Used:
    uid = next((str(record[name]) for name in _ENTITIES[what] if record.get(name)), "unknown")
    event["entity"] = {"uid": uid, "type": what, "type_id": 99}
    if what == "policy":
        named = {"name": str(record.get("target", "unknown")), "uid": uid}
        event["entity"] |= {"type": "Policy", "type_id": 5, "policy": named}
    event["actor"] = _by(record) if record.get("by") else _actor(whose)
    event["src_endpoint"] = _source(whose)
    if not record.get("by"):
        return frozenset({"person", "login", "teams", "address", "session", "application"})
    return frozenset({"address"})


_ENTITIES = {
    "access request": ("request", "digest"),
    "pass": ("pass",),
    "grant": ("grant", "request"),
    "policy": ("policy", "target"),
    "legal hold": ("hold",),
    "case": ("case",),
    "ticket": ("ticket",),
    "delegation": ("delegation",),
    "access review": ("review", "of"),
    "person": ("person",),
    "act of two people": ("act",),
}


def access_parts(event: dict[str, Any], record: Record, whose: Record, _: str) -> Used:
    event |= {"user": _user(whose), "src_endpoint": _source(whose)}
    event["privileges"] = ["read", "write"] if record.get("write") else ["read"]
    event["actor"] = _by(record) if record.get("by") else _actor(whose)
    return frozenset({"person", "login", "teams", "address", "write", "by"})


def finding_parts(event: dict[str, Any], record: Record, _: Record, what: str) -> Used:
    title = f"{what}: {record['rule']}" if record.get("rule") else what
    event["finding_info"] = {"uid": str(record.get("id", "")), "title": title, "types": [str(record["kind"])]}
    event["is_alert"] = event["severity_id"] >= _MEDIUM
    return frozenset()


def lifecycle_parts(event: dict[str, Any], record: Record, _: Record, __: str) -> Used:
    event["app"] = product(record)
    return frozenset({"version"}) if record.get("version") else frozenset()


def log_parts(event: dict[str, Any], record: Record, _: Record, __: str) -> Used:
    event |= {"log_name": str(record.get("origin", "")), "log_provider": "gateway audit trail"}
    return frozenset()


def api_parts(event: dict[str, Any], record: Record, whose: Record, _: str) -> Used:
    event |= {"actor": _actor(whose), "src_endpoint": _source(whose)}
    if whose.get("engine") == "http" and whose.get("target"):
        return _request_parts(event, record, whose)
    event["api"] = {"operation": str(record.get("query") or record["kind"]), "service": {"name": "gateway"}}
    return frozenset({"person", "login", "teams", "address", "application", "query"})


def _request_parts(event: dict[str, Any], record: Record, whose: Record) -> Used:
    """A request to an API behind the gateway: the operation is its shape, without values."""
    operation = str(record.get("sql") or record.get("verb") or record["kind"])
    event["api"] = {"operation": operation, "service": {"name": str(whose["target"])}}
    return frozenset({"person", "login", "teams", "address", "target", "session", "application", "sql"})
