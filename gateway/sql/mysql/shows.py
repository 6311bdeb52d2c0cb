"""SHOW and DESCRIBE, answered from the policy and the catalog: SELECTs over rows that are written into the text."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.sql.catalog import Relation
from gateway.sql.mysql import settings
from gateway.sql.mysql.lexer import unquoted
from gateway.sql.mysql.pins import fingerprint
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree.scopes import visible
from gateway.sql.tree.writing import quoted, string

Row = Sequence[str | None]


def shown(command: list[str], upper: list[str], view: View) -> Plan:
    """The plan of such a command. Raises: GatewayError."""
    if upper[0] in ("DESCRIBE", "DESC"):
        return _columns(command[1:], view, full=False)
    rest, words = command[1:], upper[1:]
    while words and words[0] in ("FULL", "EXTENDED", "SESSION", "LOCAL", "GLOBAL"):
        rest, words = rest[1:], words[1:]
    full = "FULL" in upper[1:3]
    what = words[0] if words else ""
    if what in ("WARNINGS", "ERRORS"):
        return Plan("DO 0", (Kind.UTILITY,), ("SHOW WARNINGS",), f"SHOW {what}", "", fingerprint(what), conceals=False)
    if what in ("DATABASES", "SCHEMAS"):
        return _rows(("Database",), [(name,) for name in view.policy.schemas], _like(rest[1:]))
    if what == "TABLES":
        return _tables(rest[1:], view, full=full)
    if what in ("COLUMNS", "FIELDS"):
        return _columns(rest[1:], view, full=full)
    if what == "VARIABLES":
        return _variables(rest[1:])
    raise GatewayError(
        "statement-not-supported", f"SHOW {what[:40]} is not supported",
        "SHOW DATABASES, TABLES, COLUMNS, VARIABLES and DESCRIBE are",
    )  # fmt: skip


def _tables(rest: list[str], view: View, *, full: bool) -> Plan:
    schema, rest = _schema(rest, view)
    found = sorted(_relations(view, schema), key=lambda one: one.name)
    names = (f"Tables_in_{schema}", "Table_type") if full else (f"Tables_in_{schema}",)
    rows: list[Row] = [(one.name, "VIEW" if one.kind == "v" else "BASE TABLE")[: len(names)] for one in found]
    return _rows(names, rows, _like(rest))


def _columns(rest: list[str], view: View, *, full: bool) -> Plan:
    words = [one.upper() for one in rest]
    if words[:1] and words[0] in ("FROM", "IN"):
        rest = rest[1:]
    if not rest:
        raise GatewayError("syntax-error", "the name of a table is missing")
    name, rest = unquoted(rest[0]), rest[1:]
    schema = ""
    if rest[:1] == ["."] and len(rest) > 1:
        schema, name, rest = name, unquoted(rest[1]), rest[2:]
    elif rest[:1] and rest[0].upper() in ("FROM", "IN") and len(rest) > 1:
        schema, rest = unquoted(rest[1]), rest[2:]
    found = [one for one in _relations(view, schema or None) if one.name == name]
    if not found:
        raise GatewayError("relation-not-available", f"there is no table `{name[:64]}` here", "SHOW TABLES names those")
    relation = found[0]
    names: tuple[str, ...] = ("Field", "Type", "Null", "Key", "Default", "Extra")
    if full:
        names = ("Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment")
    rows: list[Row] = []
    for column in relation.columns:
        if column.name not in visible(view, relation):
            continue
        null = "NO" if column.not_null else "YES"
        if full:
            rows.append((column.name, column.type, None, null, "", None, "", "select", ""))
        else:
            rows.append((column.name, column.type, null, "", None, ""))
    return _rows(names, rows, _like(rest))


def _variables(rest: list[str]) -> Plan:
    words = [one.upper() for one in rest]
    if len(rest) == 2 and words[0] == "LIKE":
        wanted = unquoted(rest[1])
    elif len(rest) == 4 and words[0] == "WHERE" and words[1] == "VARIABLE_NAME" and words[2] == "=":
        wanted = unquoted(rest[3])
    else:
        wanted = ""
    names = sorted(settings._READABLE) if not wanted or "%" in wanted else [wanted.lower()]
    inline = [(name, f"@@{name}") for name in names if settings.variable(name) and name not in _NOT_EVERYWHERE]
    if not inline:
        return _rows(("Variable_name", "Value"), [], "")
    text = " UNION ALL ".join(f"SELECT {string(name)} AS `Variable_name`, {value} AS `Value`" for name, value in inline)
    where = f" WHERE `Variable_name` LIKE {string(wanted)}" if wanted else ""
    return _plan(f"SELECT * FROM ({text}) AS `variables`{where}", "SHOW")  # noqa: S608 (of checked parts)


_NOT_EVERYWHERE = frozenset({
    "query_cache_size", "query_cache_type", "transaction_isolation", "transaction_read_only", "tx_isolation",
    "tx_read_only", "storage_engine", "have_ssl",
})  # fmt: skip
"""Variables that only some servers have: a text that names one would fail on the others."""


def _schema(rest: list[str], view: View) -> tuple[str, list[str]]:
    if rest[:1] and rest[0].upper() in ("FROM", "IN") and len(rest) > 1:
        name = unquoted(rest[1])
        if name not in view.policy.schemas:
            raise GatewayError("target-not-available", "there is no such database here", "SHOW DATABASES names those")
        return name, rest[2:]
    return view.policy.schemas[0], rest


def _relations(view: View, schema: str | None) -> list[Relation]:
    known = (view.catalog.relation(name) for name in view.policy.tables)
    return [
        one
        for one in known
        if one is not None and (one.schema == schema if schema else one.schema in view.policy.schemas)
    ]


def _like(rest: list[str]) -> str:
    if not rest:
        return ""
    if len(rest) == 2 and rest[0].upper() == "LIKE" and rest[1][:1] in "'\"":
        return unquoted(rest[1])
    raise GatewayError("statement-not-supported", "SHOW takes LIKE 'pattern' only", "leave the rest out")


def _rows(names: Sequence[str], rows: Sequence[Row], like: str) -> Plan:
    made = [
        ", ".join(f"{_value(cell)} AS {quoted(name)}" for name, cell in zip(names, row, strict=True)) for row in rows
    ]
    if not made:
        made = [", ".join(f"NULL AS {quoted(name)}" for name in names) + " FROM DUAL WHERE 1 = 0"]
    text = " UNION ALL ".join(f"SELECT {one}" for one in made)
    where = f" WHERE {quoted(names[0])} LIKE {string(like)}" if like else ""
    return _plan(f"SELECT * FROM ({text}) AS `shown`{where}", "SHOW")  # noqa: S608 (of checked parts)


def _value(cell: str | None) -> str:
    return "CAST(NULL AS CHAR)" if cell is None else string(cell)


def _plan(text: str, verb: str) -> Plan:
    return Plan(text, (Kind.READ,), (verb,), verb, verb, fingerprint(verb), conceals=False)
