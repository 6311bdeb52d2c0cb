"""SHOW and DESCRIBE, answered from the policy and the catalog.

Each becomes a SELECT over one table that is written into the text (`inline.py`), with the server's own names of
columns; the LIKE or WHERE of the person is judged as that of any SELECT (MySQL 8.4 Reference Manual, "SHOW
Statements").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.errors import GatewayError, Refusal
from gateway.sql.catalog import Relation
from gateway.sql.mysql import settings, told
from gateway.sql.mysql.inline import SCHEMA, Inline, analyse
from gateway.sql.mysql.lexer import Word, unquoted
from gateway.sql.mysql.pins import CIPHER, VERSION, fingerprint
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree.writing import quoted, string

_SHOWN = "SHOWN"
_SCOPES = frozenset({"FULL", "EXTENDED", "SESSION", "LOCAL", "GLOBAL"})
_KNOWN = "SHOW DATABASES, TABLES, COLUMNS, CREATE TABLE, TABLE STATUS, INDEX, VARIABLES, STATUS and DESCRIBE are"
_FIELDS = ("Field", "Type", "Null", "Key", "Default", "Extra")
_FULL_FIELDS = ("Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment")
_INDEX = """
    Table Non_unique Key_name Seq_in_index Column_name Collation Cardinality Sub_part Packed Null Index_type Comment
    Index_comment
"""
_STATUS = """
    Name Engine Version Row_format Rows Avg_row_length Data_length Max_data_length Index_length Data_free
    Auto_increment Create_time Update_time Check_time Collation Checksum Create_options Comment
"""
_ROUTINE = """
    Db Name Type Definer Modified Created Security_type Comment character_set_client collation_connection
    Database#Collation
"""
_EMPTY = {
    "PLUGINS": "Name Status Type Library License",
    "TRIGGERS": """Trigger Event Table Statement Timing Created sql_mode Definer character_set_client
        collation_connection Database#Collation""",
    "EVENTS": """Db Name Definer Time#zone Type Execute#at Interval#value Interval#field Starts Ends Status Originator
        character_set_client collation_connection Database#Collation""",
    "PROCEDURE STATUS": _ROUTINE,
    "FUNCTION STATUS": _ROUTINE,
    "PACKAGE STATUS": _ROUTINE,
    "PACKAGE BODY STATUS": _ROUTINE,
    "OPEN TABLES": "Database Table In_use Name_locked",
}
"""What has nothing that may be told."""


def shown(command: list[Word], text: str, view: View) -> Plan | Refusal:
    """The plan of a SHOW. Raises: GatewayError."""
    rest = command[1:]
    full = False
    while rest and rest[0].upper() in _SCOPES:
        full = full or rest[0].upper() == "FULL"
        rest = rest[1:]
    words = [word.upper() for word in rest]
    if words[:1] in (["WARNINGS"], ["ERRORS"]) or words[:1] == ["COUNT"]:
        return _warnings(words)
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in _EMPTY:
            columns = tuple(one.replace("#", " ") for one in _EMPTY[name].split())
            left = _after_schema(rest[count:], view)[1]
            return _selected(Inline(columns), left, text, view, like=columns[1] if "STATUS" in name[7:] else "")
        if len(words) >= count and name in _SHOWS:
            return _SHOWS[name](rest[count:], text, view, full)
    raise GatewayError("statement-not-supported", f"SHOW {' '.join(words[:2])[:40]} is not supported", _KNOWN)


def _warnings(words: list[str]) -> Plan:
    what = words[-1] if words[0] == "COUNT" else words[0]
    if words[0] == "COUNT":
        if words[1:] not in (["(", "*", ")", "WARNINGS"], ["(", "*", ")", "ERRORS"]):
            raise GatewayError("statement-not-supported", "SHOW COUNT(*) takes WARNINGS or ERRORS")
        name = "warning" if what == "WARNINGS" else "error"
        said = f"SELECT 0 AS `@@session.{name}_count`"
        return Plan(said, (Kind.READ,), ("SHOW",), said, said, fingerprint(said), conceals=False)
    return Plan("DO 0", (Kind.UTILITY,), ("SHOW WARNINGS",), f"SHOW {what}", "", fingerprint(what), conceals=False)


