"""What `information_schema` may tell of a target: the relations and columns of the policy, and nothing else.

Names and order of the columns are those that MySQL 8 and MariaDB have in common, which is what clients read (MySQL 8.4
Reference Manual, "INFORMATION_SCHEMA Tables"), and MariaDB's own of CHECK_CONSTRAINTS. Keys, sizes, counts of rows,
times, comments and defaults say something about hidden rows or columns: they are empty, or NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import View
from gateway.sql.tree.scopes import visible

Row = Sequence[str | int | None]
CATALOG, CHARSET, COLLATION, ENGINE = "def", "utf8mb4", "utf8mb4_general_ci", "InnoDB"

_SPELLED = {
    "integer": "int",
    "int2": "smallint", "int4": "int", "int8": "bigint", "float4": "float", "float8": "double",
    "timestamp": "datetime", "timestamptz": "timestamp", "bool": "tinyint", "numeric": "decimal",
}  # fmt: skip
_DIGITS = {"smallint": 5, "int": 10, "bigint": 19, "float": 12, "double": 22, "tinyint": 3}
_LENGTHS = {"text": 65_535, "json": 4_294_967_295}


def relations(view: View, schema: str | None = None) -> list[Relation]:
    """The relations of the policy that the target has, by name."""
    known = (view.catalog.relation(name) for name in view.policy.tables)
    found = [one for one in known if one is not None and one.schema in view.policy.schemas]
    return sorted(
        (one for one in found if schema is None or one.schema == schema), key=lambda one: (one.schema, one.name)
    )


def columns(view: View, relation: Relation) -> list[Column]:
    """The columns of a relation that exist for the person."""
    shown = visible(view, relation)
    return [column for column in relation.columns if column.name in shown]


def spelled(column: Column) -> tuple[str, str]:
    """The type of a column as MySQL writes it, plain and with its length."""
    name, _, mods = column.type.removeprefix("mysql.").partition("(")
    plain = _SPELLED.get(name, name)
    full = f"{plain}({mods}" if mods else plain
    return plain, {"tinyint": "tinyint(1)"}.get(full, full)


def _schemata(view: View) -> Iterator[Row]:
    for name in ("information_schema", *view.policy.schemas):
        yield CATALOG, name, CHARSET, COLLATION, None


def _tables(view: View) -> Iterator[Row]:
    for one in relations(view):
        view_of = one.kind == "v"
        kind = "VIEW" if view_of else "BASE TABLE"
        yield (
            CATALOG, one.schema, one.name, kind, None if view_of else ENGINE, None if view_of else 10,
            None if view_of else "Dynamic", None, None, None, None, None, None, None, None, None, None,
            None if view_of else COLLATION, None, None if view_of else "", "VIEW" if view_of else "",
        )  # fmt: skip


def _columns(view: View) -> Iterator[Row]:
    for relation in relations(view):
        for place, column in enumerate(columns(view, relation), 1):
            plain, full = spelled(column)
            texts = plain in ("varchar", "char", "text", "json")
            mods = [int(one) for one in re.findall(r"\d+", full)]
            length = (mods[0] if mods else _LENGTHS.get(plain)) if texts else None
            digits = _DIGITS.get(plain) or (mods[0] if plain == "decimal" and mods else None)
            scale = (mods[1] if plain == "decimal" and len(mods) > 1 else 0) if digits else None
            moment = 0 if plain in ("datetime", "timestamp", "time") else None
            yield (
                CATALOG, relation.schema, relation.name, column.name, place, None,
                "NO" if column.not_null else "YES", plain, length,
                min(length * 4, 4_294_967_295) if length else None, digits, scale, moment,
                CHARSET if texts else None, COLLATION if texts else None, full, "", "", "select", "", "",
            )  # fmt: skip


def _nothing(_view: View) -> Iterator[Row]:
    yield from ()


def _engines(_view: View) -> Iterator[Row]:
    yield ENGINE, "DEFAULT", "Supports transactions, row-level locking, foreign keys", "YES", "YES", "YES"


def _charsets(_view: View) -> Iterator[Row]:
    yield CHARSET, COLLATION, "UTF-8 Unicode", 4


def _collations(_view: View) -> Iterator[Row]:
    yield "utf8mb4_bin", CHARSET, 46, "", "Yes", 1
    yield COLLATION, CHARSET, 45, "Yes", "Yes", 1
    yield "utf8mb4_unicode_ci", CHARSET, 224, "", "Yes", 8


def _applicable(_view: View) -> Iterator[Row]:
    for name in ("utf8mb4_bin", COLLATION, "utf8mb4_unicode_ci"):
        yield name, CHARSET


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TABLES: dict[str, tuple[tuple[str, ...], Callable[[View], Iterator[Row]]]] = {
    "SCHEMATA": (
        _names("CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH"),
        _schemata,
    ),
    "TABLES": (
        _names("""
            TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION ROW_FORMAT TABLE_ROWS AVG_ROW_LENGTH
            DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH DATA_FREE AUTO_INCREMENT CREATE_TIME UPDATE_TIME CHECK_TIME
            TABLE_COLLATION CHECKSUM CREATE_OPTIONS TABLE_COMMENT
        """),
        _tables,
    ),
    "COLUMNS": (
        _names("""
            TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION COLUMN_DEFAULT IS_NULLABLE DATA_TYPE
            CHARACTER_MAXIMUM_LENGTH CHARACTER_OCTET_LENGTH NUMERIC_PRECISION NUMERIC_SCALE DATETIME_PRECISION
            CHARACTER_SET_NAME COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA PRIVILEGES COLUMN_COMMENT
            GENERATION_EXPRESSION
        """),
        _columns,
    ),
    "ENGINES": (_names("ENGINE SUPPORT COMMENT TRANSACTIONS XA SAVEPOINTS"), _engines),
    "CHARACTER_SETS": (_names("CHARACTER_SET_NAME DEFAULT_COLLATE_NAME DESCRIPTION MAXLEN"), _charsets),
    "COLLATIONS": (_names("COLLATION_NAME CHARACTER_SET_NAME ID IS_DEFAULT IS_COMPILED SORTLEN"), _collations),
    "COLLATION_CHARACTER_SET_APPLICABILITY": (_names("COLLATION_NAME CHARACTER_SET_NAME"), _applicable),
    **{
        name: (_names(names), _nothing)
        for name, names in {
            "STATISTICS": """TABLE_CATALOG TABLE_SCHEMA TABLE_NAME NON_UNIQUE INDEX_SCHEMA INDEX_NAME SEQ_IN_INDEX
                COLUMN_NAME COLLATION CARDINALITY SUB_PART PACKED NULLABLE INDEX_TYPE COMMENT INDEX_COMMENT""",
            "KEY_COLUMN_USAGE": """CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_CATALOG TABLE_SCHEMA
                TABLE_NAME COLUMN_NAME ORDINAL_POSITION POSITION_IN_UNIQUE_CONSTRAINT REFERENCED_TABLE_SCHEMA
                REFERENCED_TABLE_NAME REFERENCED_COLUMN_NAME""",
            "TABLE_CONSTRAINTS": """CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME
                CONSTRAINT_TYPE""",
            "REFERENTIAL_CONSTRAINTS": """CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME
                UNIQUE_CONSTRAINT_CATALOG UNIQUE_CONSTRAINT_SCHEMA UNIQUE_CONSTRAINT_NAME MATCH_OPTION UPDATE_RULE
                DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME""",
            "CHECK_CONSTRAINTS": """CONSTRAINT_CATALOG CONSTRAINT_SCHEMA TABLE_NAME CONSTRAINT_NAME LEVEL
                CHECK_CLAUSE""",
            "VIEWS": """TABLE_CATALOG TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION CHECK_OPTION IS_UPDATABLE DEFINER
                SECURITY_TYPE CHARACTER_SET_CLIENT COLLATION_CONNECTION""",
            "ROUTINES": """SPECIFIC_NAME ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE DATA_TYPE
                DTD_IDENTIFIER ROUTINE_BODY ROUTINE_DEFINITION IS_DETERMINISTIC SQL_DATA_ACCESS SECURITY_TYPE CREATED
                LAST_ALTERED SQL_MODE ROUTINE_COMMENT DEFINER""",
            "PARAMETERS": """SPECIFIC_CATALOG SPECIFIC_SCHEMA SPECIFIC_NAME ORDINAL_POSITION PARAMETER_MODE
                PARAMETER_NAME DATA_TYPE CHARACTER_MAXIMUM_LENGTH NUMERIC_PRECISION NUMERIC_SCALE DTD_IDENTIFIER
                ROUTINE_TYPE""",
            "TRIGGERS": """TRIGGER_CATALOG TRIGGER_SCHEMA TRIGGER_NAME EVENT_MANIPULATION EVENT_OBJECT_CATALOG
                EVENT_OBJECT_SCHEMA EVENT_OBJECT_TABLE ACTION_ORDER ACTION_CONDITION ACTION_STATEMENT
                ACTION_ORIENTATION ACTION_TIMING CREATED SQL_MODE DEFINER""",
            "EVENTS": """EVENT_CATALOG EVENT_SCHEMA EVENT_NAME DEFINER TIME_ZONE EVENT_BODY EVENT_DEFINITION EVENT_TYPE
                EXECUTE_AT INTERVAL_VALUE INTERVAL_FIELD SQL_MODE STARTS ENDS STATUS ON_COMPLETION CREATED LAST_ALTERED
                LAST_EXECUTED EVENT_COMMENT""",
            "PARTITIONS": """TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PARTITION_NAME SUBPARTITION_NAME
                PARTITION_ORDINAL_POSITION PARTITION_METHOD PARTITION_EXPRESSION TABLE_ROWS""",
            "PLUGINS": "PLUGIN_NAME PLUGIN_VERSION PLUGIN_STATUS PLUGIN_TYPE PLUGIN_LIBRARY PLUGIN_LICENSE",
            "PROCESSLIST": "ID USER HOST DB COMMAND TIME STATE INFO",
            "USER_PRIVILEGES": "GRANTEE TABLE_CATALOG PRIVILEGE_TYPE IS_GRANTABLE",
            "SCHEMA_PRIVILEGES": "GRANTEE TABLE_CATALOG TABLE_SCHEMA PRIVILEGE_TYPE IS_GRANTABLE",
            "TABLE_PRIVILEGES": "GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PRIVILEGE_TYPE IS_GRANTABLE",
            "COLUMN_PRIVILEGES": """GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME PRIVILEGE_TYPE
                IS_GRANTABLE""",
        }.items()
    },
}
"""The columns of each table, and what makes its rows."""
