"""SQL conditions on oids: whether what an oid stands for exists for a view.

INVARIANT: an oid of the target's own that concerns a relation or column which the policy does not name fulfils none.
INVARIANT: the expression for an oid stands outside every sub-select of a condition. It may be the user's, and inside of
one its names would be those of the sub-select: `i.indexrelid = indexrelid` holds for every row of `pg_index AS i`.

Every function here returns SQL text in which all names are qualified; conditions take an SQL expression for an oid.
Specification: PostgreSQL manual, chapter 53 (catalogs), versions 13 to 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.sql.statement import View

FIRST_NORMAL_OID = 16384  # access/transam.h: what PostgreSQL itself makes has a lower number
_MOST_ATTRIBUTES = 10_000

# ruff: noqa: S608 - made of the constants below and of quoted names of the policy


def schemas(view: View) -> tuple[str, ...]:
    """The schemas that exist for the view."""
    named = {name.rpartition(".")[0] for name in view.policy.tables}
    return (*sorted(named | set(view.policy.schemas)), "pg_catalog", "information_schema")


def visible(view: View) -> Mapping[str, int]:
    """The relations that exist for the view, with their oids."""
    found = {}
    for name in view.policy.tables:
        relation = view.catalog.relation(name)
        if relation is not None:
            found[name] = relation.oid
    return found


def built_in(oid: str, _view: View) -> str:
    """The condition that `oid` belongs to PostgreSQL itself."""
    return f"({oid} OPERATOR(pg_catalog.<) '{FIRST_NORMAL_OID}')"


def anything(oid: str, _view: View) -> str:
    """The condition that `oid` is one."""
    return f"({oid} IS NOT NULL)"


def relation_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of a relation which the view shows."""
    return f"({built_in(oid, view)} OR {_among(oid, visible(view).values())})"


def type_visible(oid: str, view: View) -> str:
    """The condition that `oid` is a built-in type's, that of a visible column, or a visible relation's row type."""
    attributes = (
        "SELECT a.atttypid FROM pg_catalog.pg_attribute AS a"
        f" WHERE {_among('a.attrelid', visible(view).values())} AND {attribute('a.attrelid', 'a.attnum', view)}"
    )
    shown = (
        "SELECT e.oid FROM pg_catalog.pg_type AS y, pg_catalog.unnest(ARRAY[y.oid, y.typarray, y.typelem]) AS e(oid)"
        f" WHERE {_among('y.typrelid', visible(view).values())}"
        f" OR y.oid OPERATOR(pg_catalog.=) ANY (ARRAY({attributes}))"
    )
    return f"({built_in(oid, view)} OR {_in(oid, shown)})"


def function_visible(oid: str, view: View) -> str:
    """The condition that `oid` is a built-in function's or one that the policy vouches for."""
    shown = (
        "SELECT f.oid FROM pg_catalog.pg_proc AS f"
        " JOIN pg_catalog.pg_namespace AS g ON g.oid OPERATOR(pg_catalog.=) f.pronamespace"
        f" WHERE {named('g.nspname', 'f.proname', view.policy.functions)}"
    )
    return f"({built_in(oid, view)} OR {_in(oid, shown)})"


def schema_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of a schema which exists for the view."""
    return _in(oid, f"SELECT g.oid FROM pg_catalog.pg_namespace AS g WHERE {listed('g.nspname', schemas(view))}")


def index_visible(oid: str, view: View) -> str:
    """The condition that `oid` is an index's of plain visible columns; its rows are all or none."""
    return _in(oid, f"SELECT i.indexrelid FROM pg_catalog.pg_index AS i WHERE {index_rows('i', view)}")


def constraint_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of a key between visible columns."""
    return _in(oid, f"SELECT k.oid FROM pg_catalog.pg_constraint AS k WHERE {constraint_rows('k', view)}")


def class_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of a relation or an index which the view shows."""
    return f"({relation_visible(oid, view)} OR {index_visible(oid, view)})"


