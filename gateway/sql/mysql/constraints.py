"""What a written value is compared with, from `information_schema`: keys, references, checks, computed columns.

Where a condition is told as a text only (a CHECK, a computed column, a partition), every column whose name is in it
counts as one that it reads. What the account cannot see counts as there: without SELECT on a whole database, some table
of it may refer to any other (MySQL 8.4 Reference Manual, "INFORMATION_SCHEMA Tables"; MariaDB documentation, the same).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.sql.catalog import Reference, Relation, Unique

Rows = Sequence[tuple[str | None, ...]]

_RULES = {"CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d", "RESTRICT": "r", "NO ACTION": "a"}
_GRANT = re.compile(r"GRANT (.+) ON (\*|`(?:[^`]|``)+`|[^ .`]+)\.\* TO ", re.IGNORECASE)
_ON_TABLE = re.compile(r"GRANT (.+) ON (`[^`.]+`\.`[^`.]+`) TO ", re.IGNORECASE)
UNSEEN = "?.?"
"""The relation that stands for all that the account cannot see."""


def queries(system: str, *, mariadb: bool) -> dict[str, str]:
    """The queries whose rows the functions here take, by name; `system` is a list of schemas to leave out."""
    checked = (
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS"
        if mariadb
        else """SELECT t.TABLE_SCHEMA, t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.TABLE_CONSTRAINTS t
                JOIN information_schema.CHECK_CONSTRAINTS c USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME)
                WHERE t.CONSTRAINT_TYPE = 'CHECK'"""
    )
    expression = "NULL" if mariadb else "EXPRESSION"
    return {
        "checks": checked,
        "indexes": f"""
            SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, {expression}
            FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA NOT IN {system}
            ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX""",  # noqa: S608 (no text from outside)
        "references": """
            SELECT k.CONSTRAINT_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA,
                   k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE
            FROM information_schema.KEY_COLUMN_USAGE k
            LEFT JOIN information_schema.REFERENTIAL_CONSTRAINTS r ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA
                 AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
            WHERE k.REFERENCED_TABLE_NAME IS NOT NULL
            ORDER BY k.CONSTRAINT_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION""",
        "computed": f"""
            SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, EXTRA, GENERATION_EXPRESSION, COLLATION_NAME, COLUMN_DEFAULT
            FROM information_schema.COLUMNS WHERE TABLE_SCHEMA NOT IN {system}""",  # noqa: S608
        "partitions": f"""
            SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, CONCAT_WS(' ', PARTITION_EXPRESSION, SUBPARTITION_EXPRESSION)
            FROM information_schema.PARTITIONS
            WHERE PARTITION_EXPRESSION IS NOT NULL AND TABLE_SCHEMA NOT IN {system}""",  # noqa: S608
        "engines": f"""
            SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES
            WHERE TABLE_SCHEMA NOT IN {system}""",  # noqa: S608
        "grants": "SHOW GRANTS",
    }


def keys(rows: Mapping[str, Rows]) -> dict[str, tuple[str, ...]]:
    """The columns of each primary key, where it is made of whole columns."""
    found: dict[str, tuple[str, ...]] = {}
    partly: set[str] = set()
    for schema, table, index, column, part, _expression in rows["indexes"]:
        if index != "PRIMARY":
            continue
        found[f"{schema}.{table}"] = (*found.get(f"{schema}.{table}", ()), column or "")
        if column is None or part is not None:
            # FAIL CLOSED: what begins alike would be taken for one row
            partly.add(f"{schema}.{table}")
    return {name: columns for name, columns in found.items() if name not in partly}


def uniques(rows: Mapping[str, Rows], relations: Mapping[str, Relation]) -> frozenset[Unique]:
    """The unique indexes. Texts that a collation takes for one another do not keep customers apart."""
    loose = {
        (f"{schema}.{table}", column)
        for schema, table, column, _, _, collation, _ in rows["computed"]
        if collation is not None and not collation.lower().endswith(("_bin", "binary"))
    }
    touched: dict[tuple[str, str], list[str]] = {}
    key: dict[tuple[str, str], list[str]] = {}
    for schema, table, index, column, part, expression in rows["indexes"]:
        at = f"{schema}.{table}", index or ""
        touched.setdefault(at, [])
        key.setdefault(at, [])
        if column is None:
            touched[at] += _named(expression, relations.get(at[0]))
        else:
            touched[at].append(column)
            if part is None and (at[0], column) not in loose:
                key[at].append(column)
    return frozenset(Unique(at[0], tuple(dict.fromkeys(columns)), tuple(key[at])) for at, columns in touched.items())


def references(rows: Mapping[str, Rows], relations: Mapping[str, Relation]) -> frozenset[Reference]:
    """The foreign keys, and one from what cannot be seen to whatever might be referred to from there."""
    found: dict[tuple[str | None, ...], list[tuple[str, str]]] = {}
    for schema, table, name, column, other_schema, other, other_column, rule in rows["references"]:
        at = schema, table, name, other_schema, other, rule
        found.setdefault(at, []).append((column or "", other_column or ""))
    made = {
        Reference(
            f"{schema}.{table}",
            tuple(column for column, _ in pairs),
            f"{other_schema}.{other}",
            tuple(column for _, column in pairs),
            # FAIL CLOSED: a rule that is not told may change anything
            _RULES.get(rule or "", "c"),
        )
        for (schema, table, _name, other_schema, other, rule), pairs in found.items()
    }
    seen = set(_whole(rows["grants"]))
    made |= {
        Reference(UNSEEN, ("?",), name, ("?",), "c")
        for name, one in relations.items()
        if not {"*", one.schema} & seen
    }  # fmt: skip
    return frozenset(made)


def checks(rows: Mapping[str, Rows], relations: Mapping[str, Relation]) -> frozenset[tuple[str, tuple[str, ...]]]:
    """The columns that each CHECK, and each partitioning, may read."""
    return frozenset(
        (f"{schema}.{table}", columns)
        for schema, table, clause in (*rows["checks"], *rows["partitions"])
        if (columns := tuple(_named(clause, relations.get(f"{schema}.{table}"))))
    )


def generated(
    rows: Mapping[str, Rows], relations: Mapping[str, Relation]
) -> frozenset[tuple[str, str, tuple[str, ...]]]:
    """The computed columns, and what each may be computed from."""
    return frozenset(
        (f"{schema}.{table}", column or "", tuple(_named(expression, relations.get(f"{schema}.{table}"))))
        for schema, table, column, extra, expression, _, _ in rows["computed"]
        if expression or "GENERATED" in (extra or "").upper().replace("DEFAULT_GENERATED", "")
    )


def held(rows: Mapping[str, Rows], relations: Mapping[str, Relation]) -> dict[str, str]:
    """The tables that cannot be written at all, and why."""
    seen, tables = set(_whole(rows["grants"])), set(_tables(rows["grants"]))
    found = {
        name: "the account may not read all of its columns, so what constrains them is not known"
        for name, one in relations.items()
        if not {"*", one.schema} & seen and name not in tables
    }
    for schema, table, kind, engine in rows["engines"]:
        if kind == "SYSTEM VERSIONED":
            found[f"{schema}.{table}"] = "it keeps its history, which would tell of what was there before"
        elif (engine or "").lower() != "innodb":
            found[f"{schema}.{table}"] = f"its engine is {engine or 'unknown'}: only InnoDB takes a failed write back"
    return found


def stamped(rows: Mapping[str, Rows]) -> frozenset[tuple[str, str]]:
    """The columns that the server changes with any other of their row."""
    return frozenset(
        (f"{schema}.{table}", column or "")
        for schema, table, column, extra, _, _, _ in rows["computed"]
        if "ON UPDATE" in (extra or "").upper()
    )


def numbered(rows: Mapping[str, Rows]) -> frozenset[tuple[str, str]]:
    """The columns that count by themselves."""
    return frozenset(
        (f"{schema}.{table}", column or "")
        for schema, table, column, extra, _, _, _ in rows["computed"]
        if "AUTO_INCREMENT" in (extra or "").upper()
    )


def defaulted(rows: Mapping[str, Rows], relations: Mapping[str, Relation]) -> frozenset[tuple[str, str]]:
    """The columns whose DEFAULT may read others."""
    return frozenset(
        (f"{schema}.{table}", column or "")
        for schema, table, column, _, _, _, default in rows["computed"]
        if any(_named(re.sub(r"'(?:[^'\\]|\\.|'')*'", "", default or ""), relations.get(f"{schema}.{table}")))
    )


def _whole(grants: Rows) -> Iterator[str]:
    """The databases that the account may read as a whole; `*` for all."""
    for row in grants:
        match = _GRANT.match(row[0] or "")
        rights = {one.strip().upper() for one in match[1].split(",")} if match else set()
        if match is not None and {"SELECT", "ALL PRIVILEGES"} & rights:
            yield re.sub(r"\\([_%])", r"\1", match[2].strip("`").replace("``", "`"))


def _tables(grants: Rows) -> Iterator[str]:
    """The tables that the account may read as a whole."""
    for row in grants:
        match = _ON_TABLE.match(row[0] or "")
        rights = re.sub(r"\([^)]*\)", "(…)", match[1]).split(",") if match else ()
        if match is not None and {"SELECT", "ALL PRIVILEGES"} & {one.strip().upper() for one in rights}:
            yield match[2].replace("`", "")


def _named(clause: str | None, relation: Relation | None) -> Iterator[str]:
    """The columns whose names are in that text."""
    words = set(re.findall(r"[\w$]+", (clause or "").lower()))
    whole = (clause or "").lower()
    for column in relation.columns if relation is not None else ():
        name = column.name.lower()
        if name in words or (not re.fullmatch(r"[\w$]+", name) and name in whole):
            yield column.name
