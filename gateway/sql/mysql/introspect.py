"""The catalog of a target of MySQL or MariaDB, from `information_schema`, as the gateway's account sees it.

Types are spelled as `policy.types` knows them; what has no like there keeps its own name, and only `clear` and `null`
fit it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gateway.sql.catalog import Catalog, Column, Relation
from gateway.sql.mysql import constraints

Rows = Sequence[tuple[str | None, ...]]

_SYSTEM = "('mysql', 'information_schema', 'performance_schema', 'sys')"
_KINDS = {"BASE TABLE": "r", "VIEW": "v", "SYSTEM VERSIONED": "r"}
_SIMPLE = {
    "date": "date", "datetime": "timestamp", "timestamp": "timestamptz", "float": "float4", "double": "float8",
    "tinytext": "text", "text": "text", "mediumtext": "text", "longtext": "text", "uuid": "uuid", "year": "year",
    "time": "time", "json": "json",
}  # fmt: skip
_INTEGERS = {"tinyint": "int2", "smallint": "int2", "mediumint": "int4", "int": "int4", "bigint": "int8"}
_UNSIGNED = {"tinyint": "int2", "smallint": "int4", "mediumint": "int4", "int": "int8", "bigint": "numeric(20,0)"}


def catalog_queries(*, mariadb: bool) -> dict[str, str]:
    """The queries whose rows `catalog_from_rows` takes, by name."""
    return {
        "version": "SELECT VERSION()",
        "columns": f"""
            SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, c.COLUMN_NAME, c.ORDINAL_POSITION, c.DATA_TYPE,
                   c.COLUMN_TYPE, c.IS_NULLABLE, c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE
            FROM information_schema.TABLES t
            JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
            WHERE t.TABLE_SCHEMA NOT IN {_SYSTEM}
            ORDER BY t.TABLE_SCHEMA, t.TABLE_NAME, c.ORDINAL_POSITION""",  # noqa: S608 (no text from outside)
        **constraints.queries(_SYSTEM, mariadb=mariadb),
    }


def catalog_from_rows(rows: Mapping[str, Rows]) -> Catalog:
    """The catalog that those rows tell."""
    found: dict[str, tuple[str, str, str, list[Column]]] = {}
    for schema, name, kind, column, place, data, spelled, nullable, length, precision, scale in rows["columns"]:
        if schema is None or name is None or column is None or data is None:
            continue
        made = found.setdefault(f"{schema}.{name}", (schema, name, _KINDS.get(kind or "", "?"), []))
        of = _type(data.lower(), (spelled or "").lower(), length, precision, scale)
        made[3].append(Column(column, int(place or 0), of, of.partition("(")[0], "", nullable == "NO"))
    relations = {
        qualified: Relation(schema, name, number, kind, tuple(columns))
        for number, (qualified, (schema, name, kind, columns)) in enumerate(found.items(), 1)
    }
    return Catalog(
        relations,
        server_version=_version(rows["version"][0][0] or ""),
        uniques=constraints.uniques(rows, relations),
        references=constraints.references(rows, relations),
        checks=constraints.checks(rows, relations),
        generated=constraints.generated(rows, relations),
        keys=constraints.keys(rows),
        held=constraints.held(rows, relations),
        stamped=constraints.stamped(rows),
        numbered=constraints.numbered(rows),
        defaulted=constraints.defaulted(rows, relations),
    )


def _type(data: str, spelled: str, length: str | None, precision: str | None, scale: str | None) -> str:
    if data in _INTEGERS:
        return (_UNSIGNED if "unsigned" in spelled else _INTEGERS)[data]
    if data in ("varchar", "char") and length:
        return f"varchar({length})"
    if data == "decimal" and precision:
        return f"numeric({precision},{scale or 0})"
    return _SIMPLE.get(data, f"mysql.{data}")


def _version(text: str) -> int:
    """`10.11.6-MariaDB` as 101106, `8.4.2` as 80402."""
    match = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)", text)
    return int(match[1]) * 10_000 + int(match[2]) * 100 + int(match[3]) if match else 0