def _databases(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    return _selected(Inline(("Database",), [(SCHEMA,), *((name,) for name in view.policy.schemas)]), rest, text, view)


def _show_tables(rest: list[Word], text: str, view: View, full: bool) -> Plan | Refusal:
    schema, rest = _after_schema(rest, view)
    names = (f"Tables_in_{schema}", "Table_type") if full else (f"Tables_in_{schema}",)
    rows = [(one.name, _kind(one))[: len(names)] for one in _of_schema(view, schema)]
    return _selected(Inline(names, rows), rest, text, view)


def _table_status(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    schema, rest = _after_schema(rest, view)
    columns = tuple(_STATUS.split())
    rows = []
    for one in _of_schema(view, schema):
        is_view = one.kind == "v"
        known = {"Name": one.name, "Comment": "VIEW" if is_view else ""}
        if not is_view:
            known |= {"Engine": told.ENGINE, "Row_format": "Dynamic", "Collation": told.COLLATION, "Create_options": ""}
        rows.append([known.get(column) for column in columns])
    return _selected(Inline(columns, rows), rest, text, view)


def described(rest: list[Word], view: View) -> Plan | Refusal:
    """The plan of a DESCRIBE, without its first word. Raises: GatewayError."""
    relation, rest = _relation(rest, view)
    if len(rest) > 1:
        raise GatewayError("statement-not-supported", "DESCRIBE takes a table and a column")
    like = f" WHERE `Field` LIKE {string(unquoted(rest[0]))}" if rest else ""
    return _over(Inline(_FIELDS, [_field(*one) for one in _fields(view, relation)]), like, view)


def _columns(rest: list[Word], text: str, view: View, full: bool) -> Plan | Refusal:
    if rest[:1] and rest[0].upper() in ("FROM", "IN"):
        rest = rest[1:]
    relation, rest = _relation(rest, view)
    if not full:
        return _selected(Inline(_FIELDS, [_field(*one) for one in _fields(view, relation)]), rest, text, view)
    rows = [
        (name, kind, collation, null, "", None, "", "select", "")
        for name, kind, null, collation in _fields(view, relation)
    ]
    return _selected(Inline(_FULL_FIELDS, rows), rest, text, view)


def _field(name: str, kind: str, null: str, _collation: str | None) -> Sequence[str | None]:
    return name, kind, null, "", None, ""


def _fields(view: View, relation: Relation) -> list[tuple[str, str, str, str | None]]:
    made = []
    for column in told.columns(view, relation):
        plain, full = told.spelled(column)
        collation = told.COLLATION if plain in ("varchar", "char", "text", "json") else None
        made.append((column.name, full, "NO" if column.not_null else "YES", collation))
    return made


def _create_table(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    relation, rest = _relation(rest, view)
    lines = (
        f"  {quoted(name)} {kind}{' NOT NULL' if null == 'NO' else ' DEFAULT NULL'}"
        for name, kind, null, _ in _fields(view, relation)
    )
    made = ",\n".join(lines)
    text_of = f"CREATE TABLE {quoted(relation.name)} (\n{made}\n) ENGINE={told.ENGINE} DEFAULT CHARSET={told.CHARSET}"
    return _selected(Inline(("Table", "Create Table"), [(relation.name, text_of)]), rest, text, view)


def _create_database(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    name, left = _after_schema([Word("FROM"), *rest], view)
    made = f"CREATE DATABASE {quoted(name)} /*!40100 DEFAULT CHARACTER SET {told.CHARSET} */"
    return _selected(Inline(("Database", "Create Database"), [(name, made)]), left, text, view)


def _index(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    if rest[:1] and rest[0].upper() in ("FROM", "IN"):
        rest = rest[1:]
    _, rest = _relation(rest, view)
    return _selected(Inline(tuple(_INDEX.split())), rest, text, view)


def _variables(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    rows = (
        f"SELECT {string(name)} AS `Variable_name`, CONVERT({value} USING utf8mb4) AS `Value`"
        for name, value in settings.shown(view.policy.dialect)
    )
    return _selected(Inline(("Variable_name", "Value"), text=" UNION ALL ".join(rows)), rest, text, view)


def _status(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    rows = (
        f"SELECT {string(name)} AS `Variable_name`, CONVERT(COALESCE({value}, '') USING utf8mb4) AS `Value`"
        for name, value in (("Ssl_cipher", CIPHER), ("Ssl_version", VERSION))
    )
    return _selected(Inline(("Variable_name", "Value"), text=" UNION ALL ".join(rows)), rest, text, view)


def _engines(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    columns = ("Engine", "Support", "Comment", "Transactions", "XA", "Savepoints")
    return _selected(Inline(columns, list(told.TABLES["ENGINES"][1](view))), rest, text, view)


def _charsets(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    rows = [(told.CHARSET, "UTF-8 Unicode", told.COLLATION, 4)]
    return _selected(Inline(("Charset", "Description", "Default collation", "Maxlen"), rows), rest, text, view)


def _collations(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    columns = ("Collation", "Charset", "Id", "Default", "Compiled", "Sortlen")
    return _selected(Inline(columns, list(told.TABLES["COLLATIONS"][1](view))), rest, text, view)


def _processes(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    columns = ("Id", "User", "Host", "db", "Command", "Time", "State", "Info")
    own = (
        "SELECT CONNECTION_ID() AS `Id`, 'gateway' AS `User`, '' AS `Host`, DATABASE() AS `db`, 'Query' AS `Command`, "
        "0 AS `Time`, '' AS `State`, 'SHOW PROCESSLIST' AS `Info`"
    )
    return _selected(Inline(columns, text=own), rest, text, view)


def _grants(rest: list[Word], text: str, view: View, _full: bool) -> Plan | Refusal:
    said = " ".join(word.upper() for word in rest)
    if said not in ("", "FOR CURRENT_USER", "FOR CURRENT_USER ( )"):
        raise GatewayError("statement-not-allowed", "the rights of others are not told", "SHOW GRANTS")
    rows = [(f"GRANT SELECT ON {quoted(one.schema)}.{quoted(one.name)}",) for one in told.relations(view)]
    return _selected(Inline(("Grants for gateway",), rows), [], text, view)


_SHOWS: dict[str, Callable[[list[Word], str, View, bool], Plan | Refusal]] = {
    "DATABASES": _databases, "SCHEMAS": _databases, "TABLES": _show_tables, "TABLE STATUS": _table_status,
    "COLUMNS": _columns, "FIELDS": _columns, "CREATE TABLE": _create_table, "CREATE VIEW": _create_table,
    "CREATE DATABASE": _create_database, "CREATE SCHEMA": _create_database, "INDEX": _index, "INDEXES": _index,
    "KEYS": _index, "VARIABLES": _variables, "STATUS": _status, "ENGINES": _engines, "STORAGE ENGINES": _engines,
    "CHARACTER SET": _charsets, "CHARSET": _charsets, "COLLATION": _collations, "PROCESSLIST": _processes,
    "GRANTS": _grants,
}  # fmt: skip


def _after_schema(rest: list[Word], view: View) -> tuple[str, list[Word]]:
    if rest[:1] and rest[0].upper() in ("FROM", "IN") and len(rest) > 1:
        return _known_schema(unquoted(rest[1]), view), rest[2:]
    return view.policy.schemas[0], rest


def _known_schema(name: str, view: View) -> str:
    if name.lower() == SCHEMA:
        return SCHEMA
    if name not in view.policy.schemas:
        raise GatewayError("target-not-available", "there is no such database here", "SHOW DATABASES names those")
    return name


def _of_schema(view: View, schema: str) -> list[Relation]:
    if schema == SCHEMA:
        return [Relation(SCHEMA, name, 0, "v", ()) for name in sorted(told.TABLES)]
    return told.relations(view, schema)


def _kind(relation: Relation) -> str:
    if relation.schema == SCHEMA:
        return "SYSTEM VIEW"
    return "VIEW" if relation.kind == "v" else "BASE TABLE"


def _relation(rest: list[Word], view: View) -> tuple[Relation, list[Word]]:
    """The table that is named, with a schema in front of it or behind it, and the words after it."""
    if not rest:
        raise GatewayError("syntax-error", "the name of a table is missing")
    schema, name, left = "", unquoted(rest[0]), rest[1:]
    if left[:1] == ["."] and len(left) > 1:
        schema, name, left = name, unquoted(left[1]), left[2:]
    if left[:1] and left[0].upper() in ("FROM", "IN") and len(left) > 1:
        schema, left = unquoted(left[1]), left[2:]
    for relation in told.relations(view, schema or None):
        if relation.name == name:
            return relation, left
    raise GatewayError("relation-not-available", f"there is no table `{name[:64]}` here", "SHOW TABLES names those")


def _selected(table: Inline, rest: list[Word], text: str, view: View, *, like: str = "") -> Plan | Refusal:
    """The rows of a table that the LIKE or the WHERE behind a SHOW lets through."""
    if not rest:
        return _over(table, "", view)
    first = rest[0].upper()
    if first == "LIKE" and len(rest) == 2 and rest[1][:1] in "'\"":
        return _over(table, f" WHERE {quoted(like or table.columns[0])} LIKE {string(unquoted(rest[1]))}", view)
    if first == "WHERE" and len(rest) > 1:
        return _over(table, f" WHERE ({_condition(rest[1:], text, table.columns)})", view)
    raise GatewayError("statement-not-supported", "SHOW takes LIKE 'pattern' or WHERE", "leave the rest out")


def _condition(words: list[Word], text: str, columns: Sequence[str]) -> str:
    """What is written behind WHERE. Raises: GatewayError where it ends early, so that more than it would follow."""
    depth = 0
    for word in words:
        depth += (word == "(") - (word == ")")
        if depth < 0:
            raise GatewayError("syntax-error", "a parenthesis is closed that was not opened")
    return _with_names(text[: words[-1].at + len(words[-1])], words, columns)


def _with_names(text: str, words: list[Word], columns: Sequence[str]) -> str:
    """The text from the first of the words on, with the names of columns in quotes: some are words of the language."""
    named = {name.lower(): name for name in columns}
    parts = []
    at = words[0].at
    for word in words:
        if word.lower() in named:
            parts += [text[at : word.at], quoted(named[word.lower()])]
            at = word.at + len(word)
    return "".join([*parts, text[at:]])


def _over(table: Inline, condition: str, view: View) -> Plan | Refusal:
    asked = f"SELECT * FROM {SCHEMA}.{_SHOWN}{condition}"  # noqa: S608 (it is judged like a person's)
    plan = analyse(asked, view, {_SHOWN: table})
    if isinstance(plan, Refusal):
        return plan
    relations = tuple(one for one in plan.relations if not one.startswith(f"{SCHEMA}."))
    columns = tuple(one for one in plan.columns_clear if not one.startswith(f"{SCHEMA}."))
    scope = tuple(one for one in plan.scope if not one.startswith(f"{SCHEMA}."))
    return replace(plan, verbs=("SHOW",), relations=relations, columns_clear=columns, scope=scope)
