"""What an audit record may say: one builder and one table of kinds.

A record is a flat-ish mapping that `audit/log.py` completes (`v`, `origin`, `index`, `id`, `time`) and stores as
canonical JSON. Only the kinds and fields below can be recorded; a field that is None or empty is left out, so
records stay small. No field ever carries a literal of a statement, a secret, or a value from a customer's row; a
`digest` stands for a statement with its literals, and is keyed so that these cannot be guessed from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import Refusal
from gateway.model import Outcome, Permit, Session

_QUOTING = re.compile(r""" at or near |\s*["'`:\d]""")

ENVELOPE = ("v", "origin", "index", "id", "time", "truncated", "clock_behind_us")
"""What the log adds to each record; `clock_behind_us` only when the clock had gone back by that much."""
ANYWHERE = ("trace", "store")
"""What a record of any kind may say: the trace of OpenTelemetry that it belongs to, where traces are on; the newest
change of the store that the gateway knew of.
"""
PERSON = ("person", "login", "teams")
"""Who: the directory's stable id, the login at the time, and the teams as resolved."""
WHERE = ("address", "application", "engine", "tls", "user")
WHY = ("ticket_system", "ticket", "ticket_state", "customers", "grant", "request", "pass", "approvers")
FACTOR = ("factor", "factor_age_s")
VERDICT = ("decision", "code", "reason", "policy")
SESSION = ("session", "target", *PERSON, *WHERE, *WHY, *FACTOR)
SQL = (
    "statement",
    "protocol",
    "verb",
    "sql",
    "fingerprint",
    "rewritten",
    "relations",
    "columns_clear",
    "columns_masked",
    "columns_revealed",
    "columns_aggregated",
    "columns_written",
    "digest",
    "scope",
    "searches",
    "parameters",
    "sealed",
    "subjects",
    "notices",
    "would_codes",
    "would_reasons",
    "would_names",
    *("recipient", "sent_for", "categories", "sent"),
    "unmasked",
)
WRITING = ("verb", "relation", "columns", "limit", "sql", "digest")
"""What a statement would write: `limit` is how many rows it may meet, `sql` its text without literals."""
COUNTS = ("rows", "bytes", "status", "sqlstate", "duration_us", "tag")

