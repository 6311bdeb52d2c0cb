"""A text of MySQL's in, a plan or a refusal out."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import GatewayError, Refusal
from gateway.sql import tree
from gateway.sql.mysql import settings, shows
from gateway.sql.mysql.lexer import unquoted, words
from gateway.sql.mysql.pins import fingerprint
from gateway.sql.statement import Kind, Plan, View

_ENDS = ({"COMMIT"}, {"ROLLBACK"})


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    command = words(text)
    if command is None:
        return tree.analyse(text, view)
    if not command:
        return Plan("", (Kind.EMPTY,), ("",), "", "", "")
    try:
        return _command(command, text, view)
    except GatewayError as error:
        return error.refusal


def _command(command: list[str], text: str, view: View) -> Plan | Refusal:
    upper = [word.upper() for word in command]
    first = upper[0]
    if first in _OTHERS:
        return _OTHERS[first](command, upper, view)
    if first == "SET":
        return _plan(settings.canonical(command), Kind.SETTING, "SET")
    if first in ("SHOW", "DESCRIBE", "DESC"):
        return shows.shown(command, upper, view)
    if first == "SELECT" and not {"FROM", "UNION"} & set(upper):
        constant = settings.constants(command)
        if constant is not None:
            return _plan(constant, Kind.READ, "SELECT", normalised=constant)
    return tree.analyse(text, view)


def _use(command: list[str], _upper: list[str], view: View) -> Plan:
    name = unquoted(command[1]) if len(command) == 2 else ""
    if name not in view.policy.schemas:
        raise GatewayError("target-not-available", "there is no such database here", "SHOW DATABASES names those")
    return _plan(f"USE `{name}`", Kind.SETTING, "USE")


def _transaction(_command: list[str], upper: list[str], _view: View) -> Plan:
    said = " ".join(upper)
    if said in ("BEGIN", "BEGIN WORK", "START TRANSACTION", "START TRANSACTION READ ONLY"):
        return _plan("START TRANSACTION READ ONLY", Kind.TRANSACTION, "BEGIN")
    if said == "START TRANSACTION WITH CONSISTENT SNAPSHOT":
        return _plan("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", Kind.TRANSACTION, "BEGIN")
    if said in ("COMMIT", "COMMIT WORK", "ROLLBACK", "ROLLBACK WORK"):
        return _plan(upper[0], Kind.TRANSACTION, upper[0])
    raise GatewayError("statement-not-allowed", "a transaction of this kind is not allowed", "START TRANSACTION is")


def _kill(_command: list[str], upper: list[str], _view: View) -> Plan:
    rest = upper[1:]
    what = rest.pop(0) if rest and rest[0] in ("QUERY", "CONNECTION") else "CONNECTION"
    if len(rest) != 1 or not rest[0].isdigit() or len(rest[0]) > 10:
        raise GatewayError("statement-not-supported", "KILL takes the number of a connection")
    return _plan(f"KILL {what} {rest[0]}", Kind.UTILITY, "KILL", normalised=f"KILL {what} ?")


_OTHERS: dict[str, Callable[[list[str], list[str], View], Plan]] = {
    "USE": _use,
    "BEGIN": _transaction,
    "START": _transaction,
    "COMMIT": _transaction,
    "ROLLBACK": _transaction,
    "KILL": _kill,
}


def _plan(text: str, kind: Kind, verb: str, *, normalised: str = "") -> Plan:
    shown = normalised or text
    return Plan(text, (kind,), (verb,), shown, shown, fingerprint(shown), conceals=False)