def composite_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of the attributes of a composite type which the view shows.

    Not those of a relation's row type: its columns are the policy's to name.
    """
    seen = type_visible("y.oid", view)
    shown = (
        "SELECT y.typrelid FROM pg_catalog.pg_type AS y"
        " JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) y.typrelid"
        f" WHERE c.relkind OPERATOR(pg_catalog.=) 'c' AND c.oid OPERATOR(pg_catalog.>=) '{FIRST_NORMAL_OID}'"
        f" AND {seen}"
    )
    return _in(oid, shown)


def partition_key_visible(oid: str, view: View) -> str:
    """The condition that `oid` is that of a relation partitioned by visible columns."""
    shown = f"SELECT i.partrelid FROM pg_catalog.pg_partitioned_table AS i WHERE {partition_key_rows('i', view)}"
    return _in(oid, shown)


def partition_key_rows(alias: str, view: View) -> str:
    """The condition on a row of pg_partitioned_table."""
    return (
        f"({_among(f'{alias}.partrelid', visible(view).values())} AND {alias}.partexprs IS NULL"
        f" AND {_all_visible(f'{alias}.partattrs', f'{alias}.partrelid', view)})"
    )


def index_rows(alias: str, view: View) -> str:
    """The condition on a row of pg_index."""
    return (
        f"({built_in(f'{alias}.indrelid', view)} OR ({_among(f'{alias}.indrelid', visible(view).values())}"
        f" AND {alias}.indexprs IS NULL AND {alias}.indpred IS NULL"
        f" AND {_all_visible(f'{alias}.indkey', f'{alias}.indrelid', view)}))"
    )


def constraint_rows(alias: str, view: View) -> str:
    """The condition on a row of pg_constraint."""
    return (
        f"({built_in(f'{alias}.oid', view)} OR ({listed(f'{alias}.contype', ('p', 'u', 'f'))}"
        f" AND {_among(f'{alias}.conrelid', visible(view).values())}"
        f" AND {_all_visible(f'{alias}.conkey', f'{alias}.conrelid', view)}"
        f" AND ({alias}.confkey IS NULL OR {_all_visible(f'{alias}.confkey', f'{alias}.confrelid', view)})))"
    )


def _in(oid: str, select: str) -> str:
    return f"({oid} OPERATOR(pg_catalog.=) ANY (ARRAY({select})))"


def _all_visible(keys: str, relation: str, view: View) -> str:
    return f"NOT EXISTS (SELECT FROM pg_catalog.unnest({keys}) AS u(n) WHERE NOT {attribute(relation, 'u.n', view)})"


def attribute(relation: str, number: str, view: View) -> str:
    """The condition on a column's number: all of a built-in relation's, and the policy's of any other."""
    keys = []
    for name, oid in visible(view).items():
        named = view.policy.tables[name].columns
        columns = view.catalog.relations[name].columns
        keys += [oid * _MOST_ATTRIBUTES + column.number for column in columns if column.name in named]
    key = (
        f"CAST({relation} AS pg_catalog.int8) OPERATOR(pg_catalog.*) {_MOST_ATTRIBUTES}"
        f" OPERATOR(pg_catalog.+) CAST({number} AS pg_catalog.int8)"
    )
    listed = ",".join(map(str, keys))
    listed = f"CAST('{{{listed}}}' AS pg_catalog.int8[])"
    return f"({built_in(relation, view)} OR ({key}) OPERATOR(pg_catalog.=) ANY ({listed}))"


def _among(oid: str, oids: Iterable[int]) -> str:
    listed = ",".join(map(str, oids))
    return f"{oid} OPERATOR(pg_catalog.=) ANY (CAST('{{{listed}}}' AS pg_catalog.oid[]))"


def listed(expression: str, values: Iterable[str]) -> str:
    """The condition that a text is one of these."""
    quoted = ", ".join(map(_quoted, values))
    return (
        f"CAST({expression} AS pg_catalog.text) OPERATOR(pg_catalog.=) ANY (CAST(ARRAY[{quoted}] AS pg_catalog.text[]))"
    )


def named(schema: str, name: str, names: Iterable[str]) -> str:
    """The condition that a schema and a name, joined by a dot, are one of these."""
    quoted = ", ".join(map(_quoted, sorted(names)))
    whole = f"pg_catalog.concat(CAST({schema} AS pg_catalog.text), '.', CAST({name} AS pg_catalog.text))"
    return f"{whole} OPERATOR(pg_catalog.=) ANY (CAST(ARRAY[{quoted}] AS pg_catalog.text[]))"


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"
