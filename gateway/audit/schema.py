"""The JSON Schema (2020-12) of audit records, made from the table of kinds.

`v` in a record names the version of what is described here. Within a version kinds and fields may be added; what a
field means, and its form, stays.
"""

from __future__ import annotations

from typing import Any

from gateway.record import ANYWHERE, ENVELOPE, KINDS

VERSION = 1
"""What `v` is in each record."""

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_ID: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER: dict[str, Any] = {"type": "integer"}
_YES: dict[str, Any] = {"type": "boolean"}
_TIME: dict[str, Any] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
_DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CUT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"bytes": _COUNT, "items": _COUNT, "sha256": _DIGEST},
        "required": ["sha256"],
        "additionalProperties": False,
    },
}
_MEANINGS: dict[str, tuple[dict[str, Any], str]] = {
    "v": ({"const": VERSION}, "Version of the record's form."),
    "origin": (_TEXT, "The log's name."),
    "index": (_COUNT, "Place in the log, from 0."),
    "id": (_ID, "UUIDv7 of the record."),
    "time": (
        {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
        "UTC, to the microsecond; grows.",
    ),
    "truncated": (_CUT, "Fields that were too long: their whole length and hash."),
    "clock_behind_us": (_COUNT, "By how much the clock was behind the record before, in microseconds."),
    "trace": ({"type": "string", "pattern": "^[0-9a-f]{32}$"}, "Id of the trace (OpenTelemetry) that it belongs to."),
    "size": (_COUNT, "Records before this one."),
    "root": (_DIGEST, "Root of the tree of those."),
    "cut_bytes": (_COUNT, "Bytes of an unfinished write that recovery cut off."),
    "unknown": (_COUNT, "Statements without an end that recovery closed."),
    "begin": (_COUNT, "Index of the statement's begin record."),
    "rows": (_COUNT, "Rows that left; of an unknown end the most that may have."),
    "bytes": (_COUNT, "Bytes of rows that left, message headers included; or the most that may have."),
    "window_rows": (_COUNT, "Rows that may leave from now on, counted from the statement's start."),
    "window_bytes": (_COUNT, "The same in bytes."),
    "duration_us": (_COUNT, "Microseconds from admission to the end."),
    "duration_s": (_COUNT, "Seconds asked for, or that it lasted."),
    "factor_age_s": (_COUNT, "Seconds since the second factor was proven."),
    "statements": (_COUNT, "Statements of the session."),
    "parameters": (_COUNT, "How many parameters came with it."),
    "notices": (_COUNT, "How many notices the statement was answered with."),
    "used": (_COUNT, "What is used of the budget."),
    "limit": (_COUNT, "The budget; of a writing, how many rows it may meet."),
    "count": (_COUNT, "How many there were: records read, or tries refused."),
    "aggregations": (_COUNT, "How many sums over hidden columns the statement has."),
    "step_us": (_NUMBER, "By how much the clock was set forward (or back), in microseconds."),
    "write": (_YES, "Whether writing was asked for."),
    "since": (_TEXT, "The time that a report is about: from when."),
    "until": (_TEXT, "Until before when."),
    "expires_at": (_TIME, "When it ends by itself."),
    "starts_at": (_TIME, "From when it counts."),
    "withdrawn": (_COUNT, "How many rights nobody confirmed, or somebody took."),
    "due_at": (_TIME, "By when it has to be reviewed."),
    "break_glass": (_YES, "Whether it is access without approval, in an emergency."),
    "decision": ({"enum": ["permit", "deny"]}, "What was decided."),
    "sealed": (
        {"type": "string", "pattern": r"^\d{4}-\d\d\.[0-9a-f]{64}(\.cut)?$"},
        "Month and SHA-256 of the blob that holds what the statement was given; `.cut`: not all of it.",
    ),
    "subjects": (
        {"type": "string", "pattern": r"^(([A-Za-z0-9_-]{22}|\+\d+)( |$))+$"},
        "Tokens of the values that may tell who somebody is; `+n`: n more.",
    ),
    "record": (_COUNT, "Index of the record whose literals were opened."),
    "from": (_COUNT, "Index of the first record that it is about."),
    "to": (_COUNT, "Index of the first record that it is not about any more: there the log begins."),
    "held": (_COUNT, "Index of the first record that the hold keeps."),
    "before": (_TIME, "What was pruned was recorded before that moment."),
    "backend": (_COUNT, "Process of the target that serves the session, as the target told the gateway."),
    "backend_address": (_TEXT, "Where the gateway's connection to it comes from, as the gateway knows it."),
    "backend_role": (_TEXT, "The gateway's role there."),
    "backend_database": (_TEXT, "The database."),
    "matched": (_COUNT, "Statements that the target's log and the trail both have."),
    "beside": (_COUNT, "Statements of other roles in the target's log."),
    "unrecorded": (_COUNT, "Statements of the gateway's role that no session accounts for."),
    "unseen": (_COUNT, "Statements of the trail that the target's log does not have."),
    "missing": (_COUNT, "Lines that are missing in the target's log."),
    "untied": (_COUNT, "Sessions of which the trail does not say which connection was theirs."),
    "skew_us": (_NUMBER, "How much later the target's clock is, in microseconds."),
    "archived": (_COUNT, "How many records the archive has."),
    "note": (_TEXT, "What the old and the new key signed."),
}
_LISTS = frozenset(
    {
        *(
            "teams",
            "customers",
            "approvers",
            "relations",
            "columns",
            "scope",
            "searches",
            "reveal",
            "differences",
            "records",
            "known",
            "files",
        ),
        *("columns_clear", "columns_masked", "columns_revealed", "columns_aggregated", "columns_written", "logins"),
        *("sent_for", "categories", "sent", "unmasked"),
        *("tokens", "keys", "months"),
    }
)


def record_schema() -> dict[str, Any]:
    """The schema of one record of any kind."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:gateway:audit-record:{VERSION}",
        "title": "A record of the gateway's audit trail",
        "description": "Fields that say nothing are left out; what was too long is cut and named in `truncated`.",
        "type": "object",
        "required": ["v", "origin", "index", "id", "time", "kind"],
        "properties": {"kind": {"enum": sorted(KINDS)}},
        "oneOf": [_kind(kind, fields) for kind, fields in sorted(KINDS.items())],
    }


def _kind(kind: str, fields: tuple[str, ...]) -> dict[str, Any]:
    properties = {name: _field(name) for name in sorted({*ENVELOPE, *ANYWHERE, *fields})}
    return {"title": kind, "properties": {"kind": {"const": kind}, **properties}, "additionalProperties": False}


def _field(name: str) -> dict[str, Any]:
    if name in _LISTS:
        return _TEXTS
    form, meaning = _MEANINGS.get(name, (_TEXT, ""))
    return {**form, "description": meaning} if meaning else form
