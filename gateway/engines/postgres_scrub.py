"""What of a target's own words may reach a client.

An error's MESSAGE, DETAIL, HINT, WHERE and CONTEXT can quote hidden values, and the number and text of warnings can
depend on them. So an error passes as its SQLSTATE with a text of ours; only texts that are made from the statement
alone are kept. Of notices only those pass that speak of the transaction's state. Condition names: PostgreSQL
documentation, appendix A.
"""

from __future__ import annotations

from gateway.errors import Refusal
from gateway.wire import postgres

_KEPT = frozenset(
    {
        "25001", "25P01", "25P02", "26000", "34000", "3B001", "42601", "42602", "42622", "42701", "42702", "42703",
        "42704", "42712", "42725", "42803", "42804", "42809", "42846", "42883", "42P01", "42P02", "42P03", "42P05",
        "42P08", "42P09", "42P10", "42P18", "42P19", "42P20", "42P21", "42P22", "54001", "54011", "54023",
    }
)  # fmt: skip
"""Errors of parsing and name resolution: their text quotes the statement, which the client wrote itself."""

_PHRASES = {
    "0A000": "the target does not support this",
    "21000": "a sub-query used as an expression returned more than one row",
    "22001": "a value is too long for its type",
    "22003": "a number is out of range",
    "22004": "a null value is not allowed here",
    "22007": "a date or time cannot be read",
    "22008": "a date or time is out of range",
    "2200C": "an escape character is used wrongly",
    "2201B": "a regular expression cannot be read",
    "2201E": "the argument of a logarithm is invalid",
    "2201F": "the argument of a power is invalid",
    "2201W": "LIMIT must not be negative",
    "2201X": "OFFSET must not be negative",
    "22011": "a substring's bounds are invalid",
    "22012": "division by zero",
    "22021": "text cannot be represented in the encoding",
    "22023": "a parameter's value is invalid",
    "22025": "an escape sequence is invalid",
    "22030": "JSON has duplicate keys",
    "22032": "JSON cannot be read",
    "22P02": "text cannot be read as a value of the type",
    "22P03": "a binary value cannot be read",
    "25006": "the transaction is read only",
    "25P03": "the transaction waited longer for its next statement than the policy allows",
    "2F005": "a function ended without a result",
    "40001": "the transaction could not be serialised; try again",
    "40P01": "a deadlock was found; try again",
    "42501": "the target does not allow this to the gateway's role",
    "53100": "the target's disk is full",
    "53200": "the target is out of memory",
    "53300": "the target has no free connection",
    "54000": "a limit of the target is exceeded",
    "55P03": "a lock could not be had in time",
    "57014": "the statement was cancelled or ran longer than the policy allows",
    "57P01": "the target is shutting down",
    "57P02": "the target crashed",
    "57P03": "the target is not ready",
    "57P05": "the session was idle for too long",
    "XX000": "the target met an internal error",
    "XX001": "the target found damaged data",
    "XX002": "the target found a damaged index",
}

_EXPLAINED = {
    "42703": ("column-not-available", "see the columns that exist for you with \\d and the table's name"),
    "42601": ("syntax-error", ""),
    # A relation stands as a derived table, which has no primary key that other columns could depend on.
    "42803": ("", "name each selected column in GROUP BY: a table's primary key alone does not stand for all of them"),
}
"""What the target says that the gateway also says itself, under the same stable code (if any), and what to do."""

_CANCELLED = (
    ("user request", "the statement was cancelled"),
    ("statement timeout", "the statement ran longer than the policy allows"),
)
"""57014 says which of the two it was in its (constant) text alone; a translated one gets the phrase for both."""

_WITHHELD = "the target's own message is withheld: it may quote hidden values"
_SAY_ALL = frozenset(
    {"21000", "22012", "25006", "25P03", "40001", "40P01", "57014", "57P01", "57P02", "57P03", "57P05"}
)
"""Errors of which our phrase says all that there is to know."""

_NOTICES = frozenset({"25001", "25P01"})

FREE = frozenset({"TimeZone", "DateStyle", "IntervalStyle", "application_name"})
"""Parameters that a session may change; their reports are passed on."""

READ_ONLY = "default_transaction_read_only"
PINNED = frozenset({"client_encoding", "standard_conforming_strings", READ_ONLY})
"""Parameters that a session's safety rests on; a report of another value ends the session."""

SHOWN = FREE | PINNED | {"server_version", "server_encoding", "integer_datetimes", "in_hot_standby", "scram_iterations"}
"""Parameters whose start-up report reaches the client as the target sent it."""


def refusal_bytes(refusal: Refusal, *, fatal: bool = False) -> bytes:
    """A refusal as an ErrorResponse. The stable code stands in DETAIL, where every client shows it."""
    return postgres.encode_error(
        "FATAL" if fatal or refusal.fatal else "ERROR",
        refusal.meaning.sqlstate,
        refusal.message,
        hint=refusal.hint,
        detail=f"code: {refusal.code}",
        position=refusal.position,
    )


def error_bytes(fields: dict[str, str]) -> bytes:
    """A target's error as the client may see it. A FATAL stays one; positions are dropped (they count our text)."""
    sqlstate = fields.get("C", "XX000")
    severity = fields.get("V") or fields.get("S") or "ERROR"
    if sqlstate in _KEPT:
        code, hint = _EXPLAINED.get(sqlstate, ("", ""))
        detail = f"code: {code}" if code else ""
        return postgres.encode_error(
            severity, sqlstate, fields.get("M", "the statement was refused"), hint=hint, detail=detail
        )
    phrase = _PHRASES.get(sqlstate, "the target refused the statement")
    if sqlstate == "57014":
        phrase = next((ours for theirs, ours in _CANCELLED if theirs in fields.get("M", "")), phrase)
    return postgres.encode_error(severity, sqlstate, phrase, hint="" if sqlstate in _SAY_ALL else _WITHHELD)


def notice_bytes(fields: dict[str, str]) -> bytes:
    """A target's notice as the client may see it: empty for nearly all."""
    sqlstate = fields.get("C", "")
    if sqlstate not in _NOTICES:
        return b""
    return postgres.encode_notice(fields.get("V", "WARNING"), sqlstate, fields.get("M", ""))