KINDS: dict[str, tuple[str, ...]] = {
    "log.start": ("version", "size", "root", "reason"),
    "log.recovery": ("size", "root", "cut_bytes", "unknown", "reason"),
    "log.stop": ("size", "reason"),
    "log.rotation": ("note",),
    "log.heartbeat": (),
    "log.pruned": ("from", "to", "root", "before", "rule"),
    "clock.step": ("step_us",),
    "engine.process": ("engine", "state", "reason", "count"),
    "statement.unknown": ("session", "statement", "rows", "bytes", "status", "begin"),
    "login": (*SESSION, *VERDICT, "method", "count", "logins"),
    "enrolment": (*PERSON, *WHERE, *VERDICT, "by", "factor", "count", "logins"),
    "factor.reset": (*PERSON, *WHERE, *VERDICT, "by", "factor"),
    "directory.person": (*PERSON, *WHERE, "state", "previous", "reason", "by"),
    "request": (
        *PERSON,
        *WHERE,
        *WHY,
        *VERDICT,
        "target",
        "state",
        "by",
        "reveal",
        "write",
        "duration_s",
        "in_name_of",
        *WRITING,
    ),
    "request.preview": (*PERSON, *WHERE, *WHY, *FACTOR, *VERDICT, "target", "reveal", "session", *WRITING),
    "grant": (*PERSON, *WHERE, *WHY, *VERDICT, "target", "state", "by", "expires_at", "write", "digest", "break_glass"),
    "delegation": (
        *PERSON,
        *WHERE,
        *FACTOR,
        *VERDICT,
        "delegation",
        "state",
        "delegator",
        "delegate",
        "starts_at",
        "expires_at",
    ),
    "person.suspension": (*PERSON, *WHERE, *VERDICT, "by", "state"),
    "access.review": (
        *PERSON,
        *WHERE,
        *FACTOR,
        *VERDICT,
        "review",
        "move",
        "state",
        "by",
        "of",
        "target",
        "right",
        "due_at",
        "count",
        "withdrawn",
        "digest",
    ),
    "break_glass.opened": (
        *PERSON,
        *WHERE,
        *WHY,
        *FACTOR,
        *VERDICT,
        "target",
        "reveal",
        "write",
        "expires_at",
        "due_at",
    ),
    "break_glass.review": (
        *PERSON,
        *WHERE,
        *FACTOR,
        *VERDICT,
        "target",
        "ticket",
        "grant",
        "state",
        "of",
    ),
    "break_glass.overdue": ("person", "target", "ticket", "grant", "due_at"),
    "directory.source": ("state", "code", "reason", "duration_s"),
    "ticket.source": ("ticket_system", "state", "code", "reason", "duration_s"),
    "ticket.hook": (*WHERE, *VERDICT, "ticket_system", "count"),
    "ticket.comment": ("ticket_system", "ticket", "grant", "state", "code", "reason"),
    "pass.minted": (*PERSON, *WHERE, *WHY, *FACTOR, "target", "expires_at"),
    "write.claimed": (*SESSION, "digest"),
    "write.released": (*SESSION, "digest"),
    "session.begin": (*SESSION, "policy", "protection", "break_glass"),
    "session.connected": ("session", "target", "backend", "backend_address", "backend_role", "backend_database"),
    "session.end": (
        "session",
        "target",
        "person",
        "login",
        "ticket",
        "status",
        "code",
        "reason",
        "statements",
        "rows",
        "bytes",
        "duration_us",
    ),
    "statement.begin": (
        *SESSION,
        *SQL,
        *VERDICT,
        "window_rows",
        "window_bytes",
        "prepared",
        "aggregations",
        "protection",
        "would",
    ),
    "statement.window": ("session", "statement", "window_rows", "window_bytes", "rows", "bytes", "bytes_in", "digest"),
    "statement.end": ("session", "statement", "begin", *COUNTS, "rows_in", "bytes_in", "digest"),
    "statement.refused": (*SESSION, *SQL, *VERDICT, "name", "protection"),
    "search.exact": (*SESSION, "statement", "relation", "column"),
    "budget.warning": (*SESSION, "budget", "used", "limit"),
    "refusals.flood": (*SESSION, "count", "duration_s"),
    "store.seen": (),
    "store.restored": ("reason",),
    "redis.state": ("state", "reason"),
    "policy.change": ("target", "policy", "previous", "by", "reason", "effect", "differences"),
    "catalog.drift": ("target", "relation", "columns", "reason"),
    "security.alert": ("rule", "severity", "about", "case", "state", "reason", "person", "records", "evidence"),
    "security.case": (
        *PERSON,
        *WHERE,
        *FACTOR,
        *VERDICT,
        "case",
        "rule",
        "severity",
        "state",
        "move",
        "department",
        "evidence",
    ),
    "security.notice": ("case", "sink", "state", "count", "reason"),
    "audit.act": (*PERSON, *WHERE, *FACTOR, *VERDICT, "act", "does", "subject", "state", "asked_by", "confirmed_by"),
    "audit.reconciled": (
        *(*PERSON, *WHERE, "target", "since", "until", "count", "matched", "beside", "unrecorded", "unseen"),
        *("missing", "untied", "known", "files", "skew_us"),
    ),
    "audit.report": ("framework", "digest", "since", "until", "customers", "count"),
    "audit.unsealed": (*PERSON, *WHERE, "act", "asked_by", "confirmed_by", "reason", "target", "customers", "record"),
    "audit.erased": (
        *PERSON,
        *WHERE,
        "act",
        "asked_by",
        "confirmed_by",
        "reason",
        "customers",
        "subject",
        "tokens",
        "keys",
        "count",
    ),
    "audit.expired": ("months", "count"),
    "keys.rotated": ("state", "master", "keys", "count", "reason"),
    "hold.set": ("hold", "subject", "asked_by", "confirmed_by", "reason"),
    "hold.lifted": ("hold", "subject", "asked_by", "confirmed_by", "reason"),
    "hold.kept": ("hold", "subject", "from", "held"),
    "archive.late": ("size", "archived", "duration_s", "reason"),
    "restore.tested": ("status", "size", "root", "from", "count", "manifest", "reason"),
    "audit.read": (*PERSON, *WHERE, *FACTOR, "query", "count", "code", "decision"),
}


