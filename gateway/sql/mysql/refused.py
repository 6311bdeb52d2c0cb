"""Statements that are refused by the word that they begin with, and what to do instead."""

from __future__ import annotations

from gateway.errors import GatewayError

_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "LOAD", "IMPORT"})
_INSTEAD = "INSERT … VALUES, UPDATE and DELETE of one table are, each as a statement of its own"
_DEFINES = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "COMMENT"})
_REASONS: dict[str, tuple[str, str]] = {
    "PREPARE": ("statements are not prepared from a text", "let the driver prepare them"),
    "EXECUTE": ("statements are not run from a text or a variable", "send the statement itself"),
    "DEALLOCATE": ("statements are not prepared from a text", "let the driver prepare them"),
    "HANDLER": ("HANDLER reads a table past its rows' scope", "SELECT instead"),
    "DO": ("DO has no result", "SELECT instead"),
    "CALL": ("procedures are the owner's", "SELECT instead"),
    "LOCK": ("tables are not locked here", "START TRANSACTION WITH CONSISTENT SNAPSHOT keeps what is read the same; "
             "mariadb-dump does it with --single-transaction"),
    "UNLOCK": ("tables are not locked here", "leave it out"),
    "ANALYZE": ("ANALYZE tells of rows that are hidden", "leave it out"),
    "TABLE": ("TABLE is not supported", "SELECT * FROM name"),
    "VALUES": ("VALUES is not supported as a statement", "SELECT 1 UNION ALL SELECT 2"),
    "HELP": ("HELP is not available", "read the server's manual"),
    "XA": ("distributed transactions are not available", "START TRANSACTION"),
    **dict.fromkeys(("DECLARE", "OPEN", "FETCH", "CLOSE", "SIGNAL", "RESIGNAL", "GET"),
                    ("programs are not run here", "SELECT instead")),
}  # fmt: skip
_OWNERS = frozenset({
    "GRANT", "REVOKE", "FLUSH", "RESET", "PURGE", "BINLOG", "CHANGE", "STOP", "SHUTDOWN", "RESTART", "INSTALL",
    "UNINSTALL", "CACHE", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "CLONE", "BACKUP",
})  # fmt: skip


def is_known(first: str) -> bool:
    """Whether a statement of the language begins with that word."""
    return first in _WRITES or first in _DEFINES or first in _OWNERS or first in _REASONS


def refuse(first: str, *, writes: bool = False) -> None:
    """Nothing, for a word that is not known; `writes` where the target may be written. Raises: GatewayError."""
    if first in _WRITES and writes:
        raise GatewayError("statement-not-supported", f"{first} is not supported here", _INSTEAD)
    if first in _WRITES:
        raise GatewayError("read-only", f"{first} writes; this target is for reading", "SELECT is read here")
    if first in _DEFINES:
        raise GatewayError("statement-not-allowed", f"{first} changes what the database is", "ask its owner")
    if first in _OWNERS:
        raise GatewayError("statement-not-allowed", f"{first} is the owner's", "ask the database's owner")
    if first in _REASONS:
        raise GatewayError("statement-not-allowed", *_REASONS[first])
