"""A text of MySQL's in, a plan or a refusal out.

A command is told by its first word; what runs for it is written here from checked parts. All else is a SELECT, which
`sql/tree` judges and rewrites, over the tables of the policy and those of `information_schema` that are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.errors import GatewayError, Refusal
from gateway.policy.schema import Policy
from gateway.sql import tree
from gateway.sql.mysql import inline, settings, shows
from gateway.sql.mysql.dumped import written_out
from gateway.sql.mysql.explain import explained
from gateway.sql.mysql.lexer import Word, unquoted, words
from gateway.sql.mysql.pins import fingerprint
from gateway.sql.mysql.refused import is_known, refuse
from gateway.sql.said import Subject
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree import writes

_TOLD = frozenset({"SET", "SHOW", "DESCRIBE", "DESC"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
_SAVED = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_EXPLAINED = frozenset({
    "SELECT", "WITH", "(", "TABLE", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE", "FORMAT", "EXTENDED",
    "PARTITIONS", "ANALYZE", "FOR", "INTO",
})  # fmt: skip
"""What makes EXPLAIN, and DESCRIBE, more than a list of columns."""
_PLAIN = {
    "BEGIN": "START TRANSACTION READ ONLY",
    "BEGIN WORK": "START TRANSACTION READ ONLY",
    "START TRANSACTION": "START TRANSACTION READ ONLY",
    "START TRANSACTION READ ONLY": "START TRANSACTION READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT , READ ONLY": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "START TRANSACTION READ ONLY , WITH CONSISTENT SNAPSHOT": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    **{
        f"{verb}{word}{rest}": verb
        for verb in ("COMMIT", "ROLLBACK")
        for word in ("", " WORK")
        for rest in ("", " AND NO CHAIN", " NO RELEASE", " AND NO CHAIN NO RELEASE")
    },
}

_SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT"
_WRITING = {
    **dict.fromkeys(("BEGIN", "BEGIN WORK", "START TRANSACTION"), "START TRANSACTION"),
    "START TRANSACTION READ WRITE": "START TRANSACTION READ WRITE",
    _SNAPSHOT: _SNAPSHOT,
    f"{_SNAPSHOT} , READ WRITE": f"{_SNAPSHOT}, READ WRITE",
    f"START TRANSACTION READ WRITE , {_SNAPSHOT.removeprefix('START TRANSACTION ')}": f"{_SNAPSHOT}, READ WRITE",
}
"""What else begins a transaction under a grant for writing."""


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    text = written_out(text)
    try:
        command = words(text)
        if command is None:
            return writes.analyse(text, view) if _begins_writing(text) else _select(text, view)
        if not command:
            return Plan("", (Kind.EMPTY,), ("",), "", "", "", conceals=False)
        return _command(command, text, view)
    except GatewayError as error:
        return error.refusal
    except RecursionError:
        return Refusal("statement-too-complex", "the statement is nested too deeply")


def _begins_writing(text: str) -> bool:
    """Whether a text that is too long for a command, or odd, begins as one that writes."""
    return text.lstrip()[:6].upper() in _WRITES


def normalise(text: str, policy: Policy) -> str:
    """The text without its literals; of one that cannot be read, next to nothing."""
    text = written_out(text)
    try:
        command = words(text)
    except GatewayError:
        return ""
    first = command[0].upper() if command else ""
    if command and first not in ("SELECT", "WITH", "("):
        if first not in _OTHERS and first not in _TOLD and not is_known(first):
            # the words of what is no statement may be anything, a value that was pasted too
            return ""
        return " ".join(_shown(word) for word in command)[:1000]
    return tree.normalise(text, policy)


def telling(text: str, policy: Policy) -> tuple[Subject, ...]:
    """The values of a text that may tell who somebody is; nothing in one that cannot be read."""
    return tree.telling(written_out(text), policy)


def _shown(word: str) -> str:
    return "?" if word[0] in "'\"" or word[0].isdigit() else word


def _command(command: list[Word], text: str, view: View) -> Plan | Refusal:
    upper = [word.upper() for word in command]
    first = upper[0]
    if first in _WRITES:
        return writes.analyse(text, view)
    if first in _OTHERS:
        return _OTHERS[first](command, upper, view)
    if first == "SET":
        return _plan(settings.canonical(list(command), view), Kind.SETTING, "SET", conceals=True)
    if first == "SHOW":
        return shows.shown(command, text, view)
    if first in ("DESCRIBE", "DESC", "EXPLAIN"):
        if len(upper) > 1 and upper[1] in _EXPLAINED:
            return explained(command, text, view, _select)
        return shows.described(command[1:], view)
    if first == "SELECT" and not {"FROM", "UNION"} & set(upper):
        constant = settings.constants(list(command), view.policy.dialect)
        if constant is not None:
            return _plan(constant, Kind.READ, "SELECT", normalised=constant)
    refuse(first, writes=bool(view.policy.write))
    return _select(text, view)


def _select(text: str, view: View) -> Plan | Refusal:
    if "information_schema" in text.lower():
        return inline.analyse(text, view, inline.schema_tables(text, view))
    return tree.analyse(text, view)


def _use(command: list[Word], _upper: list[str], view: View) -> Plan:
    name = unquoted(command[1]) if len(command) == 2 else ""
    if name == view.policy.target and name not in view.policy.schemas:
        # as it was named when the client connected
        name = view.policy.schemas[0]
    if name not in view.policy.schemas:
        raise GatewayError("target-not-available", "there is no such database here", "SHOW DATABASES names those")
    return _plan(f"USE `{name}`", Kind.SETTING, "USE")


def _transaction(command: list[Word], upper: list[str], view: View) -> Plan:
    said = " ".join(upper)
    writing = _WRITING.get(said) if view.write else None
    if writing or said in _PLAIN:
        runs = writing or _PLAIN[said]
        return _plan(runs, Kind.TRANSACTION, "BEGIN" if runs.startswith("START") else runs)
    if upper[0] == "SAVEPOINT" and len(command) == 2:
        return _plan(f"SAVEPOINT {_saved(command[1])}", Kind.TRANSACTION, "SAVEPOINT", normalised="SAVEPOINT ?")
    if upper[:2] == ["RELEASE", "SAVEPOINT"] and len(command) == 3:
        return _plan(f"RELEASE SAVEPOINT {_saved(command[2])}", Kind.TRANSACTION, "RELEASE", normalised="RELEASE ?")
    if upper[0] == "ROLLBACK":
        rest = [word for word in upper[1:-1] if word != "WORK"]
        if rest in (["TO"], ["TO", "SAVEPOINT"]):
            name = _saved(command[-1])
            return _plan(f"ROLLBACK TO SAVEPOINT {name}", Kind.TRANSACTION, "ROLLBACK", normalised="ROLLBACK TO ?")
    if "WRITE" in upper:
        raise GatewayError("read-only", "the grant is for reading", "START TRANSACTION READ ONLY")
    raise GatewayError("statement-not-allowed", "a transaction of this kind is not allowed", "START TRANSACTION is")


def _saved(word: str) -> str:
    name = unquoted(word)
    if word[0] in "'\"" or not _SAVED.fullmatch(name):
        raise GatewayError("statement-not-supported", "a savepoint's name has letters, digits and `_`")
    return f"`{name}`"


def _kill(_command: list[Word], upper: list[str], _view: View) -> Plan:
    rest = upper[1:]
    what = rest.pop(0) if rest and rest[0] in ("QUERY", "CONNECTION") else "CONNECTION"
    if len(rest) != 1 or not re.fullmatch(r"[0-9]{1,10}", rest[0]):
        raise GatewayError("statement-not-supported", "KILL takes the number of a connection")
    return _plan(f"KILL {what} {rest[0]}", Kind.UTILITY, "KILL", normalised=f"KILL {what} ?")


_OTHERS: dict[str, Callable[[list[Word], list[str], View], Plan]] = {
    "USE": _use,
    "KILL": _kill,
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"), _transaction),
}


def _plan(text: str, kind: Kind, verb: str, *, normalised: str = "", conceals: bool = False) -> Plan:
    shown = normalised or text
    return Plan(text, (kind,), (verb,), shown, shown, fingerprint(shown), conceals=conceals or shown != text)
