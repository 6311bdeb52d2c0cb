"""Records as events of the Open Cybersecurity Schema Framework, version 1.8.0 (https://schema.ocsf.io/1.8.0).

Each kind of record has a class, an activity and a severity in `KINDS_AS`. The event carries the record's id as
`metadata.uid`, so that one which was sent twice can be told, and every field that has no place of its own under
`unmapped`: an event says all that its record says.

What ends a statement or a window names only its session: who that was, and from where, is taken from `Sessions`, which
remembers the sessions whose begin went past. Where it does not know, the event names the session alone.

INVARIANT: a record of any kind becomes a valid event, of the base class when nothing better is known of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.exports import ocsf_parts as parts
from gateway.exports.ocsf_parts import Record, Used, product

VERSION = "1.8.0"
"""Of the schema."""

_INFORMATIONAL, _LOW, _MEDIUM, _HIGH = 1, 2, 3, 4
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
_BY_WORD = {"low": 2, "medium": 3, "high": 4, "critical": 5}
_UNKNOWN, _SUCCESS, _FAILURE, _OTHER = 0, 1, 2, 99
_STATUSES = {0: "Unknown", 1: "Success", 2: "Failure"}
_SESSIONS_KEPT = 10_000
_ENVELOPE = frozenset({"v", "origin", "index", "id", "time", "kind"})
_WHOSE = ("person", "login", "teams", "address", "user", "application", "target", "ticket", "customers", "factor",
          "engine")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Class:
    """One class of the schema: its number, its captions, and those of its activities."""

    uid: int
    name: str
    category: str
    activities: Mapping[int, str]


_EVENT = Class(0, "Base Event", "Uncategorized", {})
_LOG = Class(1008, "Event Log Activity", "System Activity", {8: "Restart"})
_FINDING = Class(2004, "Detection Finding", "Findings", {1: "Create"})
_ACCOUNT = Class(
    3001,
    "Account Change",
    "Identity & Access Management",
    {2: "Enable", 5: "Disable", 10: "MFA Factor Enable", 11: "MFA Factor Disable"},
)
_AUTHENTICATION = Class(3002, "Authentication", "Identity & Access Management", {1: "Logon", 2: "Logoff"})
_ENTITY = Class(
    3004,
    "Entity Management",
    "Identity & Access Management",
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 10: "Activate", 11: "Deactivate"},
)
_ACCESS = Class(
    3005, "User Access Management", "Identity & Access Management", {1: "Assign Privileges", 2: "Revoke Privileges"}
)
_LIFECYCLE = Class(6002, "Application Lifecycle", "Application Activity", {3: "Start", 4: "Stop"})
_API = Class(6003, "API Activity", "Application Activity", {1: "Create", 2: "Read", 3: "Update", 4: "Delete"})
_DATASTORE = Class(
    6005,
    "Datastore Activity",
    "Application Activity",
    {1: "Read", 2: "Update", 3: "Connect", 4: "Query", 6: "Create", 7: "Delete"},
)


@dataclass(frozen=True, slots=True)
class As:
    """As what a kind of record is told: `activity` may depend on the record, its text is a name of our own."""

    of: Class
    activity: int | str | Callable[[Record], int | str]
    severity: int = _INFORMATIONAL
    what: str = ""


def _of_verb(record: Record) -> int | str:
    verb = str(record.get("verb") or str(record.get("tag", "")).partition(" ")[0]).upper()
    return {"INSERT": 6, "UPDATE": 2, "DELETE": 7, "SELECT": 4, "": 4}.get(verb, verb)


def _of_person(record: Record) -> int:
    return {"new": 1, "gone": 11, "back": 10}.get(str(record.get("state", "")), 3)


def _of_request(record: Record) -> int:
    return {"pending": 1, "cancelled": 4, "expired": 4}.get(str(record.get("state", "")), 3)


KINDS_AS: dict[str, As] = {
    "log.start": As(_LIFECYCLE, 3),
    "log.stop": As(_LIFECYCLE, 4),
    "log.recovery": As(_LOG, 8, _MEDIUM),
    "log.rotation": As(_LOG, "Key rotation", _LOW),
    "log.heartbeat": As(_LIFECYCLE, "Heartbeat"),
    "clock.step": As(_LOG, "Clock step", _MEDIUM),
    "engine.process": As(_LIFECYCLE, lambda record: 3 if record.get("state") == "started" else 4, _LOW),
    "statement.unknown": As(_DATASTORE, 4, _MEDIUM),
    "login": As(_AUTHENTICATION, 1),
    "enrolment": As(_ACCOUNT, 10),
    "factor.reset": As(_ACCOUNT, 11, _MEDIUM),
    "directory.person": As(_ENTITY, _of_person, what="person"),
    "request": As(_ENTITY, _of_request, what="access request"),
    "request.preview": As(_ENTITY, 2, what="access request"),
    "grant": As(_ACCESS, lambda record: 1 if record.get("state") == "active" else 2),
    "delegation": As(_ENTITY, 3, _LOW, what="delegation"),
    "person.suspension": As(_ACCOUNT, lambda record: 5 if record.get("state") == "suspended" else 2, _MEDIUM),
    "access.review": As(_ENTITY, 3, _LOW, what="access review"),
    "break_glass.opened": As(_FINDING, 1, _HIGH, "access was taken in an emergency, without approval"),
    "break_glass.review": As(_ENTITY, 3, _MEDIUM, what="grant"),
    "break_glass.overdue": As(_FINDING, 1, _HIGH, "nobody reviewed an emergency in time"),
    "pass.minted": As(_ENTITY, 1, what="pass"),
    "write.claimed": As(_ENTITY, 10, what="grant"),
    "write.released": As(_ENTITY, 11, what="grant"),
    "session.begin": As(_DATASTORE, 3),
    "session.connected": As(_DATASTORE, 3),
    "session.end": As(_AUTHENTICATION, 2),
    "statement.begin": As(_DATASTORE, _of_verb),
    "statement.window": As(_DATASTORE, 1),
    "statement.end": As(_DATASTORE, _of_verb),
    "statement.refused": As(_DATASTORE, _of_verb, _LOW),
    "search.exact": As(_DATASTORE, 4, _LOW),
    "budget.warning": As(_FINDING, 1, _MEDIUM, "budget nearly used up"),
    "refusals.flood": As(_FINDING, 1, _HIGH, "too many refused statements"),
    "store.seen": As(_LIFECYCLE, "Place in the store"),
    "store.restored": As(_FINDING, 1, _HIGH, "the store of access went back in time"),
    "redis.state": As(_LIFECYCLE, "What gateways share", _MEDIUM),
    "policy.change": As(_ENTITY, 3, _MEDIUM, what="policy"),
    "catalog.drift": As(_FINDING, 1, _LOW, "the target differs from its policy"),
    "security.alert": As(_FINDING, 1, _HIGH, "security event"),
    "security.case": As(_ENTITY, 3, _MEDIUM, what="case"),
    "security.notice": As(_ENTITY, "Notice", what="case"),
    "directory.source": As(_LIFECYCLE, "Directory", _MEDIUM),
    "ticket.source": As(_LIFECYCLE, "Ticket source", _LOW),
    "ticket.hook": As(_API, 3),
    "ticket.comment": As(_ENTITY, "Comment", what="ticket"),
    "audit.unsealed": As(_API, 2, _HIGH),
    "audit.erased": As(_API, 4, _HIGH),
    "audit.expired": As(_LOG, "Expiry of sealed literals"),
    "log.pruned": As(_LOG, "Pruning", _LOW),
    "keys.rotated": As(_LOG, "Master key rotation", _MEDIUM),
    "hold.set": As(_ENTITY, 1, _MEDIUM, what="legal hold"),
    "hold.lifted": As(_ENTITY, 4, _MEDIUM, what="legal hold"),
    "hold.kept": As(_LOG, "Kept by a legal hold"),
    "archive.late": As(_LOG, "Archive late", _HIGH),
    "restore.tested": As(_LOG, "Restore test"),
    "audit.act": As(_ENTITY, 3, _MEDIUM, what="act of two people"),
    "audit.reconciled": As(_API, 2),
    "audit.report": As(_API, 2),
    "audit.read": As(_API, 2),
}
_UNLISTED = As(_EVENT, _OTHER)
_STATEMENTS = frozenset(kind for kind in KINDS_AS if kind.startswith("statement."))


def _of_method(record: Record) -> int | str:
    verb = str(record.get("verb", "")).upper()
    return {"POST": 1, "PUT": 3, "PATCH": 3, "DELETE": 4, "GET": 2, "HEAD": 2, "": 2}.get(verb, verb)


class Sessions:
    """Who is behind a session, of those whose records went past; a bounded number of them."""

    def __init__(self, kept: int = _SESSIONS_KEPT) -> None:
        self._kept = kept
        self._known: dict[str, dict[str, Any]] = {}

    def whose(self, record: Record) -> Record:
        """The record's own identifying fields over those of its session."""
        session = record.get("session")
        if not isinstance(session, str):
            return record
        known = self._known.get(session)
        if record.get("kind") == "session.begin":
            if len(self._known) >= self._kept:
                del self._known[next(iter(self._known))]
            self._known[session] = {name: record[name] for name in _WHOSE if name in record}
        elif record.get("kind") == "session.end":
            self._known.pop(session, None)
        return record if known is None else {**known, **record}


