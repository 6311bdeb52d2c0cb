"""SHOW and DESCRIBE, answered with what the policy names: the server is asked for constants.

INVARIANT: the text that goes on names no relation: everything in it is a constant made of the policy's own names, or
the pattern that the person wrote.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.policy.types import column_type
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree.scopes import visible
from gateway.sql.tree.writing import quoted, string

_NAME = r'(?:[A-Za-z_]\w{0,62}|"[A-Za-z_][\w -]{0,62}")'
_LIKE = r"(?:\s+LIKE\s+'((?:[^'\\]|'')*)')?"
_END = r"[\s;]*\Z"
_FORMS = {
    "catalogs": re.compile(rf"\s*SHOW\s+CATALOGS{_LIKE}{_END}", re.IGNORECASE),
    "schemas": re.compile(rf"\s*SHOW\s+SCHEMAS(?:\s+(?:FROM|IN)\s+({_NAME}))?{_LIKE}{_END}", re.IGNORECASE),
    "tables": re.compile(rf"\s*SHOW\s+TABLES(?:\s+(?:FROM|IN)\s+({_NAME}(?:\.{_NAME})?))?{_LIKE}{_END}", re.IGNORECASE),
    "columns": re.compile(
        rf"\s*(?:SHOW\s+COLUMNS\s+(?:FROM|IN)|DESCRIBE|DESC)\s+({_NAME}(?:\.{_NAME}){{0,2}}){_LIKE}{_END}",
        re.IGNORECASE,
    ),
}
_FIRST = re.compile(r"\s*(SHOW|DESCRIBE|DESC)\b", re.IGNORECASE)
_LONGEST = 400
_TYPES = {
    "text": "varchar", "int2": "smallint", "int4": "integer", "int8": "bigint", "float8": "double",
    "timestamp": "timestamp(6)", "timestamptz": "timestamp(6) with time zone", "bool": "boolean",
}  # fmt: skip


_Answer = tuple[Sequence[str], list[tuple[str, ...]]]


def shown(text: str, view: View) -> Plan | None:
    """The plan of a SHOW or DESCRIBE; None for any other text. Raises: GatewayError."""
    first = _FIRST.match(text[:_LONGEST])
    if first is None:
        return None
    for what, form in _FORMS.items():
        match = form.match(text) if len(text) <= _LONGEST else None
        if match is not None:
            names, rows = _ANSWERS[what](view, (match[1] or "") if what != "catalogs" else "")
            return _plan(first[1].upper(), what, names, rows, (match[match.re.groups] or "").replace("''", "'"))
    raise GatewayError(
        "statement-not-supported", f"{first[1].upper()} of this kind is not supported",
        "SHOW TABLES, SHOW COLUMNS FROM a table, SHOW SCHEMAS and SHOW CATALOGS are",
    )  # fmt: skip


def _catalogs(view: View, _about: str) -> _Answer:
    return ("Catalog",), [(view.policy.catalog,)]


def _schemas(view: View, about: str) -> _Answer:
    _judge_catalog(_parts(about), view)
    return ("Schema",), [(one,) for one in sorted({name.partition(".")[0] for name in view.policy.tables})]


def _tables(view: View, about: str) -> _Answer:
    *catalog, schema = _parts(about) or [view.search_path[0]]
    _judge_catalog(catalog, view)
    found = [name.partition(".")[2] for name in sorted(view.policy.tables) if name.partition(".")[0] == schema]
    if not found:
        raise GatewayError("relation-not-available", f"there is no schema `{schema[:64]}`", "SHOW SCHEMAS lists them")
    return ("Table",), [(one,) for one in found]


def _columns(view: View, about: str) -> _Answer:
    *above, name = _parts(about)
    schemas = (above.pop(),) if above else view.search_path
    _judge_catalog(above, view)
    found = (view.catalog.relation(f"{schema}.{name}") for schema in schemas)
    relation = next((one for one in found if one is not None and one.qualified in view.policy.tables), None)
    if relation is None:
        raise GatewayError("relation-not-available", f"there is no relation `{about[:130]}`")
    rules = view.policy.tables[relation.qualified].columns
    rows: list[tuple[str, ...]] = []
    for column in visible(view, relation):
        clear = rules[column].mask.kind == "clear" or (relation.qualified, column) in view.reveal
        rows.append((column, _spelled(rules[column].type), "", "" if clear else f"masked: {rules[column].mask.kind}"))
    return ("Column", "Type", "Extra", "Comment"), rows


_ANSWERS = {"catalogs": _catalogs, "schemas": _schemas, "tables": _tables, "columns": _columns}


def _parts(about: str) -> list[str]:
    return [one.strip('"').lower() for one in about.split(".")] if about else []


def _judge_catalog(named: list[str], view: View) -> None:
    if named and named[0] != view.policy.catalog:
        raise GatewayError("relation-not-available", f"there is no catalog `{named[0][:64]}`", "SHOW CATALOGS lists it")


def _spelled(declared: str) -> str:
    of = column_type(declared)
    if of.mods:
        return f"{'decimal' if of.name == 'numeric' else of.name}({','.join(map(str, of.mods))})"
    return f"varchar({of.length})" if of.length is not None else _TYPES.get(of.name, of.name)


def _plan(verb: str, what: str, names: Sequence[str], rows: list[tuple[str, ...]], pattern: str) -> Plan:
    values = ", ".join(f"({', '.join(string(one, standard=True) for one in row)})" for row in rows)
    listed = ", ".join(quoted(one, '"') for one in names)
    text = f'SELECT {listed} FROM (VALUES {values}) AS "gateway_v" ({listed})'
    if pattern:
        text += f" WHERE {quoted(names[0], chr(34))} LIKE {string(pattern, standard=True)}"
    said = f"SHOW {what.upper()}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return Plan(text, (Kind.READ,), (verb,), said, said, digest, conceals=bool(pattern))