def event(kind: str, /, **fields: Any) -> dict[str, Any]:
    """A record of that kind.

    Raises `KeyError` for an unknown kind and `ValueError` for a field that the kind does not have: both are
    faults of the caller, found by the first test that takes the road.
    """
    allowed = KINDS[kind]
    record: dict[str, Any] = {"kind": kind}
    for name, value in fields.items():
        if name not in allowed and name not in ANYWHERE:
            raise ValueError(f"a {kind} record has no field {name!r}")
        if value is None or value in ("", (), []):
            continue
        record[name] = value
    return record


class Form:
    """Records of one kind that differ in a few fields only: the rest is laid out once by whoever stores them.

    The constant fields come in `parts`, which are shared with whoever has them already, the later ones going before;
    `variables` are the names whose values come with each record, always integers or texts, never empty. `layout`
    belongs to the trail that the form is appended to.
    """

    __slots__ = ("kind", "layout", "parts", "variables")

    def __init__(self, kind: str, parts: tuple[Mapping[str, Any], ...], variables: tuple[str, ...]) -> None:
        allowed = KINDS[kind]
        for name in (*variables, *(name for part in parts for name in part)):
            if name not in allowed and name not in ANYWHERE:
                raise ValueError(f"a {kind} record has no field {name!r}")
        self.kind, self.parts, self.variables = kind, parts, variables
        self.layout: Any = None

    @property
    def constant(self) -> dict[str, Any]:
        """The kind and all fields that do not vary."""
        fields: dict[str, Any] = {"kind": self.kind}
        for part in self.parts:
            fields.update(part)
        return fields

    def record(self, values: tuple[int | str, ...]) -> dict[str, Any]:
        """One record as a mapping."""
        return {**self.constant, **dict(zip(self.variables, values, strict=True))}


def end_event(session: str, permit: Permit, outcome: Outcome) -> dict[str, Any]:
    """The end record of a statement that took data in."""
    return event(
        "statement.end",
        session=session,
        statement=permit.statement.id,
        begin=permit.receipt.index,
        rows=outcome.rows,
        bytes=outcome.bytes,
        duration_us=outcome.duration_us,
        status=outcome.status,
        sqlstate=outcome.code,
        tag=outcome.tag,
        rows_in=outcome.rows_in,
        bytes_in=outcome.bytes_in,
        digest=outcome.digest,
    )


def session_fields(session: Session) -> dict[str, Any]:
    """Who, where from and why, as each record of a session repeats it; computed once per session."""
    grant, ticket, peer = session.grant, session.ticket, session.peer
    fields: dict[str, Any] = {
        "session": session.id,
        "target": grant.target,
        "person": session.principal.id,
        "login": session.principal.login,
        "teams": sorted(session.principal.teams),
        "address": peer.address,
        "application": peer.application[:128],
        "engine": peer.engine,
        "tls": peer.tls,
        "user": peer.user,
        "ticket_system": grant.ticket_system,
        "ticket": grant.ticket_id,
        "ticket_state": ticket.status,
        "customers": list(grant.customers),
        "grant": grant.id,
        "request": grant.request_id,
        "pass": session.pass_id,
        "approvers": list(grant.approved_by),
        "factor": session.factor,
        "factor_age_s": max(0, int((session.started_at - session.factor_at).total_seconds())),
        "trace": session.trace,
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def verdict_fields(refusal: Refusal) -> dict[str, Any]:
    """What a refusal adds to a record: of a syntax error not the piece of the text that it quotes."""
    reason = refusal.message
    if refusal.code == "syntax-error":
        # a text that cannot be read cannot be told apart into names and values
        reason = _QUOTING.split(reason, 1)[0]
    return {"decision": "deny", "code": refusal.code, "reason": reason}