def event_of(record: Record, whose: Record) -> dict[str, Any]:
    """The event of a record; `whose` is what `Sessions.whose` said of it."""
    kind = str(record.get("kind", ""))
    told = KINDS_AS.get(kind, _UNLISTED)
    if kind in _STATEMENTS and whose.get("engine") == "http":
        # a request to an API is none to a datastore
        told = As(_API, _of_method, told.severity)
    activity = told.activity(record) if callable(told.activity) else told.activity
    number, name = (_OTHER, activity or "Other") if isinstance(activity, str) else (activity, "")
    name = name or told.of.activities.get(number, "Other")
    status, status_text = _status(record)
    severity = _BY_WORD.get(str(record.get("severity")), told.severity)
    if status == _FAILURE:
        severity = max(severity, _LOW)
    event: dict[str, Any] = {
        "class_uid": told.of.uid,
        "class_name": told.of.name,
        "category_uid": told.of.uid // 1000,
        "category_name": told.of.category,
        "activity_id": number,
        "activity_name": name,
        "type_uid": told.of.uid * 100 + number,
        "type_name": f"{told.of.name}: {name}",
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "time": _milliseconds(record.get("time")),
        "metadata": _metadata(record, kind),
        "message": _message(kind, whose, record),
    }
    shape = _SHAPES.get(told.of.uid)
    used = shape(event, record, whose, told.what) if shape is not None else frozenset()
    if told.of is _FINDING:
        event["status_id"], event["status"] = 1, "New"
    else:
        event["status_id"], event["status"] = status, status_text
    if record.get("code") or record.get("sqlstate"):
        event["status_code"] = str(record.get("code") or record["sqlstate"])
    if record.get("reason"):
        event["status_detail"] = str(record["reason"])
    rest = {key: value for key, value in record.items() if key not in _ENVELOPE and key not in used}
    if rest:
        event["unmapped"] = rest
    return event


