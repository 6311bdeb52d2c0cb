"""What of a MySQL target's own words may reach a client, and how the gateway's look in this protocol.

An error's text can quote hidden values, and a warning's number can depend on them. So an error passes as its number
and SQLSTATE with a text of ours, and warnings are never counted; only texts that are made from names in the statement
are kept. Numbers: MySQL 8.4 Reference Manual, "Server Error Message Reference"; MariaDB documentation, "Error Codes".
"""

from __future__ import annotations

from gateway.errors import STEPS, Refusal
from gateway.sql.statement import Notice
from gateway.wire.mysql.results import Error, encode_error

_STATES = {
    1045: "28000", 1044: "42000", 1142: "42000", 1049: "42000", 1053: "08S01", 1064: "42000", 1146: "42S02",
    1054: "42S22", 1047: "08S01", 1040: "08004", 1205: "HY000", 1317: "70100",
}  # fmt: skip
"""The SQLSTATE that MySQL has for a number; the table of codes has PostgreSQL's."""

_KEPT = frozenset({1052, 1054, 1056, 1060, 1066, 1146, 1222, 1241, 1247, 1248})
"""Errors of name resolution: their text quotes names of the statement, and nothing else."""

_PHRASES = {
    1055: "a selected column is neither grouped nor aggregated",
    1064: "the statement cannot be read by the target",
    1065: "the statement is empty",
    1111: "an aggregate stands where none can",
    1140: "columns and aggregates are mixed without GROUP BY",
    1205: "a lock could not be had in time; try again",
    1213: "a deadlock was found; try again",
    1242: "a sub-query used as an expression returned more than one row",
    1264: "a number is out of range",
    1292: "a value cannot be read as its type",
    1317: "the statement was cancelled",
    1365: "division by zero",
    1210: "a parameter's value does not fit where it stands",
    1568: "the isolation level cannot be changed within a transaction",
    1690: "a number is out of range",
    1792: "the transaction is read only",
    1969: "the statement ran longer than the policy allows",
    3024: "the statement ran longer than the policy allows",
    2013: "the target closed the connection",
}
_NOTE = 1105
_EXPLAINED = {1054: "column-not-available", 1064: "syntax-error"}

_STEPS = {
    "relation-not-available": "see the tables that exist for you with SHOW TABLES",
    "column-not-available": "see the columns that exist for you with DESCRIBE and the table's name",
    "too-many-refusals": "wait a while; see what exists for you with SHOW TABLES",
    "read-only": "ask for what the policy allows: gateway policy explain, or its owner",
    "tls-required": "connect with TLS: --ssl-mode=VERIFY_CA, or --ssl-verify-server-cert",
}
"""What to do next where the step of the table of codes is for another protocol's clients."""


def refusal_packet(refusal: Refusal) -> bytes:
    """A refusal as an ERR packet: the message, what to do next, and the stable code, as every client shows them."""
    errno = refusal.meaning.errno
    hint = refusal.hint
    if hint == STEPS.get(refusal.code, ""):
        hint = _STEPS.get(refusal.code, hint)
    hint = f". {hint}" if hint else ""
    return encode_error(errno, _STATES.get(errno, "HY000"), f"{refusal.message}{hint} [{refusal.code}]")


def notice_row(notice: Notice) -> tuple[bytes, ...]:
    """A message to the client, as a row of SHOW WARNINGS."""
    said = f"{notice.message}. {notice.hint}" if notice.hint else notice.message
    return b"Note", b"%d" % _NOTE, said.encode()


def error_packet(error: Error) -> bytes:
    """A target's error as the client may see it."""
    code = _EXPLAINED.get(error.errno, "")
    tail = f" [{code}]" if code else ""
    state = error.sqlstate or "HY000"
    if error.errno in _KEPT:
        return encode_error(error.errno, state, error.message + tail)
    phrase = _PHRASES.get(error.errno, f"the target refused the statement with error {error.errno}")
    return encode_error(error.errno, state, phrase + tail)