def _metadata(record: Record, kind: str) -> dict[str, Any]:
    metadata = {
        "version": VERSION,
        "product": product(record),
        "uid": str(record.get("id", "")),
        "sequence": record.get("index", 0),
        "event_code": kind,
        "log_name": str(record.get("origin", "")),
        "log_provider": "gateway audit trail",
        "log_version": str(record.get("v", "")),
        "original_time": str(record.get("time", "")),
    }
    if record.get("session"):
        metadata["correlation_uid"] = str(record["session"])
    if record.get("truncated"):
        metadata["is_truncated"] = True
    return metadata


def _message(kind: str, whose: Record, record: Record) -> str:
    words = [kind]
    if whose.get("login"):
        words.append(f"by {whose['login']}")
    if whose.get("target"):
        words.append(f"at {whose['target']}")
    if whose.get("ticket"):
        words.append(f"for {whose['ticket']}")
    if record.get("decision") == "deny":
        words.append(f"denied: {record.get('code', '')}")
    return " ".join(words)


def _status(record: Record) -> tuple[int, str]:
    """Number and caption of how it ended; what has not ended is neither a success nor a failure."""
    kind, status = record.get("kind"), record.get("status")
    if record.get("decision") == "deny":
        return _FAILURE, "Failure"
    if kind == "statement.begin":
        return _OTHER, "Permitted"
    if kind == "statement.unknown":
        return _UNKNOWN, "Unknown"
    if status in (None, "ok") or kind == "session.end":
        return _SUCCESS, "Success"
    if status == "error":
        return _FAILURE, "Failure"
    return _OTHER, str(status)


def _milliseconds(time: Any) -> int:
    try:
        return round(datetime.fromisoformat(str(time)).timestamp() * 1_000)
    except ValueError:
        return 0


_SHAPES: dict[int, Callable[[dict[str, Any], Record, Record, str], Used]] = {
    _LOG.uid: parts.log_parts,
    _FINDING.uid: parts.finding_parts,
    _ACCOUNT.uid: parts.account_parts,
    _AUTHENTICATION.uid: parts.authentication_parts,
    _ENTITY.uid: parts.entity_parts,
    _ACCESS.uid: parts.access_parts,
    _LIFECYCLE.uid: parts.lifecycle_parts,
    _API.uid: parts.api_parts,
    _DATASTORE.uid: parts.datastore_parts,
}
